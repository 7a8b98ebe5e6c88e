#!/usr/bin/python3
"""Subscribe and Unsubscribe on the network thread: network_server.c serves,
network_consumers.c plays the main thread.

usage: network_subscribe_test.py DIRECTORY-OF-network_server-AND-network_load
Prints TAP.
"""
import asyncio
import struct
import subprocess
import time

import grpc

from network_client import BIN, SECONDS, Feed, Server, field, finish, ok, ok_memory, outcome, varint, wait_until

SUBSCRIBE = "/sluice.v1.SluiceService/Subscribe"
UNSUBSCRIBE = "/sluice.v1.SluiceService/Unsubscribe"
INGEST = "/ingestion.IngestionService/IngestData"
Code = grpc.StatusCode
NO_READ_AHEAD = {"grpc.http2.bdp_probe": 0}     # or the client itself buffers 4 MB a call


def number(n, value):
    return varint(n << 3) + varint(value & (1 << 64) - 1)


def epoch(value):
    return b"\x09" + struct.pack("<Q", value)


def wish(subscription=b"", stream=b"", more=b""):
    return field(1, field(1, stream) + field(2, subscription) + field(11, b"test 1.0") + more)


def acknowledge(offset, of=7):
    return field(3, epoch(of) + number(2, offset))


ACTIVE = field(2, epoch(7))


def caught_up(offset, of=7):
    return field(4, epoch(of) + number(2, offset))


def subscribe(channel, feed, metadata=None, timeout=SECONDS):
    return channel.stream_stream(SUBSCRIBE)(iter(feed), metadata=metadata, timeout=timeout)


def ended(call):
    """Answers, status, message, sluice-reason."""
    answers, code, details = outcome(call)
    return answers, code, details, dict(call.trailing_metadata() or ()).get("sluice-reason")


def is_rows(message, size):
    return message[:1] == b"\x1a" and size < len(message) < size + 50


def nothing_left(server):
    def gone():
        figures = server.counters()
        return figures["calls_now"] == figures["records"] == figures["bytes"] == server.consumers()["now"] == 0
    return wait_until(gone)


def ingest(channel, n, stream="other"):
    """Answers and status of n records."""
    feed = Feed(*[field(1, b"k%d" % i) + field(2, b"x") for i in range(n)], None)
    return outcome(channel.stream_stream(INGEST)(iter(feed), metadata=[("sluice-stream", stream)], timeout=SECONDS))


def test_ordinary(server):
    channel = server.channel()
    feed = Feed(wish(b"plain", b"readings"))
    call = subscribe(channel, feed)
    ok(call.initial_metadata() is not None and next(call) == ACTIVE, "a subscription opens and is active")
    feed.queue.put(acknowledge(1))
    ok(next(call) == caught_up(1), "an acknowledgement is handed over")
    for i in range(2, 2000):
        feed.queue.put(acknowledge(i))
    ok([next(call) for _ in range(2, 2000)] == [caught_up(i) for i in range(2, 2000)], "many are, in their order")
    token = field(1, b"0123456789abcdef") + number(5, 77)
    feed.queue.put(field(2, epoch(8) + field(2, token)))
    ok(next(call) == caught_up(77, 8), "so is a Start, with its token")
    feed.queue.put(field(4, epoch(9) + number(2, 5) + field(4, b"x" * 5000)))
    ok(next(call) == caught_up(-5, 9), "and a Nack, with a reason that is long")
    feed.queue.put(field(9, b"of a later version"))
    feed.queue.put(acknowledge(3000))
    ok(next(call) == caught_up(3000), "a request of a later version is passed over")
    feed.queue.put(None)
    ok(ended(call) == ([], Code.OK, "", None), "half-closed, it ends with OK")
    ok(server.left("plain graceful=1 gone=0 pulls=2"), "it has left gracefully, and both pulls were given back")
    for n, size in (3000, 1), (300, 60000), (3, 1500000):
        feed = Feed(wish(b"rows %d %d" % (n, size)))
        call = subscribe(server.channel(**{"grpc.max_receive_message_length": 1 << 22}), feed)
        answers = [next(call) for _ in range(n + 1)]
        ok(answers[0] == ACTIVE and all(is_rows(a, size) for a in answers[1:]), "%d messages with %d bytes each" % (n, size))
        feed.queue.put(None)
        ok(ended(call) == ([], Code.OK, "", None), "after which it ends with OK")
    ok(ended(subscribe(channel, Feed(None))) == ([], Code.OK, "", None), "a call without requests ends with OK")
    ok(nothing_left(server), "nothing is left of them")
    channel.close()


