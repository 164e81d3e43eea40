"""Servers and clients that misbehave, one a run: troubles.py NAME ARGUMENTS. Each ends by itself."""

import http.server
import os
import select
import socket
import ssl
import sys
import threading
import time


def listening(address, port):
    listener = socket.create_server((address, int(port)), backlog=64)
    print("listening", flush=True)
    return listener


def take(address, port, connections, late_ms):
    """Accepts so many connections, reads each to its end, but begins so late."""
    listener = listening(address, port)
    for _ in range(int(connections)):
        conn, _ = listener.accept()
        time.sleep(int(late_ms) / 1000)
        while conn.recv(1 << 16):
            pass
        conn.close()


def give(address, port, connections, size, open_s=0):
    """Sends so many bytes on each of so many connections, one after the other, each open for so long."""
    for _ in range(int(connections)):
        conn = socket.create_connection((address, int(port)), timeout=30)
        conn.sendall(b"x" * int(size))
        time.sleep(float(open_s))
        conn.shutdown(socket.SHUT_WR)
        conn.recv(1)
        conn.close()


class Handler(http.server.BaseHTTPRequestHandler):
    """`/slow` after 700 ms, `/bad` with 503."""

    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(0.7)
        self.send_response(503 if self.path.startswith("/bad") else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def web(address, port, requests):
    server = http.server.HTTPServer((address, int(port)), Handler)
    print("listening", flush=True)
    for _ in range(int(requests)):
        server.handle_request()


def ask(address, port, path, requests):
    for _ in range(int(requests)):
        conn = http.client.HTTPConnection(address, int(port), timeout=30)
        conn.request("GET", path)
        conn.getresponse().read()
        conn.close()


def tls(address, port, cert, key, late_ms):
    """Begins its handshake late: it waits in poll() on 300 pipes, in which nothing comes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    listener = listening(address, port)
    conn, _ = listener.accept()
    pipes = [os.pipe() for _ in range(300)]
    waiting = select.poll()
    for read, _ in pipes:
        waiting.register(read, select.POLLIN)
    waiting.poll(int(late_ms))
    with context.wrap_socket(conn, server_side=True) as clear:
        clear.recv(1)


def shake(address, port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, int(port)), timeout=30) as conn:
        with context.wrap_socket(conn) as clear:
            clear.send(b"x")


def names(address, late_ms):
    """Answers two DNS questions late, with 10.99.1.2."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    print("listening", flush=True)
    for _ in range(2):
        question, client = server.recvfrom(512)
        time.sleep(int(late_ms) / 1000)
        record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + socket.inet_aton("10.99.1.2")
        server.sendto(question[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question[12:] + record, client)


def resolve(address):
    for number in range(2):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(10)
        question = bytes([1, number]) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x07example\x00\x00\x01\x00\x01"
        client.sendto(question, (address, 53))
        client.recv(512)


def write(path, times):
    """Opens the file, says so, and writes to it at each line of its input."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    print("listening", flush=True)
    for _ in range(int(times)):
        sys.stdin.readline()
        os.write(file, b"x" * 4096)


def spin(seconds):
    """A busy thread, with another one beside it, for so long."""
    end = time.time() + float(seconds)

    def burn():
        while time.time() < end:
            pass

    other = threading.Thread(target=burn)
    other.start()
    burn()
    other.join()


if __name__ == "__main__":
    import http.client

    # The kernel's name of the process: what scripts filter by.
    with open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write("wt" + sys.argv[1])
    globals()[sys.argv[1]](*sys.argv[2:])
