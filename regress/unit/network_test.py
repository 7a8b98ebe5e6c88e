#!/usr/bin/python3
"""The network thread against clients, good and bad: network_server.c serves.

usage: network_test.py DIRECTORY-OF-network_server-AND-network_load
Messages are written and read byte by byte: this also shows that a client needs
nothing but the field numbers.  Prints TAP.
"""
import asyncio
import os
import random
import re
import socket
import struct
import subprocess
import tempfile
import time

import grpc

from network_client import BIN, SECONDS, Feed, Server, field, finish, ok, ok_memory, outcome, wait_until

METHOD = "/ingestion.IngestionService/IngestData"


def request(key, payload=b"\x0a\x01x"):
    return (field(1, key) if key else b"") + field(2, payload)


def answer(key, status):
    return (field(1, key) if key else b"") + b"\x10" + bytes([status])


def ingest(channel, feed, stream=None, timeout=SECONDS):
    metadata = [("sluice-stream", stream)] if stream is not None else None
    return channel.stream_stream(METHOD)(iter(feed), metadata=metadata, timeout=timeout)


# The network thread tells of records and bytes when it has nothing else to do.
def nothing_left(server):
    figures = server.counters()
    return figures["calls_now"] == figures["records"] == figures["bytes"] == 0


def test_ordinary(server):
    channel = server.channel()
    feed = Feed(request(b"k1"), request(b"dead1"), request(b""), field(1, b"nothing"), field(2, b"") + field(1, b"k5"), None)
    answers, code, _ = outcome(ingest(channel, feed))
    ok(answers == [answer(b"k1", 1), answer(b"dead1", 2), answer(b"", 1), answer(b"nothing", 1), answer(b"k5", 1)],
       "every request has its answer, with its key")
    ok(code == grpc.StatusCode.OK, "the call ends with OK after the half-close")
    answers, code, _ = outcome(ingest(channel, Feed(None)))
    ok(answers == [] and code == grpc.StatusCode.OK, "a call without requests ends with OK")
    answers, code, details = outcome(ingest(channel, Feed(request(b"k")), "unknown_stream"))
    ok(answers == [] and code == grpc.StatusCode.NOT_FOUND and "create_stream" in details, "unknown stream: " + details)
    answers, code, details = outcome(ingest(channel, Feed(request(b"k")), "gone"))
    ok(answers == [] and code == grpc.StatusCode.NOT_FOUND and "dropped" in details, "dropped stream: " + details)
    answers, code, details = outcome(ingest(channel, Feed(), "x" * 300))
    ok(code == grpc.StatusCode.NOT_FOUND, "a name too long for a stream: " + details)
    feed = Feed(request(b"a"), request(b"b"), b"\x0a\x7fk", request(b"c"))
    answers, code, details = outcome(ingest(channel, feed))
    ok(answers == [answer(b"a", 1), answer(b"b", 1)] and code == grpc.StatusCode.INVALID_ARGUMENT,
       "malformed envelope after two records, which are answered: " + details)
    answers, code, details = outcome(ingest(channel, Feed(request(b"k" * 1024), request(b"k" * 1025))))
    ok(answers == [answer(b"k" * 1024, 1)] and code == grpc.StatusCode.INVALID_ARGUMENT and "1025" in details,
       "a key of 1024 bytes passes, one of 1025 does not: " + details)
    answers, code, details = outcome(ingest(channel, Feed(request(b"k", b"x" * (1024 * 1024)), None)))
    ok(answers == [answer(b"k", 1)] and code == grpc.StatusCode.OK, "a record of max_record_size passes")
    packed = channel.stream_stream(METHOD)(iter([request(b"k", b"x" * 100000)]), timeout=SECONDS, compression=grpc.Compression.Gzip)
    answers, code, details = outcome(packed)
    ok(answers == [] and code == grpc.StatusCode.UNIMPLEMENTED and "ompress" in details, "a client that compresses: " + details)
    try:
        channel.unary_unary("/ingestion.IngestionService/Nothing")(b"", timeout=SECONDS)
        ok(False, "unknown method")
    except grpc.RpcError as error:
        ok(error.code() == grpc.StatusCode.UNIMPLEMENTED, "unknown method: UNIMPLEMENTED")
    channel.close()


