"""A gRPC server for sluice.v1.SluiceService/Subscribe and Unsubscribe that the tests can make misbehave.

It keeps rows in memory, and of each subscription what a database would keep.
"""
import os
import random
import threading
from dataclasses import dataclass, field
from typing import Optional

import grpc

from grpc_server import End, GrpcServer, messages, serialize

FROM_LATEST, FROM_OFFSET = messages.FROM_LATEST, messages.FROM_OFFSET


@dataclass
class Behaviour:
    """Of one call.

    at_open     end instead of anything else
    silent      the call is not taken, and does not end
    after_rows  end when so many rows have been sent: (number, end)
    raw         messages in place of all that would be sent
    deaf        what the consumer says is not looked at
    """
    at_open: Optional[End] = None
    silent: bool = False
    after_rows: Optional[tuple] = None
    raw: Optional[list] = None
    deaf: bool = False


@dataclass
class Subscription:
    position: int
    guarantee: int
    epoch: int = 0
    holder: object = None
    attempts: dict = field(default_factory=dict)
    dead: list = field(default_factory=list)            # (offset, reason)
    redriven: list = field(default_factory=list)        # (id, offset, payload)
    settled: list = field(default_factory=list)         # (id, acknowledged?)
    positions: list = field(default_factory=list)       # all that it ever had, in order


class Call:
    """One consumer that is connected."""

    def __init__(self, server, subscribe, behaviour, subscription, position):
        self.server, self.subscribe, self.behaviour = server, subscribe, behaviour
        self.subscription = subscription
        self.position = position
        self.requests = []
        self.half_closed = self.gone = False
        self.end = None
        self.told_standby = self.active = self.waits_start = self.told_caught_up = False
        self.epoch = self.sent = self.rows_sent = self.redriven_sent = 0
        self.in_flight = []

    # All with the server's lock held.

    def activate(self):
        if self.subscription is not None:
            self.position = self.subscription.position
            self.epoch = self.subscription.epoch = self.server.next_epoch()
        else:
            self.epoch = self.server.next_epoch()
        self.active = True
        self.waits_start = self.subscribe.wants_start
        self.told_caught_up = False
        self.sent, self.redriven_sent, self.in_flight = self.position, 0, []
        return messages.SubscribeResponse(active=messages.Active(
            epoch=self.epoch, position=self.position, token=self.server.token(self.position),
            guarantee=self.subscription.guarantee if self.subscription is not None else 0,
            encoding=self.subscribe.encoding or self.server.encoding, max_in_flight=self.subscribe.max_in_flight))

    def move(self, position):
        self.position = position
        if self.subscription is not None:
            self.subscription.position = position
            self.subscription.positions.append(position)

    def take(self, request):
        kind = request.WhichOneof("request")
        self.server.said.append((kind, getattr(request, kind)))
        if self.behaviour.deaf:
            return
        message = getattr(request, kind)
        if message.epoch != self.epoch:
            if message.epoch not in self.server.epochs:
                self.end = End(grpc.StatusCode.ABORTED, "another epoch", "STALE_EPOCH")
            return
        getattr(self, f"take_{kind}")(message)

    def take_start(self, start):
        if not self.waits_start:
            self.end = End(grpc.StatusCode.INVALID_ARGUMENT, "no Start is waited for", "MALFORMED")
            return
        self.waits_start = False
        if not start.HasField("token"):
            return
        if start.token.stream_uid != self.server.uid:
            self.end = End(grpc.StatusCode.FAILED_PRECONDITION, "another stream", "STREAM_REPLACED")
        elif start.token.lsn > self.server.lsn and not start.accept_fork:
            self.end = End(grpc.StatusCode.FAILED_PRECONDITION, "commits were lost", "FORKED")
        else:
            self.move(start.token.offset)
            self.sent = self.position

    def take_acknowledge(self, acknowledge):
        if self.subscription is None or self.subscription.guarantee != messages.AT_LEAST_ONCE:
            self.end = End(grpc.StatusCode.INVALID_ARGUMENT, "nothing to acknowledge", "MALFORMED")
        elif acknowledge.offset > self.sent:
            self.end = End(grpc.StatusCode.INVALID_ARGUMENT, "was not sent", "MALFORMED")
        else:
            if acknowledge.offset > self.position:
                self.move(acknowledge.offset)
                self.in_flight = [offset for offset in self.in_flight if offset > acknowledge.offset]
            self.settle(acknowledge.redriven, True)

    def settle(self, ids, acknowledged):
        self.subscription.settled += [(number, acknowledged) for number in ids]
        self.subscription.redriven = [row for row in self.subscription.redriven if row[0] not in ids]

    def take_nack(self, nack):
        if nack.redrive:
            self.settle([nack.redrive], False)
            return
        if nack.offset <= self.position:
            return
        if self.in_flight and nack.offset == self.in_flight[0]:
            attempts = self.subscription.attempts.setdefault(nack.offset, 0) + 1
            self.subscription.attempts[nack.offset] = attempts
            if attempts >= self.server.max_attempts:
                self.subscription.dead.append((nack.offset, nack.reason))
                self.move(nack.offset)
        self.active = False             # and so it is activated anew

    def next_response(self):
        """None: there is nothing to say."""
        if not self.active:
            if self.subscription is not None and self.subscription.holder not in (None, self):
                if self.told_standby:
                    return None
                self.told_standby = True
                return messages.SubscribeResponse(standby=messages.Standby())
            if self.subscription is not None:
                self.subscription.holder = self
            return self.activate()
        if self.waits_start:
            return None
        return self.redriven() or self.rows() or self.caught_up()

    def redriven(self):
        waiting = [row for row in (self.subscription.redriven if self.subscription is not None else [])
                   if row[0] > self.redriven_sent]
        if not waiting:
            return None
        self.redriven_sent = waiting[-1][0]
        return messages.SubscribeResponse(rows=messages.Rows(
            epoch=self.epoch, previous=self.sent, token=self.server.token(self.sent),
            rows=[messages.Row(redrive=number, offset=offset, payload=payload) for number, offset, payload in waiting]))

    def rows(self):
        room = self.server.rows_a_message
        answers = self.subscription is not None and self.subscription.guarantee == messages.AT_LEAST_ONCE
        if answers:
            room = min(room, (self.subscribe.max_in_flight or 10000) - len(self.in_flight))
        if self.behaviour.after_rows is not None:
            room = min(room, self.behaviour.after_rows[0] - self.rows_sent)
        chosen = self.server.behind(self.sent, room)
        if not chosen:
            return None
        attempts = self.subscription.attempts if self.subscription is not None else {}
        previous, self.sent = self.sent, chosen[-1][0]
        self.rows_sent += len(chosen)
        if answers:
            self.in_flight += [offset for offset, _ in chosen]
        elif self.subscription is not None:
            self.move(self.sent)
        return messages.SubscribeResponse(rows=messages.Rows(
            epoch=self.epoch, previous=previous, token=self.server.token(self.sent),
            rows=[messages.Row(offset=offset, payload=payload, attempts=attempts.get(offset, 0))
                  for offset, payload in chosen]))

    def caught_up(self):
        if self.told_caught_up or self.server.behind(self.sent, 1):
            return None
        self.told_caught_up = True
        return messages.SubscribeResponse(caught_up=messages.CaughtUp(epoch=self.epoch, offset=self.sent))


