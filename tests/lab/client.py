#!/usr/bin/env python3
"""The client of `lab accuracy`: plays a plan of requests at a fixed rate, times each, and writes what it saw.

client.py PLAN LOG [--keys FILE]

PLAN: the first line is about the run, each further one a request (JSON). LOG: one JSON object for each request, times in
CLOCK_BOOTTIME ns; lines with "fault" say what this client itself did to a request (it stopped reading, it stalled a TLS
handshake), lines with "error" that there was no answer. Every request is a span of the real OpenTelemetry SDK, whose context goes out
as `traceparent`.
"""

import argparse
import asyncio
import json
import socket
import ssl
import sys
import time

try:
    from opentelemetry import trace
    from opentelemetry.propagate import inject
    from opentelemetry.sdk.trace import TracerProvider
except ImportError as missing:
    sys.exit(f"client.py: {missing}; pip install -r tests/lab/requirements.txt")

# AF11: the router takes it as the wish to lose the answer.
LOSE = 0x28
# How long the last requests may take, s; those that have no answer then are told as such.
LAST = 30
# A server takes 128 streams on a connection, most often.
MOST_STREAMS = 100


def boot():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Connection:
    """One TCP connection, in the clear or with TLS. Its sockets are opened here, so that every step can be timed and stalled."""

    def __init__(self, run, port):
        self.run, self.port = run, port
        self.loop = asyncio.get_running_loop()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.data = b""
        self.tls = None
        self.sent = self.source = 0

    async def open(self, source=0, rcvbuf=0, tls=None, stall=0.0, note=None):
        self.began, self.source = boot(), source
        sock = self.sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", source))
        await self.loop.sock_connect(sock, (self.run["server"], self.port))
        self.connected = boot()
        self.local = sock.getsockname()[1]
        self.secured = self.connected
        if tls:
            await self.handshake(tls, stall, note)
            self.secured = boot()
        return self

    async def handshake(self, context, stall, note):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="shop")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.flush()
                self.incoming.write(await self.loop.sock_recv(self.sock, 65536))
                # The server's flight is here; a client that needs long for its own answer.
                if stall:
                    begin = boot()
                    await asyncio.sleep(stall)
                    note("tls", begin, boot())
                    stall = 0
        await self.flush()

    async def flush(self):
        if self.outgoing.pending:
            await self.loop.sock_sendall(self.sock, self.outgoing.read())

    async def send(self, data):
        if self.tls:
            self.tls.write(data)
            await self.flush()
        else:
            await self.loop.sock_sendall(self.sock, data)

    async def recv(self, most=65536):
        if not self.tls:
            return await self.loop.sock_recv(self.sock, most)
        while True:
            try:
                return self.tls.read(most)
            except ssl.SSLWantReadError:
                data = await self.loop.sock_recv(self.sock, 65536)
                if not data:
                    return b""
                self.incoming.write(data)

    async def more(self, most=65536):
        data = await self.recv(most)
        if not data:
            raise ConnectionError("closed in a response")
        self.data += data

    async def response(self, stall=0.0, note=None):
        """Reads one response; returns its status and whether the connection goes on."""
        while b"\r\n\r\n" not in self.data:
            await self.more(512 if stall else 65536)
        if stall:
            begin = boot()
            await asyncio.sleep(stall)
            note("zwin", begin, boot())
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        length = int(fields.get("content-length", "0"))
        while len(self.data) < length:
            await self.more()
        self.data = self.data[length:]
        return int(lines[0].split(" ")[1]), fields.get("connection", "").lower() != "close"

    def lose(self, on):
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, LOSE if on else 0)

    def close(self):
        self.sock.close()