def test_huge():
    memory = 16 * 1024 * 1024
    server = Server(memory=memory)
    base = server.counters()["resident"]
    channel, other = server.channel(), server.channel()
    _, code, details = outcome(ingest(channel, Feed(request(b"k", b"x" * (3 * 1024 * 1024)))))
    ok(code == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details, "a message of 3 MB: " + details)
    calls = [ingest(channel, Feed(request(b"k", b"x" * (100 * 1024 * 1024)))) for _ in range(3)]
    ok(all(outcome(call)[1] == grpc.StatusCode.RESOURCE_EXHAUSTED for call in calls), "three messages of 100 MB are refused")
    ok(outcome(ingest(other, Feed(request(b"k"), None)))[1] == grpc.StatusCode.OK, "others are served")
    # gRPC finds them too long when it has read them: its quota is the memory, 32 MB, and 16 kB for each of 2000 calls.
    ok_memory(server.counters()["resident"], base + memory / 1024 + 32 * 1024 + 2000 * 16 + 8 * 1024,
              "messages that are too long do not fill the memory")
    channel.close()
    other.close()
    ok(server.stop() is not None, "the server stops")


def test_cancel(server):
    channel = server.channel()
    calls = [ingest(channel, Feed(*[request(b"k%d" % i) for i in range(200)]), "held") for _ in range(20)]
    ok(wait_until(lambda: server.counters()["held"] == 4000), "4000 records are with the main thread")
    for call in calls:
        call.cancel()
    ok(wait_until(lambda: server.counters()["records"] <= 4000), "their calls are cancelled")
    server.ask("release")
    ok(wait_until(lambda: server.counters()["records"] == 0), "their verdicts come to nobody")
    ok(wait_until(lambda: nothing_left(server)), "nothing is left of them")
    channel.close()


def test_held(address="127.0.0.1"):
    memory = 4 * 1024 * 1024
    server = Server(address, memory=memory)
    channel, other = server.channel(), server.channel()
    sent = [0]

    def flood():
        while True:
            sent[0] += 1
            yield request(b"k", b"x" * 1000)

    calls = [ingest(channel, flood(), "held") for _ in range(8)]
    ok(wait_until(lambda: server.counters()["bytes"] > memory / 4), "a held stream fills its part")

    def settled():
        before = sent[0]
        time.sleep(0.3)
        return sent[0] == before

    ok(wait_until(settled), "then its clients are stopped by flow control (%d sent)" % sent[0])
    ok(server.counters()["bytes"] <= memory, "within the worker's memory: %d bytes" % server.counters()["bytes"])
    answers, code, _ = outcome(ingest(other, Feed(*[request(b"k%d" % i) for i in range(5000)], None), "other"))
    ok(len(answers) == 5000 and code == grpc.StatusCode.OK, "another stream goes on meanwhile")
    before = server.counters()["received"]
    server.ask("release")
    ok(wait_until(lambda: server.counters()["received"] > before + 100), "what was paused is read on when there is room")
    for call in calls:
        call.cancel()
    ok(wait_until(lambda: server.ask("release") and server.counters()["calls_now"] == 0), "all calls end")
    ok(wait_until(lambda: nothing_left(server)), "no bytes are left")
    channel.close()
    other.close()
    ok(server.stop() is not None, "the server stops")


def test_never_reads():
    server = Server(stall_timeout_ms=8000)
    channel = server.channel(**{"grpc.http2.bdp_probe": 0})     # or the client itself buffers 4 MB of answers a call
    sent = [0]

    def flood():
        while True:
            sent[0] += 1
            yield request(b"key-%0500d" % sent[0])

    calls = [ingest(channel, flood(), timeout=None) for _ in range(10)]   # nobody iterates over them

    def settled():
        before = sent[0]
        time.sleep(0.5)
        return sent[0] == before and before > 0

    ok(wait_until(settled), "clients that never read are not read any more (%d sent)" % sent[0])
    figures = server.counters()
    ok(figures["bytes"] <= 10 * 2 * 1024 * 1024, "memory stays bounded: %(bytes)d bytes in flight" % figures)
    ok_memory(figures["resident"], 100 * 1024, "altogether")
    other = server.channel()
    answers, code, _ = outcome(ingest(other, Feed(*[request(b"k%d" % i) for i in range(1000)], None)))
    ok(len(answers) == 1000 and code == grpc.StatusCode.OK, "another client of the same stream goes on")
    ok(wait_until(lambda: server.counters()["calls_now"] == 0, 60), "after a time they are cut off")
    _, code, details = outcome(calls[0])
    ok(code == grpc.StatusCode.RESOURCE_EXHAUSTED, "and told why: " + details)
    ok(wait_until(lambda: nothing_left(server)), "no bytes are left")
    channel.close()
    other.close()
    ok(server.stop() is not None, "the server stops")