class Server(GrpcServer):
    """rows: (offset, payload); said has all that consumers said, in order."""

    def __init__(self, rows=(), **arguments):
        super().__init__(Behaviour(), **arguments)
        self.rows = list(rows)
        self.last = max((offset for offset, _ in self.rows), default=0)
        self.subscriptions = {}
        self.calls = []
        self.said = []
        self.epochs = set()
        self.counter = 0
        self.uid = os.urandom(16)
        self.lsn = 1000
        self.encoding = messages.ENCODING_JSON
        self.rows_a_message = 100
        self.max_attempts = 3
        self.messages_sent = 0

    def handlers(self):
        return {"Subscribe": grpc.stream_stream_rpc_method_handler(
                    self.subscribe, messages.SubscribeRequest.FromString, serialize),
                "Unsubscribe": grpc.unary_unary_rpc_method_handler(
                    self.unsubscribe, messages.UnsubscribeRequest.FromString, serialize)}

    # ---- what a test does ----

    def insert(self, *payloads):
        with self.changed:
            for payload in payloads:
                self.last += 1
                self.lsn += 1
                self.rows.append((self.last, payload))
            self.changed.notify_all()

    def make(self, name, position=0, guarantee=messages.AT_LEAST_ONCE):
        self.subscriptions[name] = Subscription(position, guarantee)
        return self.subscriptions[name]

    def seek(self, name, position):
        with self.changed:
            self.subscriptions[name].position = position
            if self.subscriptions[name].holder is not None:
                self.subscriptions[name].holder.active = False
            self.changed.notify_all()

    def redrive(self, name, *rows):
        with self.changed:
            self.subscriptions[name].redriven += rows
            self.changed.notify_all()

    def end_calls(self, end):
        with self.changed:
            for call in self.calls:
                call.end = end
            self.changed.notify_all()

    # ---- with the lock held ----

    def next_epoch(self):
        self.counter += 1
        self.epochs.add(self.counter << 31 | random.getrandbits(31))
        return max(self.epochs)

    def token(self, offset):
        return messages.Token(stream_uid=self.uid, system_identifier=7, timeline=1, lsn=self.lsn, offset=offset)

    def behind(self, offset, count):
        """The first rows behind the offset: rows are in order, and have few holes."""
        low, high = 0, len(self.rows)
        while low < high:
            middle = (low + high) // 2
            if self.rows[middle][0] <= offset:
                low = middle + 1
            else:
                high = middle
        return self.rows[low:low + max(count, 0)]

    # ---- calls ----

    def unsubscribe(self, request, context):
        behaviour = self.begin(context)
        self.end()
        if behaviour.at_open is not None:
            behaviour.at_open.apply(context)
        self.check_password(context)
        with self.changed:
            subscription = self.subscriptions.get(request.subscription)
            for call in self.calls:
                if subscription is not None and call.subscription is subscription:
                    call.end = End(grpc.StatusCode.ABORTED, "ended by Unsubscribe", "UNSUBSCRIBED")
            if subscription is not None and request.drop:
                del self.subscriptions[request.subscription]
            self.changed.notify_all()
        if subscription is None:
            End(grpc.StatusCode.NOT_FOUND, f'subscription "{request.subscription}" does not exist').apply(context)
        return messages.UnsubscribeResponse(dropped=request.drop)

    def subscribe(self, requests, context):
        behaviour = self.begin(context)
        try:
            self.check_password(context)
            subscribe = next(requests).subscribe
            self.note(self.opens, subscribe)
            if behaviour.at_open is not None:
                behaviour.at_open.apply(context)
            if behaviour.silent:
                self.stay_silent(context)
                return
            context.send_initial_metadata(())
            if behaviour.raw is not None:
                yield from behaviour.raw
                self.stay_silent(context)
                return
            call = self.join(subscribe, behaviour, context)
            yield from self.converse(call, requests, context)
        finally:
            self.end()

    def join(self, subscribe, behaviour, context):
        with self.changed:
            start = {FROM_LATEST: self.last, FROM_OFFSET: subscribe.after_offset}.get(getattr(subscribe, "from"), 0)
            subscription = None
            if subscribe.subscription:
                if subscribe.subscription not in self.subscriptions and subscribe.create:
                    self.make(subscribe.subscription, start, subscribe.guarantee or messages.AT_LEAST_ONCE)
                subscription = self.subscriptions.get(subscribe.subscription)
            call = Call(self, subscribe, behaviour, subscription, start)
            if not subscribe.subscription or subscription is not None:
                self.calls.append(call)
                return call
        End(grpc.StatusCode.NOT_FOUND, f'subscription "{subscribe.subscription}" does not exist').apply(context)

    def read(self, call, requests):
        try:
            for request in requests:
                with self.changed:
                    call.requests.append(request)
                    self.changed.notify_all()
            with self.changed:
                call.half_closed = True
                self.changed.notify_all()
        except Exception:               # the call is over, in whatever way
            self.lose(call)

    def lose(self, call):
        with self.changed:
            call.gone = True
            self.changed.notify_all()

    def converse(self, call, requests, context):
        context.add_callback(lambda: self.lose(call))
        threading.Thread(target=self.read, args=(call, requests), daemon=True).start()
        try:
            while (response := self.next_response(call)) is not None:
                yield response
                with self.changed:
                    self.messages_sent += 1
                    self.changed.notify_all()
        finally:
            with self.changed:
                self.calls.remove(call)
                if call.subscription is not None and call.subscription.holder is call:
                    call.subscription.holder = None
                self.changed.notify_all()
        if call.end is not None:
            call.end.apply(context)
        self.note(self.ends, "half-closed" if call.half_closed else "gone")

    def next_response(self, call):
        """None: the call is over."""
        with self.changed:
            while True:
                while call.requests and call.end is None:
                    call.take(call.requests.pop(0))
                    self.changed.notify_all()
                if call.behaviour.after_rows is not None and call.rows_sent >= call.behaviour.after_rows[0]:
                    call.end = call.behaviour.after_rows[1]
                if call.gone or self.stopping or call.end is not None or call.half_closed:
                    return None
                response = call.next_response()
                if response is not None:
                    return response
                self.changed.wait(1)
