"""What the tests of the network thread have in common: network_server as a
process, messages written byte by byte, TAP.

The first argument of a test is the directory with network_server.
"""
import os
import queue
import re
import subprocess
import sys
import threading
import time

import grpc

BIN = sys.argv[1] if len(sys.argv) > 1 else "."
SECONDS = 30            # for a condition to come true
count = failed = 0


def ok(passed, name):
    global count, failed
    count += 1
    failed += not passed
    print(("" if passed else "not ") + "ok %d - %s" % (count, name), flush=True)


def ok_memory(kilobytes, limit, name):
    """AddressSanitizer keeps what was freed, so that it has nothing to say here."""
    with open(BIN + "/network_server", "rb") as binary:
        sanitized = b"__asan_init" in binary.read()
    ok(sanitized or kilobytes < limit, "%s: %d kB resident%s" % (name, kilobytes, " # SKIP sanitized" if sanitized else ""))


def wait_until(condition, seconds=SECONDS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


class Server:
    def __init__(self, address="127.0.0.1", **settings):
        self.process = subprocess.Popen(
            [BIN + "/network_server", address] + ["%s=%d" % s for s in settings.items()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.lines = []
        self.fresh = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        first = self.next_line()
        while first.startswith("log"):
            first = self.next_line()
        self.failure = first if not first.startswith("port") else None
        self.port = int(first.split()[1]) if not self.failure else 0
        self.target = address if address.startswith("unix:") else "127.0.0.1:%d" % self.port

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if not line.startswith(("log", "left")):
                self.fresh.put(line.strip())

    def next_line(self):
        return self.fresh.get(timeout=SECONDS)

    def ask(self, command, until="ok "):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        got = [self.next_line()]
        while not got[-1].startswith(until):
            got.append(self.next_line())
        return got

    def counters(self):
        line = self.ask("counters")[0]
        figures = {k: int(v) for k, v in (word.split("=") for word in line.split()[1:])}
        with open("/proc/%d/status" % self.process.pid) as status:
            figures["resident"] = int(re.search(r"VmHWM:\s*(\d+)", status.read()).group(1))
        return figures

    def consumers(self):
        line = self.ask("consumers")[0]
        return {k: int(v) for k, v in (word.split("=") for word in line.split()[1:])}

    def left(self, text, times=1):
        """Have so many consumers left so ("NAME graceful=1 gone=0 pulls=2"), or will they?"""
        return wait_until(lambda: sum(line.startswith("left " + text) for line in self.lines) == times)

    def logged(self, text):
        return any(text in line for line in self.lines if line.startswith("log"))

    def stop(self):
        """Milliseconds that it took; None where the process did not end well."""
        line = self.ask("stop", "stopped")[-1]
        return int(line.split()[1]) if self.process.wait(SECONDS) == 0 else None

    def channel(self, **options):
        return grpc.insecure_channel(self.target, options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200),
            ("grpc.initial_reconnect_backoff_ms", 100)] + list(options.items()))


class Feed:
    """Requests of a call, given one by one."""

    def __init__(self, *messages):
        self.queue = queue.Queue()
        for message in messages:
            self.queue.put(message)

    def __iter__(self):
        while True:
            message = self.queue.get()
            if message is None:
                return
            yield message


def outcome(call):
    """All answers, then the status and its message."""
    answers = []
    try:
        for message in call:
            answers.append(message)
    except grpc.RpcError as error:
        return answers, error.code(), error.details()
    return answers, call.code(), call.details()


def finish():
    print("1..%d" % count, flush=True)
    os._exit(failed > 0)             # threads that feed cancelled calls wait for ever