async def idle_calls(target, n):
    async with grpc.aio.insecure_channel(target) as channel:
        calls = [channel.stream_stream(METHOD)(timeout=SECONDS) for _ in range(n)]
        for call in calls:
            await call.write(request(b"k"))
        good = 0
        for call in calls:
            good += await call.read() == answer(b"k", 1)
        load = await asyncio.create_subprocess_exec(BIN + "/network_load", target, "records=20000", stdout=subprocess.PIPE)
        output = (await load.communicate())[0].decode()
        refused = channel.stream_stream(METHOD)(timeout=SECONDS)
        for call in calls:
            await call.done_writing()
        ended = 0
        for call in calls:
            ended += await call.code() == grpc.StatusCode.OK
        refused.cancel()
        return good, output, ended


def test_idle_calls(server):
    good, output, ended = asyncio.run(idle_calls(server.target, 1000))
    ok(good == 1000, "1000 open calls: %d have had their answer" % good)
    ok("load ok" in output, "others are served beside them: " + output.strip())
    ok(ended == 1000, "all end with OK (%d)" % ended)


def test_max_calls():
    server = Server(max_calls=3)
    channel = server.channel()
    feeds = [Feed(request(b"k")) for _ in range(3)]
    calls = [ingest(channel, feed) for feed in feeds]
    ok(all(next(call) == answer(b"k", 1) for call in calls), "as many calls as allowed")
    _, code, details = outcome(ingest(channel, Feed(request(b"k"))))
    ok(code == grpc.StatusCode.RESOURCE_EXHAUSTED, "one more is refused: " + details)
    ok(wait_until(lambda: server.counters()["refused"] == 1), "and counted")
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    ok(check(b"", timeout=SECONDS) == b"\x08\x01", "health is still answered")
    for feed in feeds:
        feed.queue.put(None)
    ok(all(outcome(call)[1] == grpc.StatusCode.OK for call in calls), "the others end with OK")
    ok(wait_until(lambda: server.counters()["calls_now"] == 0) and
       outcome(ingest(channel, Feed(request(b"k"), None)))[1] == grpc.StatusCode.OK, "then there is room again")
    channel.close()
    ok(server.stop() is not None, "the server stops")


def test_health(server):
    channel = server.channel()
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
    ours = field(1, b"ingestion.IngestionService")
    ok(check(b"", timeout=SECONDS) == b"\x08\x01" and check(ours, timeout=SECONDS) == b"\x08\x01", "Check: SERVING")
    try:
        check(field(1, b"other.Service"), timeout=SECONDS)
        ok(False, "Check of an unknown service")
    except grpc.RpcError as error:
        ok(error.code() == grpc.StatusCode.NOT_FOUND, "Check of an unknown service: NOT_FOUND")
    try:
        check(b"\x0a\x7f", timeout=SECONDS)
        ok(False, "Check with a malformed request")
    except grpc.RpcError as error:
        ok(error.code() == grpc.StatusCode.INVALID_ARGUMENT, "Check with a malformed request: INVALID_ARGUMENT")
    watched, unknown = watch(ours, timeout=SECONDS), watch(field(1, b"other.Service"), timeout=SECONDS)
    ok(next(watched) == b"\x08\x01" and next(unknown) == b"\x08\x03", "Watch: SERVING, SERVICE_UNKNOWN")
    server.ask("serving 0")
    ok(next(watched) == b"\x08\x02", "Watch: NOT_SERVING when it changes")
    ok(check(b"", timeout=SECONDS) == b"\x08\x02", "Check: NOT_SERVING")
    server.ask("serving 1")
    ok(next(watched) in (b"\x08\x01", b""), "Watch: SERVING again")
    watched.cancel()
    unknown.cancel()
    channel.close()