class Http2:
    """One HTTP/2 connection, cleartext with prior knowledge, several streams at once."""

    def __init__(self, conn):
        import h2.connection

        self.conn, self.h2 = conn, h2.connection.H2Connection()
        self.waiting = {}
        self.lock = asyncio.Lock()
        self.h2.initiate_connection()
        self.reader = asyncio.ensure_future(self.read())

    async def flush(self):
        async with self.lock:
            data = self.h2.data_to_send()
            if data:
                await self.conn.send(data)

    async def request(self, path, headers):
        stream = self.h2.get_next_available_stream_id()
        index, self.conn.sent = self.conn.sent, self.conn.sent + 1
        done = self.waiting[stream] = asyncio.get_running_loop().create_future()
        fields = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "shop")]
        self.h2.send_headers(stream, fields + [(k.lower(), v) for k, v in headers.items()], end_stream=True)
        await self.flush()
        return index, await done

    async def read(self):
        try:
            await self.responses()
        finally:
            for future in self.waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("the connection was closed"))

    async def responses(self):
        import h2.events

        status = {}
        while True:
            data = await self.conn.recv()
            if not data:
                break
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    fields = {bytes(k, "ascii") if isinstance(k, str) else k: v for k, v in event.headers}
                    status[event.stream_id] = int(fields[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.waiting.pop(event.stream_id).set_result(status.pop(event.stream_id))
            await self.flush()


class Client:
    def __init__(self, run, log, keys, tracer):
        self.run, self.log, self.tracer = run, log, tracer
        self.idle, self.h2, self.answered = {}, [], set()
        self.opening = asyncio.Lock()
        self.ports = list(range(*run["ports"])) if run.get("ports") else []
        self.contexts = {}
        for version in ("TLSv1_2", "TLSv1_3"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
            if keys:
                context.keylog_filename = keys
            self.contexts[version] = context

    def write(self, **line):
        self.log.write(json.dumps(line, separators=(",", ":")) + "\n")

    async def opened(self, request):
        """A connection for this request, and whether it is new."""
        port = request["port"]
        if self.run["keep"] and not request.get("fresh") and self.idle.get(port):
            return self.idle[port].pop(), False
        conn = Connection(self.run, port)
        source = self.ports.pop(0) if self.ports else 0
        tls = self.contexts[request["tls"]] if request.get("tls") else None
        try:
            await conn.open(source, request.get("rcvbuf", 0), tls, request.get("tls_stall", 0.0), self.note(request, conn))
        except BaseException:
            self.close(conn)
            raise
        return conn, True

    def close(self, conn):
        conn.close()
        if conn.source:
            self.ports.append(conn.source)

    def note(self, request, conn):
        return lambda fault, begin, end: self.write(n=request["n"], fault=fault, port=conn.local, begin=begin, end=end)

    def head(self, request, span_headers, last):
        fields = {"Host": "shop", "X-Request-ID": f"req-{request['n']}", **span_headers}
        if last:
            fields["Connection"] = "close"
        return f"GET {request['path']} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"

    async def batch(self, requests):
        """One request, or several of them down one connection before the first answer."""
        begin = boot()
        why = "no answer"
        try:
            await (self.streams(requests) if requests[0].get("h2") else self.pipeline(requests, begin))
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            # Also of those that are given up in the end.
            for request in requests:
                if request["n"] not in self.answered:
                    self.write(n=request["n"], error=why, begin=begin, end=boot())

    async def pipeline(self, requests, begin):
        conn, new = await self.opened(requests[0])
        reuse = self.run["keep"] and not requests[0].get("fresh")
        kept = False
        try:
            kept = await self.exchange(conn, new, requests, begin, reuse)
        finally:
            if kept:
                self.idle.setdefault(conn.port, []).append(conn)
            else:
                self.close(conn)

    async def exchange(self, conn, new, requests, begin, reuse):
        """Requests and their responses; whether the connection may be used again."""
        spans, text = [], ""
        for request in requests:
            span = self.tracer.start_span(f"GET /{request['path'].split('/')[1]}")
            headers = {}
            inject(headers, context=trace.set_span_in_context(span))
            spans.append(span)
            text += self.head(request, headers, not reuse and request is requests[-1])
        lost = any(request.get("lose") for request in requests)
        conn.lose(lost)
        sent = boot()
        await conn.send(text.encode())
        for request, span in zip(requests, spans):
            status, _ = await conn.response(request.get("stall", 0.0), self.note(request, conn))
            span.end()
            self.done(request, conn, begin, sent, boot(), status, new and request is requests[0], span)
        if lost:
            conn.lose(False)
        if not reuse:
            # The server closes first, so that the port is free at once (mode `port reuse`).
            while await conn.recv():
                pass
        return reuse

    async def streams(self, requests):
        first = requests[0]
        mux = await self.mux(first["n"] % len(self.h2))

        async def one(request):
            begin = boot()
            span = self.tracer.start_span(f"GET /{request['path'].split('/')[1]}")
            headers = {"x-request-id": f"req-{request['n']}"}
            inject(headers, context=trace.set_span_in_context(span))
            mux.conn.lose(bool(request.get("lose")))
            index, status = await mux.request(request["path"], headers)
            if request.get("lose"):
                mux.conn.lose(False)
            span.end()
            self.done(request, mux.conn, begin, begin, boot(), status, False, span, index)

        await asyncio.gather(*map(one, requests))

    def done(self, request, conn, begin, sent, end, status, new, span, index=None):
        if index is None:
            index, conn.sent = conn.sent, conn.sent + 1
        self.answered.add(request["n"])
        connect = conn.connected - conn.began if new else 0
        secure = conn.secured - conn.connected if new else 0
        self.write(
            n=request["n"], server_port=conn.port, port=conn.local, index=index, begin=begin, sent=sent, end=end, status=status,
            opened=conn.began, connect=connect, secure=secure, new=new, trace=format(span.get_span_context().trace_id, "032x"),
        )

    async def prepare(self):
        """Connections that exist before the run, each with a request behind it."""
        for port, count in self.run.get("before", []):
            for _ in range(count):
                conn = await Connection(self.run, port).open()
                await conn.send(b"GET /ok/0 HTTP/1.1\r\nHost: shop\r\n\r\n")
                await conn.response()
                conn.sent = 1
                self.idle.setdefault(port, []).append(conn)

    async def mux(self, slot):
        """The connection of a slot: another one, as clients do, where the old one has about as many streams open as its server takes."""
        async with self.opening:
            if len(self.h2[slot].waiting) > MOST_STREAMS:
                self.h2[slot] = await self.open_mux()
        return self.h2[slot]

    async def open_mux(self):
        mux = Http2(await Connection(self.run, self.run["h2_port"]).open())
        await mux.flush()
        return mux

    async def open_h2(self):
        for _ in range(self.run.get("h2", 0)):
            self.h2.append(await self.open_mux())

    async def play(self, plan):
        await self.prepare()
        print("READY", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await self.open_h2()
        start, running = time.monotonic() + 0.1, set()
        groups, at = [], 0
        for request in plan:
            if groups and request.get("batch") is not None and groups[-1][0].get("batch") == request["batch"]:
                groups[-1].append(request)
            else:
                groups.append([request])
        for group in groups:
            at = group[0]["at"]
            wait = start + at - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.ensure_future(self.batch(group))
            running.add(task)
            task.add_done_callback(running.discard)
        if running:
            _, hanging = await asyncio.wait(running, timeout=LAST)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("plan")
    parser.add_argument("log")
    parser.add_argument("--keys")
    args = parser.parse_args()
    with open(args.plan, encoding="utf-8") as file:
        run, *plan = map(json.loads, file)
    with open(args.log, "w", encoding="utf-8") as log:
        client = Client(run, log, args.keys, TracerProvider().get_tracer("client"))
        asyncio.run(client.play(plan))
    print(f"{len(client.answered)} of {len(plan)} requests were answered", flush=True)


main()
