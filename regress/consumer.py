#!/usr/bin/python3
"""A consumer that goes on whatever happens, and notes what it saw; it may be killed at any moment.

It acknowledges over the wire, or with --done TABLE by sluice.ack() in the
transaction that brings the rows into that table.  When a call or a transaction fails
it opens another call.  SIGTERM: it leaves with the rows that it has.

The log has a line for each event, in fields, the first of them the time:
  active EPOCH POSITION    row EPOCH OFFSET PAYLOAD    ack EPOCH OFFSET (before it is sent)    standby    end STATUS REASON
"""

import argparse
import os
import queue
import random
import signal
import subprocess
import threading
import time

import grpc

from subscriber import SERVICE, pb

CHANNEL_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.keepalive_time_ms", 4000),
    ("grpc.keepalive_timeout_ms", 700),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
)


class Failed(Exception):
    pass


class Session:
    """psql, which ends with the first error; "done" is said behind each COMMIT."""

    def __init__(self, conninfo):
        self.psql = subprocess.Popen(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", conninfo], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, text):
        try:
            self.psql.stdin.write(text + "\n\\echo done\n")
            self.psql.stdin.flush()
            for line in self.psql.stdout:
                if line == "done\n":
                    return
        except OSError:
            pass
        raise Failed("psql")

    def close(self):
        self.psql.kill()
        self.psql.wait()


class Consumer:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.stopping = threading.Event()
        self.session = None
        self.requests = None

    def note(self, *fields):
        os.write(self.log, ("%.6f\t" % time.time() + "\t".join(map(str, fields)) + "\n").encode())

    def note_rows(self, rows):
        now = "%.6f\trow\t%d" % (time.time(), rows.epoch)
        os.write(self.log, "".join("%s\t%d\t%s\n" % (now, row.offset, row.payload.decode()) for row in rows.rows).encode())

    def ack(self, epoch, offset):
        self.note("ack", epoch, offset)
        self.requests.put(pb.SubscribeRequest(acknowledge=pb.Acknowledge(epoch=epoch, offset=offset)))

    # What takes time lies between two acknowledgements, so that some rows have none when it is killed.  Not each
    # time: rows come one by one when each acknowledgement makes room for one.
    def do_acks(self, rows):
        half = rows.rows[len(rows.rows) // 2].offset
        self.ack(rows.epoch, half)
        if self.random.random() < 0.05:
            self.stopping.wait(self.random.random() * 0.1)
        if half != rows.rows[-1].offset:
            self.ack(rows.epoch, rows.rows[-1].offset)

    def transaction(self, epoch, previous, rows, end):
        values = ", ".join("(%d, '%s')" % (row.offset, row.payload.decode().replace("'", "''")) for row in rows)
        return ("BEGIN; INSERT INTO %s (id, payload) VALUES %s; SELECT sluice.ack('%s', %d, %d, %d); %s;"
                % (self.options.done, values, self.options.subscription, epoch, rows[-1].offset, previous, end))

    # A transaction may be rolled back: its rows are done again, by another one.
    def do_sql(self, rows):
        if self.session is None:
            self.session = Session(self.options.conninfo)
        if self.random.random() < 0.1:
            self.session.run(self.transaction(rows.epoch, rows.previous, rows.rows, "ROLLBACK"))
        self.note("ack", rows.epoch, rows.rows[-1].offset)
        self.session.run(self.transaction(rows.epoch, rows.previous, rows.rows, "COMMIT"))

    def handle(self, response):
        kind = response.WhichOneof("response")
        if kind == "active":
            self.note("active", response.active.epoch, response.active.position)
        elif kind == "standby":
            self.note("standby")
        elif kind == "rows":
            self.note_rows(response.rows)
            if self.options.done:
                self.do_sql(response.rows)
            else:
                self.do_acks(response.rows)

    def open_call(self, channel):
        self.requests = queue.Queue()
        self.requests.put(pb.SubscribeRequest(subscribe=pb.Subscribe(
            stream=self.options.stream, subscription=self.options.subscription, create=True,
            max_in_flight=200, client=self.options.name)))
        stub = channel.stream_stream(SERVICE + "Subscribe", request_serializer=pb.SubscribeRequest.SerializeToString,
                                     response_deserializer=pb.SubscribeResponse.FromString)
        return stub(iter(self.requests.get, None))

    def consume(self):
        with grpc.insecure_channel(self.options.address, options=CHANNEL_OPTIONS) as channel:
            call = self.open_call(channel)
            threading.Thread(target=self.leave, args=(self.requests,), daemon=True).start()
            try:
                for response in call:
                    self.handle(response)
                self.note("end", "OK", "")
            except grpc.RpcError as error:
                trailers = dict(error.trailing_metadata() or ())
                self.note("end", error.code().name, trailers.get("sluice-reason", error.details()))
            except Failed:
                self.session.close()
                self.session = None
                call.cancel()
                self.note("end", "TRANSACTION", "")
            self.requests.put(None)

    def leave(self, requests):
        self.stopping.wait()
        requests.put(None)

    def run(self):
        while not self.stopping.is_set():
            self.consume()
            self.stopping.wait(0.05 + self.random.random() * 0.1)
        if self.session is not None:
            self.session.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("address", "stream", "subscription", "name", "log"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--done", help="table for what is done; then acknowledgements are by SQL")
    parser.add_argument("--conninfo", default="")
    parser.add_argument("--seed", type=int, default=0)
    consumer = Consumer(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: consumer.stopping.set())
    consumer.run()


if __name__ == "__main__":
    main()