def fields(data):
    """(number, bytes or int) of a message."""
    out, at = [], 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            out.append((tag >> 3, number()))
        else:
            length = number()
            out.append((tag >> 3, data[at:at + length]))
            at += length
    return out


def test_reflection(server):
    from google.protobuf import descriptor_pb2
    channel = server.channel()
    for version in ("v1", "v1alpha"):
        method = channel.stream_stream("/grpc.reflection.%s.ServerReflection/ServerReflectionInfo" % version)
        asked = [field(7, b""), field(3, b"ingestion.proto"), field(4, b"ingestion.IngestionService.IngestData"),
                 field(4, b"ingestion.IngestDataResponse.Status"), field(4, b"nowhere"), field(6, b"ingestion.DataPayload"),
                 field(5, field(1, b"ingestion.DataPayload") + b"\x10\x01"), field(1, b"host")]
        answers = [fields(a) for a in method(iter(asked), timeout=SECONDS)]
        ok(len(answers) == len(asked) and [dict(a).get(2) for a in answers] == asked, version + ": each request is answered in order")
        names = sorted(dict(fields(s))[1].decode() for n, s in fields(dict(answers[0])[6]))
        ok(names == ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
                     "ingestion.IngestionService", "sluice.v1.SluiceService"], version + ": services " + " ".join(names))
        for i in (1, 2, 3):
            files = [descriptor_pb2.FileDescriptorProto.FromString(f) for _, f in fields(dict(answers[i])[4])]
            ok([f.name for f in files] == ["ingestion.proto", "google/protobuf/timestamp.proto"], version + ": file with its imports")
        asked = [field(4, b"sluice.v1.SluiceService." + name) for name in (b"Publish", b"Subscribe", b"Unsubscribe")]
        files = [descriptor_pb2.FileDescriptorProto.FromString(dict(fields(dict(fields(a))[4]))[1]) for a in method(iter(asked), timeout=SECONDS)]
        ok([f.name for f in files] == ["sluice.proto"] * 3, version + ": the native methods")
        errors = [dict(fields(dict(answers[i])[7]))[1] for i in (4, 6, 7)]
        ok(errors == [5, 5, 3], version + ": what is unknown is an error response: %s" % errors)
        ok(dict(fields(dict(answers[5])[5]))[1] == b"ingestion.DataPayload", version + ": a message without extensions")
    channel.close()


def test_drain(address="127.0.0.1"):
    server = Server(address)
    channel = server.channel()
    feed, idle = Feed(*[request(b"k%d" % i) for i in range(100)]), Feed()
    held, silent = ingest(channel, feed, "held"), ingest(channel, idle)
    watched = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=SECONDS)
    ok(next(watched) == b"\x08\x01" and wait_until(lambda: server.counters()["held"] == 100), "100 records are not yet settled")
    server.ask("drain the server goes away: reconnect")
    ok(next(watched) == b"\x08\x02", "watchers hear NOT_SERVING")
    feed.queue.put(request(b"late"))
    ok(outcome(watched)[1] == grpc.StatusCode.UNAVAILABLE, "and UNAVAILABLE")
    ok(outcome(silent) == ([], grpc.StatusCode.UNAVAILABLE, "the server goes away: reconnect"), "an idle call ends with UNAVAILABLE")
    _, code, _ = outcome(ingest(server.channel(), Feed(request(b"k")), timeout=2))
    ok(code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), "a new call is not served")
    server.ask("release")
    answers, code, details = outcome(held)
    ok(sorted(answers) == sorted(answer(b"k%d" % i, 1) for i in range(100)), "what had arrived is answered, what came later is not")
    ok(code == grpc.StatusCode.UNAVAILABLE and "reconnect" in details, "then the call ends with UNAVAILABLE")
    ok("drained 1" in server.ask("wait_drained"), "the server knows that all calls are gone")
    took = server.stop()
    ok(took is not None and took < 2000, "it stops at once (%s ms)" % took)
    channel.close()