def test_refusals(server):
    channel = server.channel()

    def refused(name, expected, *messages, metadata=None):
        answers, code, details, reason = ended(subscribe(channel, Feed(*messages), metadata))
        ok((answers, code, reason) == expected, "%s: %s" % (name, details))

    unknown = [("sluice-stream", "unknown")]
    refused("an unknown stream", ([], Code.NOT_FOUND, None), wish(b"", b"unknown"))
    refused("one that the metadata names", ([], Code.NOT_FOUND, None), wish(), metadata=unknown)
    feed = Feed(wish(b"named", b"readings"), None)
    ok(ended(subscribe(channel, feed, unknown))[1] == Code.OK, "the name in Subscribe is preferred")
    refused("another stream's subscription", ([], Code.INVALID_ARGUMENT, "MISMATCH"), wish(b"refused"))
    refused("a position that is refused", ([], Code.OUT_OF_RANGE, "BEYOND_END"), wish(b"torn"))
    refused("an old epoch", ([ACTIVE], Code.ABORTED, "STALE_EPOCH"), wish(b"stale"), acknowledge(1, of=666))
    refused("one that the main thread did not come to", ([], Code.UNAVAILABLE, None), wish(b"dumb"))
    refused("a position that it did not come to", ([], Code.UNAVAILABLE, None), wish(b"dumb pull"))
    refused("an acknowledgement", ([ACTIVE], Code.UNAVAILABLE, None), wish(b"dumb advance"), acknowledge(1, of=667))
    refused("a subscription that is ended", ([ACTIVE], Code.ABORTED, "UNSUBSCRIBED"), wish(b"over"), acknowledge(999999))
    ok(all(server.left("%s graceful=0 gone=0" % name) for name in ("torn", "stale", "over")),
       "those that were open have left, not gracefully")
    ok(server.left("refused", 0) and server.left(" ", 0), "the others had never come")

    malformed = ([], Code.INVALID_ARGUMENT, "MALFORMED")
    refused("no Subscribe first", malformed, acknowledge(1))
    refused("an empty message first", malformed, b"")
    refused("bytes that are no message", malformed, b"\x0a\x7fx")
    refused("a name that is too long", malformed, wish(b"x" * 201))
    refused("a name that is no text", malformed, wish(b"\xff"))
    refused("an encoding of a later version", malformed, wish(more=number(8, 9)))
    refused("a request that is too long", malformed, wish(b"", b"x" * 65536))
    refused("a stream's name that is too long", ([], Code.NOT_FOUND, None), wish(b"", b"x" * 256))
    refused("one that is no name", ([], Code.NOT_FOUND, None), wish(b"", b"a\0b"))
    refused("one in the metadata", ([], Code.NOT_FOUND, None), wish(), metadata=[("sluice-stream", "x" * 300)])

    opened = ([ACTIVE], Code.INVALID_ARGUMENT, "MALFORMED")

    def refused_later(name, message):
        feed = Feed(wish(b"later"))
        call = subscribe(channel, feed)
        first = next(call)
        feed.queue.put(message)
        answers, code, details, reason = ended(call)
        ok(([first] + answers, code, reason) == opened, "%s: %s" % (name, details))

    refused_later("a second Subscribe", wish(b"later"))
    refused_later("an advance that is no message", b"\x1a\x7fx")
    refused_later("an advance that is too long", acknowledge(1) + field(9, b"x" * 65536))
    refused_later("a token without a stream", field(2, field(2, b"")))
    refused_later("too many redriven rows", field(3, field(3, b"\x01" * 1001)))
    ok(server.left("later graceful=0 gone=0", 5), "all of these have left")
    ok(nothing_left(server), "nothing is left of them")
    channel.close()


