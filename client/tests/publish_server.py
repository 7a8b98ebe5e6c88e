"""A gRPC server for sluice.v1.SluiceService/Publish that the tests can make misbehave.

It is another implementation of gRPC's server side (Debian's python3-grpcio) with
messages by protoc, and keeps of each producer what a database would keep.
"""
import os
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from concurrent import futures
from dataclasses import dataclass, field
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

    def apply(self, context):
        metadata = []
        if self.reason is not None:
            metadata.append(("sluice-reason", self.reason))
        if self.last is not None:
            metadata.append(("sluice-last-sequence", str(self.last)))
        context.set_trailing_metadata(metadata)
        context.abort(self.code, self.details)


@dataclass
class Behaviour:
    """Of one call.

    at_open     end instead of Opened
    at_batch    end when the first batch has come, which is not stored
    after_ack   end when the first batch has been acknowledged
    silent      Opened never comes
    deaf        batches are taken, and neither stored nor acknowledged
    opened      bytes in place of Opened
    ack         bytes in place of Ack; nothing is stored
    delay       seconds before each batch is stored
    verdicts    of sequences that are not plainly stored
    """
    at_open: Optional[End] = None
    at_batch: Optional[End] = None
    after_ack: Optional[End] = None
    silent: bool = False
    deaf: bool = False
    opened: Optional[bytes] = None
    ack: Optional[bytes] = None
    delay: float = 0
    verdicts: dict = field(default_factory=dict)


@dataclass
class Producer:
    last: int = 0
    payloads: list = field(default_factory=list)
    gaps: list = field(default_factory=list)
    again: int = 0              # records that had been stored


class Server:
    """next_calls are used up one a call, then there is usual; attempts has the times at which calls came."""

    def __init__(self, port=0, threads=16, credentials=None, address="127.0.0.1", password=None):
        self.address, self.port, self.threads = address, port, threads
        self.credentials, self.password = credentials, password
        self.changed = threading.Condition()
        self.usual = Behaviour()
        self.next_calls = []
        self.producers = {}
        self.uid = os.urandom(16)
        self.limits = messages.Limits(record_bytes=1 << 20, batch_bytes=1 << 18, batch_records=10000)
        self.attempts, self.acks, self.opens, self.reports, self.ends = [], [], [], [], []
        self.metadata = []
        self.batches = 0
        self.open_calls = 0
        self.stopping = False

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
        handler = grpc.stream_stream_rpc_method_handler(
            self.publish, messages.PublishRequest.FromString,
            lambda answer: answer if isinstance(answer, bytes) else answer.SerializeToString())
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("sluice.v1.SluiceService", {"Publish": handler}),))
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

    def stored(self):
        """The payloads of all producers, one after the other."""
        with self.changed:
            return [payload for producer in self.producers.values() for payload in producer.payloads]

    # ---- a call ----

    def publish(self, requests, context):
        with self.changed:
            self.attempts.append(time.monotonic())
            behaviour = self.next_calls.pop(0) if self.next_calls else self.usual
            self.open_calls += 1
            self.changed.notify_all()
        self.note(self.metadata, dict(context.invocation_metadata()))
        try:
            yield from self.converse(requests, context, behaviour)
            self.note(self.ends, "half-closed")
        finally:
            with self.changed:
                self.open_calls -= 1
                self.changed.notify_all()

    def converse(self, requests, context, behaviour):
        if self.password is not None and dict(context.invocation_metadata()).get("authorization") != self.password:
            End(grpc.StatusCode.UNAUTHENTICATED, "wrong password").apply(context)
        request = next(requests)
        if request.WhichOneof("request") != "open":
            End(grpc.StatusCode.INVALID_ARGUMENT, "no Open", "MALFORMED").apply(context)
        self.note(self.opens, request.open)
        if behaviour.at_open is not None:
            behaviour.at_open.apply(context)
        if behaviour.silent:
            while context.is_active() and not self.stopping:
                time.sleep(0.02)
            return
        producer = self.producers.setdefault(request.open.producer_id, Producer())
        yield behaviour.opened if behaviour.opened is not None else self.opened(producer)
        yield from self.take(requests, context, behaviour, producer)

    def opened(self, producer):
        is_gap = bool(producer.gaps) and producer.gaps[-1][1] == producer.last
        crc = zlib.crc32(producer.payloads[-1]) if producer.payloads and not is_gap else 0
        return messages.PublishResponse(opened=messages.Opened(
            last_sequence=producer.last, last_crc=crc, last_is_gap=is_gap,
            epoch=1, stream_uid=self.uid, limits=self.limits))

    def take(self, requests, context, behaviour, producer):
        for request in requests:
            if request.WhichOneof("request") == "report":
                self.note(self.reports, (time.monotonic(), request.report))
                continue
            with self.changed:
                self.batches += 1
                self.changed.notify_all()
            if behaviour.at_batch is not None:
                behaviour.at_batch.apply(context)
            if behaviour.deaf:
                continue
            time.sleep(behaviour.delay)
            if behaviour.ack is not None:
                yield behaviour.ack
                continue
            if not self.store(producer, request.batch):
                End(grpc.StatusCode.INVALID_ARGUMENT, "a hole", "HOLE").apply(context)
            self.note(self.acks, time.monotonic())
            yield self.acknowledge(producer, request.batch, behaviour)
            if behaviour.after_ack is not None:
                time.sleep(0.05)        # the Ack is on its way before the status
                behaviour.after_ack.apply(context)

    def store(self, producer, batch):
        entries = [(record.sequence, record.sequence, record) for record in batch.records]
        entries += [(getattr(gap, "from"), gap.to, None) for gap in batch.gaps]
        with self.changed:
            for first, last, record in sorted(entries, key=lambda entry: entry[0]):
                if last <= producer.last:
                    producer.again += record is not None
                    continue
                if first > producer.last + 1:
                    return False
                producer.last = last
                if record is not None:
                    producer.payloads.append(record.payload)
                else:
                    producer.gaps.append((first, last))
            self.changed.notify_all()
        return True

    @staticmethod
    def acknowledge(producer, batch, behaviour):
        exceptions = [messages.Exception(sequence=record.sequence, verdict=behaviour.verdicts[record.sequence])
                      for record in batch.records if record.sequence in behaviour.verdicts]
        return messages.PublishResponse(ack=messages.Ack(through_sequence=producer.last, exceptions=exceptions))
