"""A collector that reads OTLP with opentelemetry-proto and prints what it got: one JSON object for each span, metric or log record.

usage: collector.py [STATUS …]   prints its port first; answers the first requests with these statuses, then with 200. `partial`: 200, and one is refused
"""

import base64
import http.server
import json
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

statuses = sys.argv[1:]
# By path: messages, and where the parts lie in them.
SIGNALS = {
    "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse, "spans", "rejected_spans"),
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse, "metrics", "rejected_data_points"),
    "/v1/logs": (ExportLogsServiceRequest, ExportLogsServiceResponse, "log_records", "rejected_log_records"),
}


def with_hex(value):
    """Ids as people write them: JSON of protobuf has them in base64."""
    if isinstance(value, list):
        return [with_hex(one) for one in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {key: base64.b64decode(one).hex() if key in ids else with_hex(one) for key, one in value.items()}


def parts(request, name):
    """Each part as JSON, with its resource's attributes."""
    for _, groups in request.ListFields():
        for group in groups:
            resource = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            for field, scopes in group.ListFields():
                if not field.name.startswith("scope_"):
                    continue
                for scoped in scopes:
                    for part in getattr(scoped, name):
                        found = with_hex(MessageToDict(part))
                        if name == "spans":
                            found.setdefault("parentSpanId", "")
                        yield {**found, "signal": name, "resource": resource}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = statuses.pop(0) if statuses else "200"
        assert self.headers["Content-Type"] == "application/x-protobuf"
        request, response, name, rejected = SIGNALS[self.path]
        answer = response()
        if status == "partial":
            setattr(answer.partial_success, rejected, 1)
            answer.partial_success.error_message = "not this one"
            status = "200"
        if status == "200":
            for part in parts(request.FromString(body), name):
                print(json.dumps(part), flush=True)
        answer = answer.SerializeToString()
        self.send_response(int(status))
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