def test_leaving(server):
    channel = server.channel()
    feed = Feed(wish(b"sticky"))
    call = subscribe(channel, feed)
    next(call)
    feed.queue.put(acknowledge(1))
    ok(next(call) == caught_up(1), "a subscription is open")
    feed.queue.put(None)
    ok(wait_until(lambda: server.consumers()["kept"] == 1) and call.is_active(), "the main thread is told that its client leaves")
    server.ask("release")
    ok(ended(call) == ([], Code.OK, "", None) and server.left("sticky graceful=1 gone=0"), "it ends when the main thread has forgotten it")

    feed = Feed(wish(b"sticky too"))
    call = subscribe(channel, feed)
    next(call)
    feed.queue.put(None)
    wait_until(lambda: server.consumers()["kept"] == 1)
    call.cancel()
    ok(wait_until(lambda: server.consumers()["gone"] == 1), "its client goes before that")
    server.ask("release")
    ok(nothing_left(server) and server.left("sticky too graceful=1"), "it left gracefully all the same")

    feed = Feed(wish(b"lazy, sticky"))
    call = subscribe(channel, feed)
    next(call)
    for i in range(1, 301):
        feed.queue.put(acknowledge(i))
    feed.queue.put(None)
    ok(wait_until(lambda: server.consumers()["kept"] == 301), "acknowledgements wait for the main thread")
    server.ask("release")
    answers, code, _, _ = ended(call)
    ok(answers == [caught_up(1), caught_up(2)] and code == Code.OK and server.left("lazy, sticky graceful=1 gone=0 pulls=0"),
       "all are taken before it leaves; messages that were sent meanwhile come before the status")
    ok(server.consumers()["kept"] == 0 and nothing_left(server), "nothing is left")
    channel.close()


def test_gone(server):
    channel = server.channel(**NO_READ_AHEAD)
    call = subscribe(channel, Feed(wish(b"rows 1000000 10000")))
    ok(all(next(call) for _ in range(200)), "a client reads")
    call.cancel()
    ok(server.left("rows 1000000 10000 graceful=0 gone=1"), "and is gone: its consumer leaves, not gracefully")
    call = subscribe(channel, Feed(wish(b"rows 1000000 60000")))
    next(call)
    call.cancel()
    ok(server.left("rows 1000000 60000 graceful=0 gone=1"), "one that does not read, too")
    feed = Feed(wish(b"lazy and gone"))
    call = subscribe(channel, feed)
    next(call)
    for i in range(100):
        feed.queue.put(acknowledge(i))
    wait_until(lambda: server.consumers()["kept"] == 100)
    call.cancel()
    ok(server.left("lazy and gone graceful=0 gone=1") and wait_until(lambda: server.counters()["calls_now"] == 1),
       "one that has acknowledgements with the main thread")
    call = subscribe(channel, Feed(wish(b"early", b"held")))
    wait_until(lambda: server.consumers()["kept"] == 101)
    call.cancel()
    ok(wait_until(lambda: server.consumers()["gone"] == 101) and server.left("early", 0), "one that is not open yet")
    server.ask("release")
    ok(server.left("early graceful=0 gone=1 pulls=0"), "leaves when it is")
    ok(nothing_left(server), "nothing is left of them")
    channel.close()


def test_killed(server):
    """The whole connection goes."""
    channels = [server.channel() for _ in range(20)]
    calls = [subscribe(channel, Feed(wish(b"killed"))) for channel in channels]
    ok(all(next(call) == ACTIVE for call in calls), "twenty clients")
    for channel in channels:
        channel.close()
    ok(server.left("killed graceful=0 gone=1 pulls=2", 20) and nothing_left(server), "all are gone at once")


async def many(target, n):
    async with grpc.aio.insecure_channel(target) as channel:
        calls = [channel.stream_stream(SUBSCRIBE)(timeout=SECONDS) for _ in range(n)]
        for i, call in enumerate(calls):
            await call.write(wish(b"many %d" % i))
        active = [await call.read() == ACTIVE for call in calls]
        for i, call in enumerate(calls):
            await call.write(acknowledge(i + 1))
        answered = [await call.read() == caught_up(i + 1) for i, call in enumerate(calls)]
        load = await asyncio.create_subprocess_exec(BIN + "/network_load", target, "records=20000", stdout=subprocess.PIPE)
        output = (await load.communicate())[0].decode()
        for call in calls:
            await call.done_writing()
        good = [await call.code() == Code.OK for call in calls]
        return sum(active), sum(answered), output, sum(good)


def test_many(server):
    active, answered, output, good = asyncio.run(many(server.target, 200))
    ok(active == 200 and answered == 200, "200 subscriptions on one connection: %d active, %d answered" % (active, answered))
    ok("load ok" in output, "others are served beside them: " + output.strip())
    ok(good == 200, "all end with OK (%d)" % good)
    ok(nothing_left(server), "nothing is left of them")