def test_refused_after_half_close():
    server = Server()
    channel = server.channel()
    feed = Feed(*[request(b"k%d" % i) for i in range(10)])
    held = ingest(channel, feed, "held")
    ok(wait_until(lambda: server.counters()["held"] == 10), "ten records wait")
    feed.queue.put(None)
    # What comes over the same connection comes after the half-close.
    ok(outcome(ingest(channel, Feed(None)))[1] == grpc.StatusCode.OK, "a call without requests ends with OK")
    server.ask("refuse")
    answers, code, details = outcome(held)
    ok(answers == [] and code == grpc.StatusCode.NOT_FOUND, "a call that was half-closed does not end with OK when its records are refused: " + details)
    server.stop()
    channel.close()


def test_stop():
    server = Server()
    channel = server.channel()
    held = ingest(channel, Feed(*[request(b"k%d" % i) for i in range(100)]), "held")
    silent = ingest(channel, Feed())
    ok(wait_until(lambda: server.counters()["held"] == 100 and server.counters()["calls_now"] == 2), "two calls are open")
    took = server.stop()
    ok(took is not None and took < 2000, "stop cuts them off and ends (%s ms)" % took)
    ok(outcome(held)[1] == outcome(silent)[1] == grpc.StatusCode.UNAVAILABLE, "the clients see UNAVAILABLE")
    channel.close()


def test_descriptors(address, reuse_port):
    server = Server(address, nofile=64, reuse_port=reuse_port)
    channel = server.channel()
    feed = Feed(request(b"before"))
    call = ingest(channel, feed)
    ok(next(call) == answer(b"before", 1), "%s, reuse_port %d: a call is open" % (address, reuse_port))
    sockets = []
    for _ in range(100):
        if address.startswith("unix:"):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(1)
            try:
                s.connect(address[5:])
            except OSError:
                break
        else:
            s = socket.create_connection(("127.0.0.1", server.port))
        sockets.append(s)
    ok(wait_until(lambda: server.logged("out of file descriptors")), "connections use up the file descriptors")
    feed.queue.put(request(b"meanwhile"))
    ok(next(call) == answer(b"meanwhile", 1), "the open call is still served")
    for s in sockets:
        s.close()
    ok(wait_until(lambda: server.counters()["restarts"] > 0), "the listener is replaced when there are some again")
    for i in range(3):
        other = server.channel()
        answers, code, _ = outcome(ingest(other, Feed(request(b"k"), None)))
        ok(answers == [answer(b"k", 1)] and code == grpc.StatusCode.OK, "new client %d is served" % (i + 1))
        other.close()
    feed.queue.put(None)
    ok(outcome(call)[1] == grpc.StatusCode.OK, "the call of the old listener ends with OK")
    channel.close()
    ok(server.stop() is not None, "the server stops")


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def hostile_bytes(seed):
    """Something that is not quite HTTP/2, or not quite gRPC."""
    rng = random.Random(seed)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")

    def header(name, value):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    headers = b"".join(header(n, v) for n, v in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", METHOD.encode()), (b":authority", b"x"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers")))
    call = preface + frame(1, 4, 1, headers)
    kinds = [
        rng.randbytes(rng.randrange(1, 4000)),
        preface + rng.randbytes(rng.randrange(1, 4000)),
        call[:rng.randrange(len(call))],
        call + frame(0, 0, 1, b"\x00\xff\xff\xff\xff" + rng.randbytes(100)),
        call + frame(0, 0, 1, b"\x00\x00\x0f\xff\xff" + rng.randbytes(1000)),
        call + frame(0, 0, 1, b"\x01" + struct.pack(">I", 20) + rng.randbytes(20)),
        call + frame(0, 0, 1, b"\x00" + struct.pack(">I", 50) + rng.randbytes(50)),
        call + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        call + b"".join(frame(rng.randrange(12), rng.randrange(256), rng.randrange(5), rng.randbytes(rng.randrange(200)))
                        for _ in range(5)),
        preface + frame(1, 0, 1, headers) + frame(9, 0, 1, rng.randbytes(2000)) * 20,
        preface + frame(1, 4, 1, headers.replace(b"application/grpc", b"application/json")),
    ]
    return kinds[seed % len(kinds)]


