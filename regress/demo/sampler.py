#!/usr/bin/python3
"""Samples of every process of this machine, from /proc, as fast as it can.

    sampler.py COUNT    COUNT of them as lines of JSON

Some are damaged on purpose, for there to be something to refuse: one in 500
says that its process has no threads, which a table may check, and one in 1,500
has a word where a number should be.
"""

import json
import os
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
STATES = {"R": "RUNNING", "S": "SLEEPING", "D": "WAITING", "T": "STOPPED", "t": "STOPPED", "Z": "ZOMBIE", "I": "IDLE"}
NO_THREADS_EVERY = 500
NO_NUMBER_EVERY = 1500


def read_process(pid):
    """One process, or None when it has ended meanwhile."""
    try:
        with open("/proc/%s/stat" % pid, "rb") as file:
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return None
    # The command is in parentheses and may hold any character.
    command = text[text.index("(") + 1:text.rindex(")")]
    fields = text[text.rindex(")") + 2:].split()
    return {
        "sampled_at": time.time(),
        "pid": int(pid),
        "command": command.replace("\0", ""),
        "state": STATES.get(fields[0], "OTHER"),
        "cpu_seconds": (int(fields[11]) + int(fields[12])) / TICKS,
        "rss_bytes": int(fields[21]) * PAGE,
        "threads": int(fields[17]),
    }


def samples():
    """Without end: sweep over all processes, and again."""
    number = 0
    while True:
        for pid in os.listdir("/proc"):
            sample = read_process(pid) if pid.isdigit() else None
            if sample is None:
                continue
            number += 1
            if number % NO_THREADS_EVERY == 0:
                sample["threads"] = 0
            yield number, sample


def main():
    count = int(sys.argv[1])
    for number, sample in samples():
        sample["sample"] = "json-%d" % number
        sample["sampled_at"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(sample["sampled_at"])) + "Z"
        sample["memory"] = {"resident": sample.pop("rss_bytes"), "page": PAGE}
        if number % NO_NUMBER_EVERY == 0:
            sample["pid"] = "unknown"
        sys.stdout.write(json.dumps(sample) + "\n")
        if number == count:
            break


if __name__ == "__main__":
    main()
