"""A client and a server with the real OpenTelemetry SDK, as it comes: batches, sent every five seconds.

usage: service.py grpc|http ENDPOINT REQUESTS DELAY_MS [SECONDS [PORT]]   stays for these seconds; listens there
Prints for each request: trace id, the client's milliseconds.
"""

import http.client
import http.server
import sys
import threading
import time

from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

protocol, endpoint, requests, delay = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    exporter = OTLPSpanExporter(endpoint=endpoint + "/v1/traces", compression=Compression.Gzip)

provider = TracerProvider(resource=Resource.create({"service.name": "checkout"}))
provider.add_span_processor(BatchSpanProcessor(exporter))
tracer = provider.get_tracer("service")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        context = propagate.extract(dict(self.headers))
        kind = trace.SpanKind.SERVER
        with tracer.start_as_current_span("GET /orders/:id", context, kind, {"http.request.method": "GET"}):
            time.sleep(delay / 1000)
        body = b"ok\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[6]) if len(sys.argv) > 6 else 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
for number in range(requests):
    with tracer.start_as_current_span("order", kind=trace.SpanKind.CLIENT) as span:
        headers = {"X-Request-ID": f"order-{number}"}
        propagate.inject(headers)
        start = time.monotonic()
        connection.request("GET", f"/orders/{number}?card=4111", headers=headers)
        connection.getresponse().read()
        took = (time.monotonic() - start) * 1000
        print(f"{span.get_span_context().trace_id:032x} {took:.0f}", flush=True)
connection.close()
time.sleep(float(sys.argv[5]) if len(sys.argv) > 5 else 0)
provider.shutdown()
