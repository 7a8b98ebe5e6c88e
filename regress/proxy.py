#!/usr/bin/python3
"""A TCP proxy on loopback that makes networks fail, for the tests.

Commands come on standard input, one a line, and each is answered by one line on
standard output when it is done; the end of the input ends the proxy.  The first
line printed has the ports that it listens on.

  pass             forward everything, old connections and new ones, and listen
  refuse           do not listen: connections are refused; those that are there go on
  freeze           forward nothing and accept all the same: silence, half open
  cut              reset all connections, on both sides
  cut client       reset the clients' side; the server's stays, silent
  cut server       reset the server's side; the client's stays, silent
  finish up|down   end one direction of all connections: a FIN to the server, to the client
  mute up|down     of the connections that there are, forward nothing to the server, to the client
  after N up|down  reset on both sides after N more bytes to the server, to the client
  delay MS         forward every byte that late
  upstream PORT    new connections go to this port
  source ADDRESS   and come from this address
  status           what there is: connections now, attempts, bytes up, bytes down
  attempts FILE    write the time (CLOCK_MONOTONIC) of each connection attempt, one a line

The answer is "ok", with CLOCK_MONOTONIC when it was done.
"""

import argparse
import collections
import os
import selectors
import socket
import struct
import sys
import time

CHUNK = 256 * 1024
BACKLOG = 512
RESET = struct.pack("ii", 1, 0)


def listener(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


class Pipe:
    """One direction of a connection: what was read of one side, for the other."""

    def __init__(self):
        self.chunks = collections.deque()  # (due, bytes)
        self.ended = False  # the source has no more
        self.finished = False  # and the other side was told
        self.muted = False
        self.size = 0

    def due(self, now):
        return bool(self.chunks) and self.chunks[0][0] <= now


class Connection:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, client, server):
        self.client = client
        self.server = server
        self.up = Pipe()
        self.down = Pipe()
        self.connected = False
        self.masks = {}

    def sides(self):
        return [(self.client, self.up, self.down), (self.server, self.down, self.up)]


