#!/usr/bin/python3
"""What a hostile or broken peer does to the port: raw sockets and misused gRPC.

Each command runs for about --seconds or --count and reports one line of JSON.
None of them checks the server: the test does, from beside.
"""

import argparse
import concurrent.futures
import json
import os
import random
import socket
import struct
import sys
import time

import grpc

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
INGEST = "/ingestion.IngestionService/IngestData"


def frame(kind, flags, stream, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    """One header field of HPACK: literal, not indexed, new name."""
    return b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


def call_headers(path=INGEST):
    return b"".join(literal(n, v) for n, v in (
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
        ("content-type", "application/grpc"), ("te", "trailers")))


def connect(options):
    host, port = options.address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=5)


def opened_call(options):
    """A connection with one IngestData call on stream 1."""
    peer = connect(options)
    peer.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 4, 1, call_headers()))
    return peer


def drain(peer, seconds=0.2):
    """Read and forget what the server says; True when it closed."""
    peer.settimeout(seconds)
    try:
        while peer.recv(65536):
            pass
        return True
    except socket.timeout:
        return False
    except OSError:
        return True


def many(options, one):
    """Do one(random, n) on a fresh connection, count times, a few at a time."""
    def peer(n):
        try:
            return one(random.Random(options.seed * 100003 + n), n)
        except OSError:
            return True
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        closed = sum(pool.map(peer, range(options.count)))
    return {"connections": options.count, "closed_by_server": closed}


def command_noise(options):
    """Random bytes, from the first byte or after a correct start."""
    def one(rng, n):
        start = (b"", PREFACE, PREFACE + frame(SETTINGS, 0, 0),
                 PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 4, 1, call_headers()))[n % 4]
        with connect(options) as peer:
            peer.sendall(start + rng.randbytes(rng.choice((1, 9, 100, 5000))))
            return drain(peer, 0.05)
    return many(options, one)


def command_frames(options):
    """Well-formed frames with wrong content, and frames that stop half-way."""
    def one(rng, n):
        with opened_call(options) as peer:
            kind = rng.choice((DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, 77))
            body = rng.randbytes(rng.randrange(40))
            declared = rng.choice((len(body), len(body) + 1 + rng.randrange(1000), 0xFFFFFF))
            peer.sendall(frame(kind, rng.randrange(256), rng.choice((0, 1, 2, 3, 0x7FFFFFFF)), body, declared))
            return drain(peer, 0.05)
    return many(options, one)


def command_prefixes(options):
    """gRPC messages that announce up to 4 GB and send little of it; compressed flags set."""
    def one(rng, n):
        with opened_call(options) as peer:
            announced = rng.choice((0xFFFFFFFF, 0x7FFFFFFF, 1 << 30, 100 << 20, 17))
            message = bytes((rng.choice((0, 1, 2, 255)),)) + struct.pack(">I", announced) + rng.randbytes(10)
            peer.sendall(frame(DATA, rng.choice((0, 1)), 1, message))
            return drain(peer, 0.05)
    return many(options, one)


def command_records(options):
    """Whole gRPC messages of random content: what the envelope's decoder sees."""
    channel = grpc.insecure_channel(options.address, options=(("grpc.enable_http_proxy", 0),))
    stub = channel.stream_stream(INGEST, request_serializer=None, response_deserializer=None)
    endings = {}
    for n in range(options.count):
        rng = random.Random(options.seed * 7919 + n)
        message = bytearray(b"\x0a\x03" + b"%03d" % (n % 1000) + b"\x12\x0b\x0a\x01d\x19" + struct.pack("<d", 1.0))
        for _ in range(rng.randrange(1, 6)):
            message[rng.randrange(len(message))] = rng.randrange(256)
        if rng.random() < 0.3:
            message = message[:rng.randrange(len(message))]
        if rng.random() < 0.2:
            message = bytearray(rng.randbytes(rng.randrange(200)))
        try:
            responses = len(list(stub(iter([bytes(message)]), timeout=20)))
            code = "OK/%d" % responses
        except grpc.RpcError as error:
            code = error.code().name
        endings[code] = endings.get(code, 0) + 1
    return {"endings": endings}


def command_idle(options):
    """Calls that are opened and then say nothing, many a connection; held until standard input ends."""
    peers, calls = [], 0
    per_connection = 50
    while calls < options.count:
        peer = connect(options)
        peer.sendall(PREFACE + frame(SETTINGS, 0, 0))
        for n in range(min(per_connection, options.count - calls)):
            peer.sendall(frame(HEADERS, 4, 1 + 2 * n, call_headers()))
            calls += 1
        peers.append(peer)
    print(json.dumps({"calls": calls, "connections": len(peers)}), flush=True)
    sys.stdin.read()
    return {"done": True}