def test_unsubscribe(server):
    channel = server.channel()
    method = channel.unary_unary(UNSUBSCRIBE)
    ok(method(field(1, b"mailer"), timeout=SECONDS) == b"", "Unsubscribe: done")
    ok(method(field(1, b"mailer") + epoch(7).replace(b"\x09", b"\x11") + number(3, 1), timeout=SECONDS) == b"\x08\x01", "and dropped")
    for name, request, status, reason in (
            ("no such subscription", field(1, b"absent"), Code.NOT_FOUND, None),
            ("one that the main thread did not come to", field(1, b"dumb"), Code.UNAVAILABLE, None),
            ("no name", b"", Code.INVALID_ARGUMENT, "MALFORMED"),
            ("no message", b"\x0a\x7fx", Code.INVALID_ARGUMENT, "MALFORMED"),
            ("a long one", field(1, b"x" * 2000), Code.INVALID_ARGUMENT, "MALFORMED")):
        try:
            method(request, timeout=SECONDS)
            ok(False, "Unsubscribe: " + name)
        except grpc.RpcError as error:
            got = dict(error.trailing_metadata() or ()).get("sluice-reason")
            ok(error.code() == status and got == reason, "Unsubscribe: %s: %s" % (name, error.details()))
    ok(outcome(channel.stream_stream(UNSUBSCRIBE)(iter([]), timeout=SECONDS))[1] == Code.INVALID_ARGUMENT, "without a request")
    call = method.future(field(1, b"held"), timeout=SECONDS)
    ok(wait_until(lambda: server.consumers()["kept"] == 1), "one is with the main thread")
    call.cancel()
    ok(wait_until(lambda: server.consumers()["gone"] == 1), "its client is gone")
    server.ask("release")
    ok(server.consumers()["kept"] == 0 and nothing_left(server), "it is answered to nobody")
    channel.close()


def test_max_calls():
    server = Server(max_calls=2)
    channel = server.channel()
    calls = [subscribe(channel, Feed(wish(b"one"))) for _ in range(2)]
    ok(all(next(call) == ACTIVE for call in calls), "as many subscriptions as calls are allowed")
    _, code, details, _ = ended(subscribe(channel, Feed(wish(b"one"))))
    ok(code == Code.RESOURCE_EXHAUSTED, "one more is refused: " + details)
    ok(channel.unary_unary(UNSUBSCRIBE)(field(1, b"one"), timeout=SECONDS) == b"", "a subscription can be ended all the same")
    channel.close()
    ok(server.stop() is not None, "the server stops")


def test_room():
    server = Server(max_in_flight=64)
    channel = server.channel()
    feeds = [Feed(wish(b"lazy %d" % i)) for i in range(4)]
    calls = [subscribe(channel, feed) for feed in feeds]
    ok(all(next(call) == ACTIVE for call in calls), "as many subscriptions as half of the queue is enough for")
    _, code, details, reason = ended(subscribe(channel, Feed(wish())))
    ok(code == Code.RESOURCE_EXHAUSTED and reason is None, "one more is refused: " + details)
    ok(wait_until(lambda: server.counters()["refused"] == 1 and server.counters()["records"] == 0),
       "and counted; those that wait have nothing in flight")
    answers, code, _ = ingest(channel, 1000)
    ok(len(answers) == 1000 and code == Code.OK, "others go on")
    method = channel.unary_unary(UNSUBSCRIBE)
    asked = [method.future(field(1, b"held"), timeout=SECONDS) for _ in range(4)]
    ok(wait_until(lambda: server.consumers()["kept"] == 4), "four calls of Unsubscribe have a place")
    try:
        method(field(1, b"held"), timeout=SECONDS)
        ok(False, "a fifth has none")
    except grpc.RpcError as error:
        ok(error.code() == Code.RESOURCE_EXHAUSTED, "a fifth has none: " + error.details())
    server.ask("release")
    ok(all(call.result(SECONDS) == b"" for call in asked), "they are answered")
    for feed in feeds:
        for i in range(1, 101):
            feed.queue.put(acknowledge(i))

    def settled():
        before = server.consumers()["kept"]
        time.sleep(0.2)
        return before >= 16 and server.consumers()["kept"] == before

    ok(wait_until(settled), "400 acknowledgements wait, %d of them with the main thread" % server.consumers()["kept"])
    answers, code, _ = ingest(channel, 1000)
    ok(len(answers) == 1000 and code == Code.OK, "others go on")
    got = [[] for _ in calls]
    while any(len(g) < 100 for g in got):
        server.ask("release")
        if server.consumers()["advances"] == 400:
            for g, call in zip(got, calls):
                while len(g) < 100:
                    g.append(next(call))
    ok(all(g == [caught_up(i) for i in range(1, 101)] for g in got), "all are taken, in their order")
    for feed in feeds:
        feed.queue.put(None)
    ok(all(ended(call)[1] == Code.OK for call in calls), "then the calls end with OK")
    ok(nothing_left(server), "nothing is left of them")
    channel.close()
    ok(server.stop() is not None, "the server stops")


