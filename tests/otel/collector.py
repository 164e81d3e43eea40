"""A collector that reads OTLP with opentelemetry-proto and prints what it got: one JSON object for each span.

usage: collector.py [STATUS …]   prints its port first; answers the first requests with these statuses, then with 200
"""

import http.server
import json
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

statuses = [int(status) for status in sys.argv[1:]]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = statuses.pop(0) if statuses else 200
        if status == 200:
            assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            request = ExportTraceServiceRequest.FromString(body)
            for group in request.resource_spans:
                for scoped in group.scope_spans:
                    for span in scoped.spans:
                        found = MessageToDict(span)
                        found["traceId"] = span.trace_id.hex()
                        found["spanId"] = span.span_id.hex()
                        found["parentSpanId"] = span.parent_span_id.hex()
                        print(json.dumps(found), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