def command_unread(options):
    """Sends records as fast as it may and never reads one answer, until nothing more can be sent."""
    def records():
        n = 0
        while True:
            n += 1
            key = b"unread-%d-%d" % (os.getpid(), n)
            yield b"\x0a" + bytes((len(key),)) + key + b"\x12\x09\x0a\x07" + b"unread!"

    channels, counts = [], []
    for _ in range(options.count):
        peer = opened_call(options)
        peer.settimeout(0.5)
        # Its own windows for answers stay at 64 kB; it reads the socket, so that frames are not
        # what stops the server, but never opens the windows again.
        channels.append((peer, records()))
        counts.append(0)
    budget = {peer: [65535] for peer, _ in channels}
    deadline = time.monotonic() + options.seconds
    while time.monotonic() < deadline:
        for at, (peer, source) in enumerate(channels):
            try:
                counts[at] += send_some(peer, source, budget[peer])
            except OSError:
                pass
    print(json.dumps({"sent": sum(counts), "peers": len(channels)}), flush=True)
    sys.stdin.read()
    return {"done": True}


def send_some(peer, source, credit):
    """Records up to the server's flow control credit; the credit it gives is read, answers are thrown away."""
    sent, out = 0, b""
    while credit[0] > 8000 and sent < 200:
        message = next(source)
        payload = b"\x00" + struct.pack(">I", len(message)) + message
        out += frame(DATA, 0, 1, payload)
        credit[0] -= len(payload)
        sent += 1
    if out:
        peer.sendall(out)
    peer.settimeout(0.01)
    try:
        data = peer.recv(65536)
    except socket.timeout:
        return sent
    at = 0
    while at + 9 <= len(data):
        length = struct.unpack(">I", b"\x00" + data[at:at + 3])[0]
        kind, flags, stream = data[at + 3], data[at + 4], struct.unpack(">I", data[at + 5:at + 9])[0]
        if kind == WINDOW_UPDATE and stream == 1 and at + 13 <= len(data):
            credit[0] += struct.unpack(">I", data[at + 9:at + 13])[0]
        elif kind == SETTINGS and not flags & 1:
            peer.sendall(frame(SETTINGS, 1, 0))
        elif kind == PING and not flags & 1 and at + 17 <= len(data):
            peer.sendall(frame(PING, 1, 0, data[at + 9:at + 17]))
        at += 9 + length
    return sent


def command_oversize(options):
    """One message of so many MB, in a call of its own."""
    channel = grpc.insecure_channel(options.address, options=(
        ("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)))
    stub = channel.stream_stream(INGEST, request_serializer=None, response_deserializer=None)
    size = options.size << 20
    length = bytearray()
    rest = size
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    message = b"\x0a\x01k\x12" + bytes(length) + b"x" * size
    try:
        responses = len(list(stub(iter([message]), timeout=60)))
        return {"code": "OK", "responses": responses}
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}


def command_descriptors(options):
    """Open connections until count; hold them until standard input ends."""
    peers = []
    for _ in range(options.count):
        try:
            peer = connect(options)
            peer.sendall(PREFACE + frame(SETTINGS, 0, 0))
            peers.append(peer)
        except OSError:
            break
    print(json.dumps({"connections": len(peers)}), flush=True)
    sys.stdin.read()
    return {"done": True}


def frames(peer):
    """What the server sends, as (kind, flags, payload), until it closes; its pings are answered."""
    peer.settimeout(30)
    data = b""
    while True:
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
            end = 9 + int.from_bytes(data[:3], "big")
            kind, flags, payload = data[3], data[4], data[9:end]
            data = data[end:]
            if kind == PING and not flags & 1:
                peer.sendall(frame(PING, 1, 0, payload))
            yield kind, flags, payload
        try:
            more = peer.recv(65536)
        except ConnectionResetError:
            return
        if not more:
            return
        data += more


def goaway_text(payload):
    return "%d %s" % (int.from_bytes(payload[4:8], "big"), payload[8:].decode())


def command_pings(options):
    """Pings one after the other, each when the one before was answered, until the server closes."""
    answered, goaway = 0, ""
    with connect(options) as peer:
        peer.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(PING, 0, 0, b"pingping"))
        for kind, flags, payload in frames(peer):
            if kind == GOAWAY:
                goaway = goaway_text(payload)
            elif kind == PING and flags & 1:
                answered += 1
                if not goaway:
                    peer.sendall(frame(PING, 0, 0, b"pingping"))
    return {"answered": answered, "goaway": goaway}


def command_quiet(options):
    """A connection without calls until the server closes it; is one with a call, which is older, still there?"""
    goaway = []
    with opened_call(options) as busy, connect(options) as quiet:
        begun = time.monotonic()
        quiet.sendall(PREFACE + frame(SETTINGS, 0, 0))
        for kind, _, payload in frames(quiet):
            if kind == GOAWAY:
                goaway.append(goaway_text(payload))
        seconds = time.monotonic() - begun
        busy.sendall(frame(PING, 0, 0, b"are you?"))
        alive = any(kind == PING and flags & 1 for kind, flags, _ in frames(busy))
    return {"seconds": seconds, "goaway": goaway, "other": alive}


def main():
    commands = {name[len("command_"):]: value for name, value in globals().items() if name.startswith("command_")}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=sorted(commands))
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--size", type=int, default=100, help="oversize: MB")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(commands[options.command](options)), flush=True)


if __name__ == "__main__":
    main()