class Proxy:
    def __init__(self, ports, upstream):
        self.selector = selectors.DefaultSelector()
        self.upstream = upstream
        self.source = None
        self.listeners = {}
        self.ports = []
        self.connections = set()
        self.attempts = []
        self.moved = [0, 0]
        self.frozen = False
        self.delay = 0.0
        self.limit = None  # [pipe's name, bytes left]
        self.input = b""
        for _ in range(ports):
            sock = listener(0)
            self.ports.append(sock.getsockname()[1])
            self.listen(sock)
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ, None)

    # ---- listening ----

    def listen(self, sock):
        self.listeners[sock.getsockname()[1]] = sock
        self.selector.register(sock, selectors.EVENT_READ, "listener")

    def accept(self, sock):
        for _ in range(64):
            try:
                client, _ = sock.accept()
            except OSError:
                return
            self.attempts.append(time.monotonic())
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            server.setblocking(False)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.source:
                server.bind((self.source, 0))
            server.connect_ex(("127.0.0.1", self.upstream))
            connection = Connection(client, server)
            self.connections.add(connection)
            self.watch(connection)

    # ---- forwarding ----

    def wanted(self, connection, sock, source, sink):
        """What to wait for on one side: source is read from it, sink written to it."""
        if self.frozen:
            return 0
        if sock is connection.server and not connection.connected:
            return selectors.EVENT_WRITE
        mask = 0
        if not source.ended and not source.muted and source.size < CHUNK:
            mask |= selectors.EVENT_READ
        if not sink.muted and sink.due(time.monotonic()):
            mask |= selectors.EVENT_WRITE
        return mask

    def watch(self, connection):
        for sock, source, sink in connection.sides():
            if sock is None:
                continue
            mask = self.wanted(connection, sock, source, sink)
            before = connection.masks.get(sock, 0)
            if mask == before:
                continue
            if before == 0:
                self.selector.register(sock, mask, connection)
            elif mask == 0:
                self.selector.unregister(sock)
            else:
                self.selector.modify(sock, mask, connection)
            connection.masks[sock] = mask

    def drop_side(self, connection, sock, how):
        if sock is None:
            return
        if connection.masks.pop(sock, 0):
            self.selector.unregister(sock)
        how(sock)
        if sock is connection.client:
            connection.client = None
        else:
            connection.server = None

    def cut(self, connection, client=True, server=True):
        """Reset these sides; what is left of a connection is silent from now on."""
        if client:
            self.drop_side(connection, connection.client, reset)
        if server:
            self.drop_side(connection, connection.server, reset)
        connection.up.muted = connection.down.muted = True
        connection.up.chunks.clear()
        connection.down.chunks.clear()
        if connection.client is None and connection.server is None:
            self.connections.discard(connection)
        else:
            self.watch(connection)

    def handle(self, connection, sock, mask):
        try:
            if sock is connection.server and not connection.connected:
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "connect")
                connection.connected = True
            source, sink = (connection.up, connection.down) if sock is connection.client else (connection.down, connection.up)
            if mask & selectors.EVENT_READ:
                self.read(sock, source)
            if mask & selectors.EVENT_WRITE:
                self.write(connection, sock, sink)
        except BlockingIOError:
            pass
        except OSError:
            self.cut(connection)
            return
        if connection in self.connections:
            self.settle(connection)

    def read(self, sock, pipe):
        data = sock.recv(CHUNK)
        if data:
            pipe.chunks.append((time.monotonic() + self.delay, data))
            pipe.size += len(data)
        else:
            pipe.ended = True

    def write(self, connection, sock, pipe):
        now = time.monotonic()
        up = pipe is connection.up
        while pipe.due(now):
            due, data = pipe.chunks[0]
            mine = self.limit is not None and self.limit[0] == ("up" if up else "down")
            sent = sock.send(data[: self.limit[1]] if mine else data)
            self.moved[0 if up else 1] += sent
            pipe.size -= sent
            if sent < len(data):
                pipe.chunks[0] = (due, data[sent:])
            else:
                pipe.chunks.popleft()
            if mine:
                self.limit[1] -= sent
                if self.limit[1] <= 0:
                    self.limit = None
                    self.cut(connection)
                    return
            if sent < len(data):
                return

    def settle(self, connection):
        """After something was moved: pass ends on, forget what is over."""
        for pipe, other in ((connection.up, connection.server), (connection.down, connection.client)):
            if pipe.ended and not pipe.chunks and not pipe.finished and not pipe.muted and other is not None:
                if other is connection.server and not connection.connected:
                    continue
                self.finish(pipe, other)
        if connection.up.finished and connection.down.finished:
            self.drop_side(connection, connection.client, socket.socket.close)
            self.drop_side(connection, connection.server, socket.socket.close)
            self.connections.discard(connection)
            return
        self.watch(connection)

    @staticmethod
    def finish(pipe, sock):
        pipe.finished = True
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    # ---- commands ----

    def all(self, action):
        for connection in list(self.connections):
            action(connection)

    def do_pass(self):
        self.frozen = False
        self.delay = 0.0
        for port in self.ports:
            if port not in self.listeners:
                self.listen(listener(port))
        self.all(self.settle)

    def do_refuse(self):
        for sock in self.listeners.values():
            self.selector.unregister(sock)
            sock.close()
        self.listeners.clear()

    def do_freeze(self):
        self.frozen = True
        self.all(self.watch)

    def do_cut(self, side="both"):
        self.all(lambda c: self.cut(c, side != "server", side != "client"))

    def do_finish(self, way):
        def end(connection):
            pipe, sock = (connection.up, connection.server) if way == "up" else (connection.down, connection.client)
            if sock is not None and not pipe.finished and (sock is connection.client or connection.connected):
                pipe.ended = True
                pipe.chunks.clear()
                self.finish(pipe, sock)
                self.settle(connection)
        self.all(end)

    def do_mute(self, way):
        def mute(connection):
            (connection.up if way == "up" else connection.down).muted = True
            self.watch(connection)
        self.all(mute)

    def do_after(self, count, way):
        self.limit = [way, max(1, int(count))]

    def do_delay(self, milliseconds):
        self.delay = float(milliseconds) / 1000

    def do_upstream(self, port):
        self.upstream = int(port)

    def do_source(self, address):
        self.source = address

    def do_status(self):
        return "%d %d %d %d" % (len(self.connections), len(self.attempts), *self.moved)

    def do_attempts(self, path):
        with open(path, "w", encoding="ascii") as file:
            file.writelines("%.6f\n" % attempt for attempt in self.attempts)

    def command(self, line):
        words = line.split()
        answer = getattr(self, "do_" + words[0])(*words[1:]) if words else None
        print("ok %.6f%s" % (time.monotonic(), " " + answer if answer else ""), flush=True)

    def read_commands(self):
        data = os.read(0, 65536)
        if not data:
            sys.exit(0)
        self.input += data
        while b"\n" in self.input:
            line, self.input = self.input.split(b"\n", 1)
            self.command(line.decode())

    # ---- the loop ----

    def patience(self):
        """Only what is delayed is waited for by the clock."""
        now = time.monotonic()
        late = any(pipe.chunks and not pipe.due(now) for c in self.connections for pipe in (c.up, c.down))
        return 0.002 if late else None

    def run(self):
        print(" ".join(map(str, self.ports)), flush=True)
        while True:
            events = self.selector.select(self.patience())
            for key, mask in events:
                if key.fileobj == 0:
                    self.read_commands()
                elif key.data == "listener":
                    if key.fileobj in self.listeners.values():
                        self.accept(key.fileobj)
                elif key.data in self.connections and key.fileobj in (key.data.client, key.data.server):
                    self.handle(key.data, key.fileobj, mask)
            if not events:
                self.all(self.watch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", type=int, default=1, help="how many ports to listen on")
    parser.add_argument("--upstream", type=int, required=True, help="port of the server")
    options = parser.parse_args()
    Proxy(options.ports, options.upstream).run()


if __name__ == "__main__":
    main()
