"""TLS whose encrypted bytes the program moves itself (memory BIOs).

own_bytes.py serve CERT KEY VERSION      answers by asyncio; prints its port
own_bytes.py batch CERT KEY VERSION      receives from all sockets before it hands on what it received, and sends once all is answered
own_bytes.py pool CERT KEY VERSION       receives, hands on and sends each by whichever of four threads is free
own_bytes.py ask PORT CONNECTIONS COUNT  asks by asyncio, so often on each connection, once all are there and a line was read; prints number and local port
"""

import asyncio
import queue
import random
import select
import socket
import ssl
import sys
import threading
import time

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def server_context(cert, key, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.maximum_version = ssl.TLSVersion[version]
    return context


async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            # Now and then more than one record, and more than one send.
            body = b"x" * (200_000 if b"/big" in head else 5)
            writer.write(RESPONSE % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(context):
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Session:
    def __init__(self, sock, context):
        self.sock = sock
        self.got, self.made = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.got, self.made, server_side=True)
        self.open = False

    def hand_on(self, data):
        self.got.write(data) if data else self.got.write_eof()
        try:
            if not self.open:
                self.tls.do_handshake()
                self.open = True
            while data := self.tls.read(65536):
                for _ in range(data.count(b"\r\n\r\n")):
                    self.tls.write(RESPONSE % 5 + b"hello")
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass

    def send(self):
        if data := self.made.read():
            self.sock.sendall(data)


def batch(context):
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    print(listener.getsockname()[1], flush=True)
    sessions = {}
    while True:
        select.select([listener, *sessions], [], [])
        time.sleep(0.02)
        ready = select.select([listener, *sessions], [], [])[0]
        if listener in ready:
            sock = listener.accept()[0]
            sessions[sock] = Session(sock, context)
        got = [(sessions[sock], sock.recv(65536)) for sock in ready if sock is not listener]
        random.shuffle(got)
        for session, data in got:
            session.hand_on(data)
        random.shuffle(got)
        for session, data in got:
            session.send()
            if not data:
                sessions.pop(session.sock).sock.close()


def pool(context):
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    print(listener.getsockname()[1], flush=True)
    work, ready, sessions = queue.Queue(), select.epoll(), {}
    once = select.EPOLLIN | select.EPOLLONESHOT

    def works():
        while True:
            step, session, data = work.get()
            if step == "receive":
                work.put(("hand on", session, session.sock.recv(65536)))
            elif step == "hand on":
                session.hand_on(data)
                work.put(("send", session, data))
            else:
                session.send()
                if data:
                    ready.modify(session.sock, once)
                else:
                    session.sock.close()

    for _ in range(4):
        threading.Thread(target=works, daemon=True).start()
    ready.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in ready.poll():
            if fd == listener.fileno():
                session = Session(listener.accept()[0], context)
                sessions[session.sock.fileno()] = session
                ready.register(session.sock, once)
            else:
                work.put(("receive", sessions[fd], None))


async def ask(port, connections, count):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opened = await asyncio.gather(*[asyncio.open_connection("127.0.0.1", port, ssl=context) for _ in range(connections)])
    print("open", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    async def one(number, reader, writer):
        print(number, writer.get_extra_info("sockname")[1], flush=True)
        for i in range(count):
            path = f"{'big' if i % 4 == 3 else 'fine'}?{number}.{i:03}"
            writer.write(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r")[0]))
        writer.close()

    await asyncio.gather(*[one(number, *ends) for number, ends in enumerate(opened)])


match sys.argv[1]:
    case "serve":
        asyncio.run(serve(server_context(*sys.argv[2:5])))
    case "batch":
        batch(server_context(*sys.argv[2:5]))
    case "pool":
        pool(server_context(*sys.argv[2:5]))
    case "ask":
        asyncio.run(ask(*map(int, sys.argv[2:5])))
