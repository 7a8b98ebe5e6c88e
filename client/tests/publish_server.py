"""A gRPC server for sluice.v1.SluiceService/Publish that the tests can make misbehave.

It keeps of each producer what a database would keep.
"""
import os
import time
import zlib
from dataclasses import dataclass, field
from typing import Optional

import grpc

from grpc_server import End, GrpcServer, messages, serialize


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


class Server(GrpcServer):
    """producers by producer_id; acks has the times of acknowledgements."""

    def __init__(self, **arguments):
        super().__init__(Behaviour(), **arguments)
        self.producers = {}
        self.uid = os.urandom(16)
        self.limits = messages.Limits(record_bytes=1 << 20, batch_bytes=1 << 18, batch_records=10000)
        self.acks, self.reports = [], []
        self.batches = 0

    def handlers(self):
        return {"Publish": grpc.stream_stream_rpc_method_handler(
            self.publish, messages.PublishRequest.FromString, serialize)}

    def stored(self):
        """The payloads of all producers, one after the other."""
        with self.changed:
            return [payload for producer in self.producers.values() for payload in producer.payloads]

    # ---- a call ----

    def publish(self, requests, context):
        behaviour = self.begin(context)
        try:
            yield from self.converse(requests, context, behaviour)
            self.note(self.ends, "half-closed")
        finally:
            self.end()

    def converse(self, requests, context, behaviour):
        self.check_password(context)
        request = next(requests)
        if request.WhichOneof("request") != "open":
            End(grpc.StatusCode.INVALID_ARGUMENT, "no Open", "MALFORMED").apply(context)
        self.note(self.opens, request.open)
        if behaviour.at_open is not None:
            behaviour.at_open.apply(context)
        if behaviour.silent:
            self.stay_silent(context)
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