def test_hostile(server):
    load = subprocess.Popen([BIN + "/network_load", server.target, "calls=4", "records=50000"], stdout=subprocess.PIPE, text=True)
    sockets = []
    for seed in range(1100):
        s = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
        try:
            s.sendall(hostile_bytes(seed))
        except OSError:
            pass                     # closed already, as it should
        sockets.append(s)
        if len(sockets) > 200:
            sockets.pop(0).close()
    output = load.communicate(timeout=120)[0]
    ok("load ok" in output, "1100 hostile connections while a client is served: " + output.strip())
    for s in sockets:
        s.close()
    ok(wait_until(lambda: server.counters()["calls_now"] == 0), "none of them left a call behind")
    ok(wait_until(lambda: nothing_left(server)), "nor records")
    ok_memory(server.counters()["resident"], 150 * 1024, "memory")


def test_masks(server):
    def mask(tid):
        try:
            with open("/proc/%d/task/%s/status" % (server.process.pid, tid)) as status:
                return re.search(r"SigBlk:\s*(\w+)", status.read()).group(1)
        except (FileNotFoundError, ProcessLookupError):
            return None             # gRPC ends threads that have nothing to do

    main = str(server.process.pid)
    tids = os.listdir("/proc/%s/task" % main)
    others = [m for m in (mask(tid) for tid in tids if tid != main) if m is not None]
    ok(len(others) >= 4 and all(m == "fffffffe7ffbfeff" for m in others), "%d threads block all signals" % len(others))
    ok(mask(main) == "0000000000000000", "the main thread's mask is as it was")


def test_addresses():
    server = Server()
    second = Server(port=server.port)
    ok(second.failure is not None and "could not bind" in second.failure and "in use" in second.failure,
       "a second server on the port: %s" % second.failure)
    ok(second.process.wait(SECONDS) == 1, "which is an error and not a crash")
    ok(server.stop() is not None, "the first one stops")
    first, third = Server("127.0.0.1", reuse_port=1), None
    third = Server("127.0.0.1", reuse_port=1, port=first.port)
    ok(third.port == first.port, "with reuse_port several listen on a port")
    ok(first.stop() is not None and third.stop() is not None, "both stop")
    server = Server("localhost,127.0.0.2,*")
    ok(not server.failure or "bind" in server.failure, "a list of addresses")
    if not server.failure:
        channel = grpc.insecure_channel("127.0.0.2:%d" % server.port)
        ok(outcome(ingest(channel, Feed(request(b"k"), None)))[1] == grpc.StatusCode.OK, "the second of them answers")
        channel.close()
        ok(server.stop() is not None, "the server stops")
    failed_server = Server("203.0.113.1")
    ok(failed_server.failure is not None and "203.0.113.1" in failed_server.failure, "an address of others: %s" % failed_server.failure)
    directory = tempfile.mkdtemp()
    path = directory + "/socket"
    server = Server("unix:" + path)
    thief = Server("unix:" + path)
    ok(thief.failure is not None and "another process" in thief.failure, "a unix socket is not stolen: %s" % thief.failure)
    channel = server.channel()
    ok(outcome(ingest(channel, Feed(request(b"k"), None)))[1] == grpc.StatusCode.OK, "a unix socket answers")
    channel.close()
    ok(server.stop() is not None and os.listdir(directory) == [], "the server stops and leaves no file")
    os.rmdir(directory)


def main():
    server = Server()
    for test in (test_ordinary, test_cancel, test_health, test_reflection, test_idle_calls, test_hostile, test_masks):
        print("# " + test.__name__, flush=True)
        test(server)
    ok(wait_until(lambda: server.counters()["calls_now"] == 0), "no call is left")
    ok(server.stop() is not None, "the server stops")
    directory = tempfile.mkdtemp()
    path = "unix:" + directory + "/socket"
    for test, arguments in ((test_huge, ()), (test_held, ()), (test_max_calls, ()), (test_drain, ()), (test_drain, (path,)),
                            (test_refused_after_half_close, ()), (test_stop, ()),
                            (test_addresses, ()), (test_descriptors, ("127.0.0.1", 0)), (test_descriptors, ("127.0.0.1", 1)),
                            (test_descriptors, (path, 0)), (test_never_reads, ())):
        print("# " + test.__name__, flush=True)
        test(*arguments)
    os.rmdir(directory)
    finish()


main()
