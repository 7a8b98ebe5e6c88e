#!/usr/bin/python3
"""Streams process samples as telemetry.ProcessSample: a user's own message, from Python.

What this program does about failures is all that a client has to do: keep what
is unacknowledged and send it again.  See ../client.py, whose options it takes.
"""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.dont_write_bytecode = True

import client
import sampler


class SampleMaker:
    """Records are samples; each is kept for as long as this program runs."""

    def __init__(self, options):
        client.generate(HERE, options.messages, ["telemetry.proto"])
        import telemetry_pb2
        self.message = telemetry_pb2.ProcessSample
        self.source = sampler.samples()
        self.made = {}

    def key(self, number):
        return "proto-%d" % number

    def request(self, number):
        if number not in self.made:
            self.made[number] = client.envelope(self.key(number), self.payload(number))
        return self.made[number]

    def payload(self, number):
        _, sample = next(self.source)
        message = self.message(sample=self.key(number), **{k: v for k, v in sample.items()
                                                            if k not in ("sampled_at", "state")})
        message.sampled_at.FromMicroseconds(int(sample["sampled_at"] * 1e6))
        message.state = self.message.State.Value(sample["state"])
        return message.SerializeToString()


def main():
    options = client.argument_parser().parse_args(["send"] + sys.argv[1:])
    report, done = client.send(options, SampleMaker(options))
    print(json.dumps(report))
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
