"""A gRPC server for sluice.v1.SluiceService, without its methods, and its messages.

It is another implementation of gRPC's server side (Debian's python3-grpcio) with messages by protoc.
"""
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures
from dataclasses import dataclass
from typing import Optional

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO = next(place for place in (HERE, os.path.join(HERE, "..", "..", "proto"))
             if os.path.exists(os.path.join(place, "sluice.proto")))


def load_messages():
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={directory}", "sluice.proto"], check=True)
        sys.path.insert(0, directory)
        try:
            import sluice_pb2
        finally:
            sys.path.remove(directory)
    return sluice_pb2


messages = load_messages()


@dataclass
class End:
    """How a call is ended; for sluice-reason see proto/sluice.proto."""
    code: grpc.StatusCode
    details: str = ""
    reason: Optional[str] = None
    last: Optional[int] = None
    pushback: Optional[str] = None      # milliseconds, as text

    def apply(self, context):
        metadata = []
        if self.reason is not None:
            metadata.append(("sluice-reason", self.reason))
        if self.last is not None:
            metadata.append(("sluice-last-sequence", str(self.last)))
        if self.pushback is not None:
            metadata.append(("grpc-retry-pushback-ms", self.pushback))
        context.set_trailing_metadata(metadata)
        context.abort(self.code, self.details)


def serialize(answer):
    """Bytes are sent as they are."""
    return answer if isinstance(answer, bytes) else answer.SerializeToString()


class GrpcServer:
    """next_calls are used up one a call, then there is usual; attempts has the times at which calls came."""

    def __init__(self, usual, port=0, threads=16, credentials=None, address="127.0.0.1", password=None):
        self.address, self.port, self.threads = address, port, threads
        self.credentials, self.password = credentials, password
        self.changed = threading.Condition()
        self.usual = usual
        self.next_calls = []
        self.attempts, self.opens, self.ends, self.metadata = [], [], [], []
        self.open_calls = 0
        self.stopping = False

    def handlers(self):
        raise NotImplementedError

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.stopping = False
        self.server = grpc.server(futures.ThreadPoolExecutor(self.threads),
                                  options=[("grpc.http2.min_ping_interval_without_data_ms", 100),
                                           ("grpc.http2.max_ping_strikes", 0), ("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("sluice.v1.SluiceService", self.handlers()),))
        target = self.address if self.address.startswith("unix:") else f"{self.address}:{self.port}"
        if self.credentials is None:
            port = self.server.add_insecure_port(target)
        else:
            port = self.server.add_secure_port(target, self.credentials)
        if port == 0:
            raise OSError("could not bind")
        if not self.address.startswith("unix:"):
            self.port = port
        self.server.start()

    def stop(self):
        with self.changed:
            self.stopping = True
            self.changed.notify_all()
        self.server.stop(None).wait()

    def restart(self):
        """Every call is lost."""
        self.stop()
        self.start()

    def wait(self, condition, what, patience=30):
        with self.changed:
            if not self.changed.wait_for(condition, patience):
                raise AssertionError(f"never came true: {what}")

    def note(self, things, thing):
        with self.changed:
            things.append(thing)
            self.changed.notify_all()

    # ---- a call ----

    def begin(self, context):
        """How it is to behave."""
        with self.changed:
            self.attempts.append(time.monotonic())
            behaviour = self.next_calls.pop(0) if self.next_calls else self.usual
            self.open_calls += 1
            self.metadata.append(dict(context.invocation_metadata()))
            self.changed.notify_all()
        return behaviour

    def end(self):
        with self.changed:
            self.open_calls -= 1
            self.changed.notify_all()

    def check_password(self, context):
        if self.password is not None and dict(context.invocation_metadata()).get("authorization") != self.password:
            End(grpc.StatusCode.UNAUTHENTICATED, "wrong password").apply(context)

    def stay_silent(self, context):
        while context.is_active() and not self.stopping:
            time.sleep(0.02)