def test_full():
    """Those that send have all the room that there is for them."""
    server = Server(memory=1024 * 1024)
    channel, other = server.channel(), server.channel()

    def flood():
        while True:
            yield field(1, b"k") + field(2, b"x" * 1000)

    senders = [channel.stream_stream(INGEST)(flood(), metadata=[("sluice-stream", "held %d" % (i % 8))]) for i in range(32)]

    def settled():
        before = server.counters()["held"]
        time.sleep(0.3)
        return before > 300 and server.counters()["held"] == before

    ok(wait_until(settled), "senders fill the memory: %d bytes" % server.counters()["bytes"])
    feed = Feed(wish(b"rows 100 50000"))
    call = subscribe(other, feed)
    ok(next(call) == ACTIVE and all(is_rows(next(call), 50000) for _ in range(100)), "a subscription is served beside them")
    for i in range(1, 101):
        feed.queue.put(acknowledge(i))
        if next(call) != caught_up(i):
            ok(False, "acknowledgement %d is taken" % i)
    feed.queue.put(None)
    ok(ended(call) == ([], Code.OK, "", None), "and its acknowledgements are")
    for sender in senders:
        sender.cancel()
    ok(wait_until(lambda: server.ask("release") and server.counters()["calls_now"] == 0), "all calls end")
    channel.close()
    other.close()
    ok(server.stop() is not None, "the server stops")


def test_never_reads():
    server = Server(stall_timeout_ms=5000)
    idle = server.channel(**NO_READ_AHEAD)
    alone = subscribe(idle, Feed(wish(b"rows 1000000 60000")), timeout=None)
    next(alone)

    def settled():
        before = server.consumers()["messages"]
        time.sleep(0.3)
        return server.consumers()["messages"] == before

    # Both pulls have one.  Before them went the first message and what HTTP/2 and gRPC take: each has 64 kB, and
    # the client may grant its window again when it reads the first message.
    passed = wait_until(settled)
    messages, waiting = server.consumers()["messages"], server.counters()["bytes"]
    ok(passed and messages <= 10, "of a subscriber that does not read %d messages leave the main thread" % messages)
    ok(waiting <= 2 * 61000, "and %d bytes wait" % waiting)
    channels = [server.channel(**NO_READ_AHEAD) for _ in range(20)]
    calls = [subscribe(channel, Feed(wish(b"rows 1000000 60000")), timeout=None) for channel in channels for _ in range(20)]
    ok(all(next(call) == ACTIVE for call in calls) and wait_until(settled), "400 of them")
    figures = server.counters()
    ok(figures["bytes"] <= 16 * 1024 * 1024 + 402 * 61000, "memory stays bounded: %(bytes)d bytes wait" % figures)
    ok_memory(figures["resident"], 160 * 1024, "altogether")
    load = subprocess.run([BIN + "/network_load", server.target, "calls=4", "records=50000"], stdout=subprocess.PIPE, text=True, timeout=120)
    ok("load ok" in load.stdout, "a client that sends goes on: " + load.stdout.strip())
    reader = subscribe(server.channel(), Feed(wish(b"rows 500 60000")))
    ok(next(reader) == ACTIVE and all(is_rows(next(reader), 60000) for _ in range(500)), "so does one that reads")
    reader.cancel()
    ok(server.left("rows 500 60000 graceful=0 gone=1"), "until it is gone")

    # A row that is more than HTTP/2 takes: what comes behind it, and be it the status, waits for the client.
    feed = Feed(wish(b"rows 1000000 500000"))
    messages = server.consumers()["messages"]
    refused = subscribe(idle, feed, timeout=None)
    next(refused)
    ok(wait_until(lambda: server.consumers()["messages"] >= messages + 2), "one does not read")
    feed.queue.put(acknowledge(1, of=666))
    ok(server.left("rows 1000000 500000 graceful=0 gone=0 pulls=0"), "and is to end")
    for channel in channels:
        channel.close()
    ok(wait_until(lambda: server.counters()["calls_now"] <= 2), "the 400 are gone")
    ok(wait_until(lambda: server.counters()["calls_now"] == 1, 60), "the one that was to end is cut off after a time")
    _, code, details, _ = ended(refused)
    ok(code == Code.RESOURCE_EXHAUSTED, "and told why: " + details)
    ok(all(is_rows(next(alone), 60000) for _ in range(100)), "the first one has not been: it reads on when it likes to")
    alone.cancel()
    ok(nothing_left(server), "nothing is left of them")
    idle.close()
    ok(server.stop() is not None, "the server stops")


