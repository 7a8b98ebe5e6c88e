"""A gRPC server for IngestData that the tests can make misbehave.

It is another implementation of gRPC's server side (Debian's python3-grpcio,
generic handlers, messages taken apart by hand), and keeps what a database
would keep: one payload a key.  Run as a program it keeps that in a file, one
write before each answer, so that it can be killed at any moment:

    ingest_server.py PORT FILE
"""
import os
import queue
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "ingestion.IngestionService"
ACKNOWLEDGED, REJECTED_DLQ = 1, 2


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def decode_request(data):
    """Key and payload (None where it is left out) of an IngestDataRequest."""
    fields, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 != 2:
            raise ValueError("unexpected wire type")
        length, at = varint(data, at)
        if at + length > len(data):
            raise ValueError("a field ends behind the message")
        fields[tag >> 3] = data[at:at + length]
        at += length
    return fields.get(1, b"").decode("utf-8"), fields.get(2)


def encode_answer(key, status):
    key = key.encode("utf-8")
    length, head = len(key), b""
    while length >= 0x80:
        head += bytes([length & 0x7F | 0x80])
        length >>= 7
    return b"\x0a" + head + bytes([length]) + key + b"\x10" + bytes([status])


class Store:
    """One payload a key, and the order in which the first of each came."""

    def __init__(self, path=None):
        self.lock = threading.Lock()
        self.records = {}
        self.duplicates = 0
        self.fd = None
        if path is not None:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            with open(path, "rb") as file:
                for line in file.read().splitlines(keepends=True):
                    if line.endswith(b"\n"):
                        key, payload = line.split()
                        self.records[key.decode()] = bytes.fromhex(payload.decode())

    def add(self, key, payload):
        """True where the key is new."""
        with self.lock:
            if key in self.records:
                self.duplicates += 1
                return False
            if self.fd is not None:
                os.write(self.fd, f"{key} {payload.hex()}\n".encode())
            self.records[key] = payload
            return True

    def __len__(self):
        with self.lock:
            return len(self.records)


class Server:
    """Behaviour is set by attributes, also while it runs.

    refuse          (status code, message): every call ends so
    pushback        the first call ends with this hint, in milliseconds
    cut_after       a call ends with UNAVAILABLE after so many records were stored, the last of them unanswered
    reject          of a payload: is it a dead letter?
    hold            set: answers wait until it is cleared
    reorder         answers go out in groups of so many, backwards
    wrong_answer    is sent in place of each answer
    counts          the sluice-* counts are sent at the end of a call
    """

    def __init__(self, store=None, port=0, options=(), credentials=None):
        self.store = store if store is not None else Store()
        self.port = port
        self.options = list(options)
        self.credentials = credentials
        self.refuse = self.cut_after = self.reject = self.wrong_answer = None
        self.pushback = None
        self.reorder = 1
        self.counts = True
        self.hold = False
        self.calls = 0
        self.metadata = []
        self.received = 0
        self.answered = 0
        self.most_unanswered = 0
        self.changed = threading.Condition()
        self.stopping = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.stopping = False
        options = [("grpc.http2.min_ping_interval_without_data_ms", 1000), ("grpc.so_reuseport", 0)]
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=options + self.options)
        handler = grpc.stream_stream_rpc_method_handler(self.ingest_data, None, None)
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"IngestData": handler}),))
        if self.credentials is None:
            self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        else:
            self.port = self.server.add_secure_port(f"127.0.0.1:{self.port}", self.credentials)
        if self.port == 0:
            raise OSError("could not bind")
        self.server.start()

    def stop(self):
        with self.changed:
            self.stopping = True
            self.changed.notify_all()
        self.server.stop(None).wait()

    def change(self, **attributes):
        with self.changed:
            for name, value in attributes.items():
                setattr(self, name, value)
            self.changed.notify_all()

    def ingest_data(self, requests, context):
        stored = duplicates = dead_letters = taken = 0
        waiting = []
        with self.changed:
            self.calls += 1
            self.metadata.append(dict(context.invocation_metadata()))
        if self.refuse is not None:
            context.abort(*self.refuse)
        if self.pushback is not None and self.calls == 1:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", self.pushback),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too busy")
        for request in self.read_ahead(requests):
            key, payload = decode_request(request)
            taken += 1
            with self.changed:
                while self.hold and not self.stopping and context.is_active():
                    self.changed.wait(0.1)
            status = ACKNOWLEDGED
            if self.reject is not None and self.reject(payload):
                status = REJECTED_DLQ
                dead_letters += 1
            elif self.store.add(key, payload):
                stored += 1
            else:
                duplicates += 1
            if self.cut_after is not None and taken >= self.cut_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "cut by the test")
            waiting.append(self.wrong_answer or encode_answer(key, status))
            if len(waiting) >= self.reorder:
                yield from self.answers(waiting)
        yield from self.answers(waiting)
        if self.counts:
            context.set_trailing_metadata((("sluice-stored", str(stored)), ("sluice-duplicates", str(duplicates)),
                                           ("sluice-dead-letters", str(dead_letters))))

    def read_ahead(self, requests):
        """Takes what comes at once, whether or not it is wanted yet: so what the client sends is seen."""
        arrived = queue.Queue()

        def read():
            try:
                for request in requests:
                    with self.changed:
                        self.received += 1
                        self.most_unanswered = max(self.most_unanswered, self.received - self.answered)
                    arrived.put(request)
            except Exception:       # the call is over
                pass
            arrived.put(None)

        threading.Thread(target=read, daemon=True).start()
        return iter(arrived.get, None)

    def answers(self, waiting):
        while waiting:
            with self.changed:
                self.answered += 1
            yield waiting.pop()


if __name__ == "__main__":
    server = Server(Store(sys.argv[2]), int(sys.argv[1]))
    server.start()
    print(server.port, flush=True)
    server.server.wait_for_termination()
