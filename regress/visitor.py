#!/usr/bin/python3
"""Clients of another gRPC implementation that log in, for the tests.

Steps come on standard input, one JSON object a line, and each is answered by one
line of JSON on standard output.  Where a client connects to, and with what:

    "target": "127.0.0.1:50051" | "unix:/path", "user": U, "password": P, "authorization": TEXT,
    "ca": FILE (TLS, checked for "localhost"), "cert": FILE, "key": FILE, "stream": S

Steps
  {"do": "attempt", "visits": [{...}, ...]}
        each puts one record in ("record": JSON, "key": K), or with "subscribe": NAME | "" takes rows;
        at once; [[VERDICT, MESSAGE], ...]: "in", or the name of the status
  {"do": "open", "call": C, ...}                begin a call of IngestData
  {"do": "put", "call": C, "key": K, "record": JSON}
        [VERDICT, MESSAGE] of it
  {"do": "together", "records": [JSON, ...], ...}   begin a call of IngestData named "together" and send all of them
  {"do": "answers", "call": C, "count": N}      the verdicts of N records
  {"do": "subscribe", "call": C, "subscription": NAME, ...}     begin a call of Subscribe, earliest row first
  {"do": "take", "call": C}                     the next row, as an object, or [STATUS, MESSAGE]
  {"do": "end", "call": C}                      wait until the server ends it: [STATUS, MESSAGE]
  {"do": "ended"}                               [[STATUS, MESSAGE], ...] of the calls that the server has ended so far
  {"do": "close", "call": C}                    half-close; [STATUS, MESSAGE]
  {"do": "unsubscribe", "subscription": NAME, "drop": BOOL, ...}
        [VERDICT, MESSAGE]
"""
import base64
import json
import os
import queue
import sys
import uuid
from concurrent import futures

import grpc

from client import CHANNEL_OPTIONS, INGEST, envelope, generate

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 60
# A TLS handshake takes its time on a busy machine.
OPTIONS = tuple(option for option in CHANNEL_OPTIONS if option[0] != "grpc.min_reconnect_backoff_ms")

generate(os.path.join(HERE, "..", "proto"),
         os.environ.get("SLUICE_MESSAGES", os.path.join(HERE, "messages")), ["ingestion.proto", "sluice.proto"])
import ingestion_pb2  # noqa: E402
import sluice_pb2 as pb  # noqa: E402


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def connect(step):
    if "ca" not in step:
        return grpc.insecure_channel(step["target"], OPTIONS)
    pair = (contents(step["key"]), contents(step["cert"])) if "cert" in step else (None, None)
    credentials = grpc.ssl_channel_credentials(contents(step["ca"]), *pair)
    return grpc.secure_channel(step["target"], credentials,
                               OPTIONS + (("grpc.ssl_target_name_override", "localhost"),))


def metadata_of(step):
    metadata = [("sluice-stream", step["stream"])] if "stream" in step else []
    if "authorization" in step:
        metadata.append(("authorization", step["authorization"]))
    elif "user" in step:
        pair = f"{step['user']}:{step.get('password', '')}"
        metadata.append(("authorization", "Basic " + base64.b64encode(pair.encode()).decode()))
    return metadata


class Call:
    """Requests are taken from a queue; None half-closes."""

    def __init__(self, step):
        self.channel = connect(step)
        self.requests = queue.Queue()
        if "subscription" in step:
            method = self.channel.stream_stream("/sluice.v1.SluiceService/Subscribe", lambda m: m.SerializeToString(),
                                                pb.SubscribeResponse.FromString)
            subscribe = pb.Subscribe(stream=step.get("stream", ""), subscription=step["subscription"], create=True, encoding=pb.ENCODING_JSON)
            self.requests.put(pb.SubscribeRequest(subscribe=subscribe))
        else:
            method = self.channel.stream_stream(INGEST, lambda m: m, ingestion_pb2.IngestDataResponse.FromString)
        self.answers = method(iter(self.requests.get, None), metadata=metadata_of(step), timeout=PATIENCE)
        self.rows = []

    def guarded(self, function):
        """Its result, or how the call ended."""
        try:
            return function()
        except grpc.RpcError:
            return [self.answers.code().name, self.answers.details()]
        except StopIteration:
            return [self.answers.code().name, self.answers.details()]

    def send(self, record, key=None):
        self.requests.put(envelope(key or str(uuid.uuid4()), json.dumps(record).encode()))

    def verdict(self):
        answer = self.guarded(lambda: next(self.answers))
        if isinstance(answer, list):
            return answer
        return ["in" if answer.status == ingestion_pb2.IngestDataResponse.ACKNOWLEDGED else "dead", ""]

    def put(self, step):
        self.send(step["record"], step.get("key"))
        return self.verdict()

    def take(self):
        while not self.rows:
            response = next(self.answers)
            if response.HasField("rows"):
                self.rows = [json.loads(row.payload) for row in response.rows.rows]
        return self.rows.pop(0)

    def active(self):
        while not next(self.answers).HasField("active"):
            pass
        return ["in", ""]

    def end(self):
        def rest():
            while True:
                next(self.answers)
        return self.guarded(rest)

    def close(self):
        self.requests.put(None)
        end = self.end()
        self.channel.close()
        return end


def visit(step):
    if "subscribe" in step:
        call = Call({**step, "subscription": step["subscribe"]})
        verdict = call.guarded(call.active)
    else:
        call = Call(step)
        verdict = call.put(step)
    if verdict[0] in ("in", "dead"):
        call.close()
    else:
        call.requests.put(None)
        call.channel.close()
    return verdict


def unsubscribe(step):
    with connect(step) as channel:
        method = channel.unary_unary("/sluice.v1.SluiceService/Unsubscribe", lambda m: m.SerializeToString(),
                                     pb.UnsubscribeResponse.FromString)
        try:
            method(pb.UnsubscribeRequest(subscription=step["subscription"], drop=step.get("drop", False)),
                   metadata=metadata_of(step), timeout=PATIENCE)
            return ["in", ""]
        except grpc.RpcError as error:
            return [error.code().name, error.details()]


def main():
    calls = {}
    for line in sys.stdin:
        step = json.loads(line)
        do = step["do"]
        if do == "attempt":
            with futures.ThreadPoolExecutor(8) as pool:
                answer = list(pool.map(visit, step["visits"]))
        elif do in ("open", "subscribe"):
            calls[step["call"]] = Call(step)
            answer = []
        elif do == "ended":
            over = [call.answers for call in calls.values() if not call.answers.is_active()]
            answer = [[answers.code().name, answers.details()] for answers in over]
        elif do == "together":
            call = calls[do] = Call(step)
            for record in step["records"]:
                call.send(record)
            answer = []
        elif do == "unsubscribe":
            answer = unsubscribe(step)
        else:
            call = calls[step["call"]]
            answer = {"put": lambda: call.put(step), "answers": lambda: [call.verdict()[0] for _ in range(step["count"])], "take": lambda: call.guarded(call.take),
                      "end": call.end, "close": call.close}[do]()
        print(json.dumps(answer), flush=True)
    os._exit(0)


main()