def test_drain():
    server = Server()
    channel = server.channel()
    feed = Feed(wish(b"plain"))
    call, silent, late = subscribe(channel, feed), subscribe(channel, Feed()), subscribe(channel, Feed(wish(b"late", b"held")))
    lazy_feed = Feed(wish(b"lazy"))
    lazy = subscribe(channel, lazy_feed)
    ok(next(call) == ACTIVE and next(lazy) == ACTIVE, "subscriptions are open")
    lazy_feed.queue.put(acknowledge(1))
    unsubscribe = channel.unary_unary(UNSUBSCRIBE).future(field(1, b"held") + number(3, 1), timeout=SECONDS)
    ok(wait_until(lambda: server.consumers()["kept"] == 3), "three things wait for the main thread")
    server.ask("drain the server goes away: reconnect")
    expected = ([], Code.UNAVAILABLE, "the server goes away: reconnect", None)
    ok(ended(call) == expected and server.left("plain graceful=0 gone=0 pulls=2"), "one that is open leaves and ends with UNAVAILABLE")
    ok(ended(silent) == expected, "one without a Subscribe does")
    ok(lazy.is_active() and late.is_active() and not unsubscribe.done(), "what the main thread has is waited for")
    server.ask("release")
    ok(ended(late) == expected and server.left("late graceful=0"), "one that opens then ends")
    ok(ended(lazy) == expected and server.left("lazy graceful=0"), "one whose acknowledgement is taken then ends")
    ok(unsubscribe.result(SECONDS) == b"\x08\x01", "and Unsubscribe is answered")
    ok("drained 1" in server.ask("wait_drained"), "the server knows that all calls are gone")
    ok(server.stop() is not None, "it stops")
    channel.close()


def test_stop():
    """In the sanitized build, this is about memory."""
    server = Server()
    channel = server.channel(**NO_READ_AHEAD)
    feed = Feed(wish(b"lazy"))
    lazy, opening = subscribe(channel, feed), subscribe(channel, Feed(wish(b"opening", b"held")))
    sticky = subscribe(channel, Feed(wish(b"sticky"), None))
    full = subscribe(channel, Feed(wish(b"rows 1000000 60000")))
    unsubscribe = channel.unary_unary(UNSUBSCRIBE).future(field(1, b"held"))
    next(lazy)
    next(full)
    for i in range(10):
        feed.queue.put(acknowledge(i))
    ok(wait_until(lambda: server.consumers()["kept"] == 13), "thirteen records are with the main thread")
    took = server.stop()
    ok(took is not None and took < 2000, "stop cuts them off and ends (%s ms)" % took)
    codes = [ended(call)[1] for call in (lazy, opening, sticky, full)] + [unsubscribe.code()]
    ok(codes == [Code.UNAVAILABLE] * 5, "the clients see UNAVAILABLE")
    channel.close()


def main():
    server = Server()
    for test in (test_ordinary, test_refusals, test_leaving, test_gone, test_killed, test_many, test_unsubscribe):
        print("# " + test.__name__, flush=True)
        test(server)
    ok(server.stop() is not None, "the server stops")
    for test in (test_max_calls, test_room, test_full, test_drain, test_stop, test_never_reads):
        print("# " + test.__name__, flush=True)
        test()
    finish()


main()
