#!/usr/bin/env python3
"""One workload whose events the tools of tests/peer/compare show. Its files, arguments and names carry the word given as the first
argument, so that what other processes do can be left out. Bounded: it ends after about two seconds."""
import ctypes
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time

word, folder = sys.argv[1], sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)


def files():
    path = f"{folder}/{word}-file"
    with open(path, "w") as f:
        f.write("x")
        f.flush()
        os.fsync(f.fileno())
        os.fdatasync(f.fileno())
    for i in range(3):
        try:
            open(f"{folder}/{word}-missing-{i}")
        except FileNotFoundError:
            pass
    # The C library's stat() is newfstatat, which the tool leaves out; stat(1) calls statx.
    subprocess.run(["stat", path, f"{folder}/{word}-nowhere"], capture_output=True, check=False)


def processes():
    for i in range(3):
        subprocess.run(["/bin/echo", f"{word}-echo", str(i)], stdout=subprocess.DEVNULL, check=True)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
    try:
        os.kill(2 ** 22 - 1, signal.SIGTERM)
    except ProcessLookupError:
        pass
    for _ in range(3):
        libc.usleep(20000)
        time.sleep(0.02)
    threads = [threading.Thread(target=lambda: time.sleep(0.01)) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def users():
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            os.setuid(0)
        except PermissionError:
            pass
        os._exit(0)
    os.waitpid(pid, 0)


def network():
    for _ in range(3):
        try:
            socket.getaddrinfo(f"{word}.invalid", 80)
        except socket.gaierror:
            pass
        socket.getaddrinfo("127.0.0.1", 80)


def shell():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv("/bin/bash", ["bash", "--norc", "-i"])
    for line in (f"true {word}-one", f"false {word}-two", "exit"):
        time.sleep(0.2)
        os.write(terminal, line.encode() + b"\n")
    end = time.time() + 3
    while time.time() < end:
        try:
            if not os.read(terminal, 4096):
                break
        except OSError:
            break
    os.waitpid(pid, 0)


def disk():
    subprocess.run(["dd", "if=/dev/zero", f"of={folder}/{word}-disk", "bs=64k", "count=20", "oflag=direct"],
                   stderr=subprocess.DEVNULL, check=False)


def calls():
    getsid = ctypes.CDLL(None).getsid
    for _ in range(60000):
        getsid(0)


for part in (files, processes, users, network, shell, disk, calls):
    part()
