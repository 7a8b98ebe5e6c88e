"""A TCP proxy that can cut connections with RST, fall silent, and refuse."""
import selectors
import socket
import struct
import threading
import time


class Proxy:
    """accepted has the times at which connections came; cut() and the rest may be called by any thread."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.peers = {}
        self.accepted = []
        self.silent = self.stopping = False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.cut()
        self.listener.close()

    def run(self):
        while not self.stopping:
            for key, _ in self.selector.select(0.05):
                with self.lock:
                    if key.fileobj is self.listener:
                        self.accept()
                    elif key.fileobj in self.peers:
                        self.forward(key.fileobj)
            if self.silent:
                time.sleep(0.01)

    def accept(self):
        client, _ = self.listener.accept()
        self.accepted.append(time.monotonic())
        server = socket.create_connection(("127.0.0.1", self.target))
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers[one] = other
            self.selector.register(one, selectors.EVENT_READ)

    def forward(self, source):
        if self.silent:
            return
        try:
            data = source.recv(65536)
            if data:
                self.peers[source].sendall(data)
                return
        except OSError:
            pass
        self.close(source)

    def close(self, one):
        for end in (one, self.peers.get(one)):
            if self.peers.pop(end, None) is not None:
                self.selector.unregister(end)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()

    def cut(self):
        """RST to both sides of all connections; returns when."""
        with self.lock:
            now = time.monotonic()
            for one in list(self.peers):
                self.close(one)
        return now
