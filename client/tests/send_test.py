"""The tool sluice against a gRPC server of another implementation.

    send_test.py SLUICE SLUICE-LOAD [TEST]...

Every test has a server of its own and waits for conditions, never for time to
pass.  Output is TAP.
"""
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import traceback
import uuid

import grpc

from ingest_server import Server, Store, encode_answer

HERE = os.path.dirname(os.path.abspath(__file__))
SLUICE, SLUICE_LOAD = (os.path.abspath(path) for path in sys.argv[1:3])
PATIENCE = 60
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: got {str(got)[:600]!r}, expected {str(expected)[:600]!r}")


def holds(condition, what):
    if not condition:
        raise AssertionError(str(what)[:2000])


def wait_until(condition, what):
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"never came true: {what}")
        time.sleep(0.01)


class Run:
    """sluice send, with its standard input open for as long as the test wants."""

    def __init__(self, port, *arguments, env=None):
        self.process = subprocess.Popen(
            [SLUICE, "send", "--summary=json", f"--server=127.0.0.1:{port}", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})})

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self, data=b""):
        """Exit status; then .summary and .err are there."""
        out, err = self.process.communicate(data if not self.process.stdin.closed else None, timeout=PATIENCE)
        self.err = err.decode()
        self.summary = json.loads(out) if out else None
        if self.summary is not None:
            equal(self.summary["exit_status"], self.process.returncode, "exit status in the summary")
        return self.process.returncode

    def write_and_wait(self, data):
        """Until the tool has taken it all out of the pipe."""
        self.write(data)
        wait_until(lambda: fcntl.ioctl(self.process.stdin, termios.FIONREAD, bytes(4)) == bytes(4), "the pipe is empty")

    def signal(self, number):
        self.process.send_signal(number)


def send(port, data, *arguments, env=None):
    run = Run(port, *arguments, env=env)
    run.status = run.end(data)
    return run


def objects(n, start=0):
    return [{"device": f"d{i % 7}", "n": i, "value": i / 8} for i in range(start, start + n)]


def ndjson(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def stored(server):
    return [json.loads(payload) for payload in server.store.records.values()]


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@test
def every_record_arrives_once_in_order_with_a_rising_uuid7():
    with Server() as server:
        run = send(server.port, ndjson(objects(5000)))
        equal(run.status, 0, run.err)
        equal(stored(server), objects(5000), "stored")
        keys = list(server.store.records)
        equal(keys, sorted(keys), "keys are in order")
        equal({uuid.UUID(key).version for key in keys}, {7}, "version")
        equal({uuid.UUID(key).variant for key in keys}, {uuid.RFC_4122}, "variant")
        equal([run.summary[name] for name in ("sent", "stored", "duplicates", "dead_letters", "unacknowledged")],
              [5000, 5000, 0, 0, 0], "summary")
        equal("sluice-stream" in server.metadata[0], False, "no stream named")


@test
def the_key_comes_from_a_member_and_its_second_run_is_all_duplicates():
    with Server() as server:
        data = b'{"n": 1, "id": "a-1"}\n{"id": 17.50, "n": 2}\n{"\\u0069d": "\\u00fcber", "n": {"id": "no"}}\n'
        for expected in ([3, 0], [0, 3]):
            run = send(server.port, data, "--key", "id")
            equal(run.status, 0, run.err)
            equal([run.summary["stored"], run.summary["duplicates"]], expected, "stored, duplicates")
        equal(list(server.store.records), ["a-1", "17.50", "über"], "keys")


@test
def a_bad_line_is_named_and_the_records_before_it_are_flushed():
    bad = {b'{"n": 3}\n': "no member", b'{"id": ""}\n': "is empty", b'{"id": null}\n': "not a string",
           b'not json\n': "not a JSON object", b'{"id": "x"\n': "not a JSON object",
           b'{"id": "x"} {}\n': "behind the JSON object", b'{"id": "' + b"x" * 2000 + b'"}\n': "longer than"}
    for line, message in bad.items():
        with Server() as server:
            run = send(server.port, b'{"id": 1}\n\n{"id": 2}\n' + line + b'{"id": 5}\n', "--key=id")
            equal(run.status, 1, run.err)
            holds("<stdin>:4: " in run.err and message in run.err, (message, run.err))
            equal(list(server.store.records), ["1", "2"], "stored")


@test
def csv_rows_become_objects():
    with Server() as server:
        data = (b'\xef\xbb\xbfid,"the ""name""",value\r\n1,"a, ""b""\r\nc",\r\n'
                b'2,"",\xc3\xa9\\\n\n3,\t,0\n')
        run = send(server.port, data, "--input=csv", "--key=id")
        equal(run.status, 0, run.err)
        equal(stored(server), [{"id": "1", 'the "name"': 'a, "b"\r\nc', "value": None},
                               {"id": "2", 'the "name"': "", "value": "é\\"},
                               {"id": "3", 'the "name"': "\t", "value": "0"}], "stored")
        run = send(server.port, b'id,v\n4,"x\ny"\n5\n', "--input=csv", "--key=id")
        equal(run.status, 1, run.err)
        holds("<stdin>:4: the row has 1 fields, the header has 2" in run.err, run.err)
        equal(list(server.store.records), ["1", "2", "3", "4"], "keys")


@test
def lines_are_sent_byte_by_byte():
    with Server() as server:
        lines = [b"", b"\x00\xff\r", b"last, without a newline"]
        run = send(server.port, b"\n".join(lines), "--input=lines", "--stream=raw bytes")
        equal(run.status, 0, run.err)
        equal(list(server.store.records.values()), lines, "stored")
        equal(server.metadata[0]["sluice-stream"], "raw bytes", "stream")


@test
def files_are_read_one_after_the_other():
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        for name, records in (("a", objects(10)), ("c", objects(10, 20))):
            with open(f"{directory}/{name}", "wb") as file:
                file.write(ndjson(records).rstrip())
        run = send(server.port, ndjson(objects(10, 10)), f"{directory}/a", "-", f"{directory}/c")
        equal(run.status, 0, run.err)
        equal(stored(server), objects(30), "stored")
        run = send(server.port, b"", f"{directory}/a", f"{directory}/nothing")
        equal(run.status, 1, run.err)
        holds(f'could not open "{directory}/nothing"' in run.err, run.err)
        equal(run.summary["stored"], 10, "the file before it")


@test
def wrong_usage_ends_with_status_1():
    for arguments in (["--inptu=csv"], ["--input=xml"], ["--window=0"], ["--window=1.5"], ["--timeout=-1"],
                      ["--input=lines", "--key=id"], ["--stream=\u00e4"], ["--key"], ["--max-record-size=3 parsecs"]):
        run = subprocess.run([SLUICE, "send", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                             timeout=PATIENCE, check=False)
        equal(run.returncode, 1, arguments)
        holds(run.stderr, arguments)


@test
def dead_letters_are_named_and_end_with_status_2():
    with Server() as server:
        server.reject = lambda payload: json.loads(payload)["n"] % 100 == 41
        run = send(server.port, ndjson(objects(1000)))
        equal(run.status, 2, run.err)
        equal([run.summary["stored"], run.summary["dead_letters"], run.summary["acknowledged"]], [990, 10, 990], "counts")
        holds("<stdin>:42: dead-lettered" in run.err and "<stdin>:942: dead-lettered" in run.err, run.err)


@test
def a_refusal_ends_with_status_4_and_the_servers_words():
    for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED,
                 grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED):
        with Server() as server:
            server.refuse = (code, 'stream "x" does not exist')
            run = send(server.port, ndjson(objects(10)))
            equal(run.status, 4, run.err)
            holds('stream "x" does not exist' in run.err, run.err)
            equal(run.summary["unacknowledged"], 10, "unacknowledged")
            equal(server.calls, 1, "calls")


@test
def calls_that_are_cut_lose_and_double_nothing():
    with Server() as server:
        server.cut_after = 300
        run = Run(server.port, "--window=500")
        run.write(ndjson(objects(2000)))
        wait_until(lambda: server.calls >= 4, "four calls")
        server.change(cut_after=None)
        equal(run.end(), 0, run.process)
        equal(stored(server), objects(2000), "stored")
        holds(server.store.duplicates > 0, "something was resent")
        equal(run.summary["acknowledged"], 2000, "acknowledged")
        holds(run.summary["stored_or_duplicate"] > 0 and run.summary["resent"] > 0, run.summary)
        holds("lost the connection" in run.err and "cut by the test" in run.err, run.err)


@test
def a_server_killed_in_mid_stream_loses_and_doubles_nothing():
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    port = unused_port()
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/store"

        def start():
            server = subprocess.Popen([sys.executable, f"{HERE}/ingest_server.py", str(port), path],
                                      stdout=subprocess.PIPE)
            equal(int(server.stdout.readline()), port, "port")
            return server

        def size():
            with open(path, "rb") as file:
                return file.read().count(b"\n")

        server = start()
        run = Run(port, "--window=1000")
        for round_number in range(4):
            before = size()
            run.write(ndjson(objects(3000, round_number * 3000)))
            wanted = before + chance.randrange(1, 1500)
            wait_until(lambda: size() >= wanted, f"{wanted} records (seed {seed})")
            server.kill()
            server.wait()
            server.stdout.close()
            server = start()
        equal(run.end(), 0, f"seed {seed}")
        server.kill()
        server.wait()
        server.stdout.close()
        with open(path, "rb") as file:
            payloads = [json.loads(bytes.fromhex(line.split()[1].decode())) for line in file]
        equal(payloads, objects(12000), f"stored, seed {seed}")
        equal(run.summary["acknowledged"], 12000, "acknowledged")
        holds(run.summary["calls"] >= 5, run.summary)


@test
def a_server_that_comes_later_gets_everything():
    port = unused_port()
    run = Run(port)
    run.write(ndjson(objects(100)))
    lines = iter(run.process.stderr.readline, b"")
    holds(b"could not connect" in next(lines), "a notice")
    with Server(port=port) as server:
        equal(run.end(), 0, "status")
        equal(stored(server), objects(100), "stored")


@test
def without_answers_it_gives_up_with_status_3_and_the_count():
    with Server() as server:
        server.hold = True
        run = send(server.port, ndjson(objects(321)), "--timeout=1")
        equal(run.status, 3, run.err)
        equal(run.summary["unacknowledged"], 321, "unacknowledged")
        holds("321 records are unacknowledged, the first of them <stdin>:1" in run.err, run.err)
    run = send(unused_port(), ndjson(objects(5)), "--timeout=0.5")
    equal(run.status, 3, run.err)
    equal(run.summary["unacknowledged"], 5, "unacknowledged without a server")


@test
def sigterm_flushes_what_was_read():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Server() as server:
            server.hold = True
            run = Run(server.port)
            run.write_and_wait(ndjson(objects(500)) + b'{"not": "comple')
            wait_until(lambda s=server: s.received >= 1, "the first record")
            run.signal(number)
            server.change(hold=False)
            run.process.wait(timeout=PATIENCE)
            equal(run.end(), 5, "status")
            equal(stored(server), objects(500), "stored")
            equal(run.summary["unacknowledged"], 0, "unacknowledged")
            holds("stopped by a signal before the end of the input, after <stdin>:500" in run.err, run.err)


@test
def a_file_that_a_signal_cut_short_says_where():
    with Server() as server, tempfile.NamedTemporaryFile() as file:
        server.hold = True
        file.write(ndjson(objects(300000)))
        file.flush()
        run = Run(server.port, file.name)
        wait_until(lambda: server.received >= 1, "the first record")
        run.signal(signal.SIGTERM)
        server.change(hold=False)
        equal(run.end(), 5, "status")
        n = run.summary["stored"]
        holds(0 < n < 300000 and run.summary["unacknowledged"] == 0, run.summary)
        equal(stored(server), objects(n), "stored")
        holds(f"after {file.name}:{n}\n" in run.err, run.err)


@test
def a_second_signal_stops_at_once():
    with Server() as server:
        server.hold = True
        run = Run(server.port, "--timeout=0")
        run.write_and_wait(ndjson(objects(50)))
        wait_until(lambda: server.received >= 1, "the first record")
        def ended():
            run.signal(signal.SIGINT)
            return run.process.poll() is not None

        run.signal(signal.SIGTERM)
        wait_until(ended, "an end")
        equal(run.end(), 3, "status")
        equal(run.summary["unacknowledged"], 50, "unacknowledged")


@test
def two_signals_at_once_are_one_wish_to_stop():
    with Server() as server:
        server.hold = True
        run = Run(server.port)
        run.write_and_wait(ndjson(objects(50)))
        wait_until(lambda: server.received >= 1, "the first record")
        run.signal(signal.SIGTERM)
        run.signal(signal.SIGINT)
        lines = iter(run.process.stderr.readline, b"")
        holds(b"flushing" in next(lines), "a notice")
        server.change(hold=False)
        equal(run.end(), 5, "status")
        equal(stored(server), objects(50), "stored")


@test
def the_flush_after_a_signal_has_the_timeout():
    with Server() as server:
        server.hold = True
        run = Run(server.port, "--timeout=1")
        run.write_and_wait(ndjson(objects(50)))
        wait_until(lambda: server.received >= 1, "the first record")
        run.signal(signal.SIGTERM)
        equal(run.end(), 3, "status")


@test
def a_record_of_a_slow_input_leaves_at_once():
    with Server() as server:
        run = Run(server.port)
        for i in range(20):
            run.write(ndjson(objects(1, i)))
            wait_until(lambda n=i: len(server.store) == n + 1, f"record {i}")
        equal(run.end(), 0, "status")
        equal(server.calls, 1, "calls")


@test
def an_idle_connection_that_goes_is_opened_again_for_the_next_record():
    server = Server()
    server.start()
    run = Run(server.port)
    run.write(ndjson(objects(1)))
    wait_until(lambda: len(server.store) == 1, "the first record")
    server.stop()
    server.start()
    run.write(ndjson(objects(1, 1)))
    wait_until(lambda: len(server.store) == 2, "the second record")
    equal(run.end(), 0, "status")
    equal(stored(server), objects(2), "stored")
    server.stop()


@test
def the_window_is_never_exceeded_and_answers_may_come_in_any_order():
    with Server() as server:
        server.reorder = 10
        server.hold = True
        run = Run(server.port, "--window=10")
        run.write(ndjson(objects(1000)))
        wait_until(lambda: server.received >= 10, "a full window")
        server.change(hold=False)
        equal(run.end(), 0, "status")
        equal(stored(server), objects(1000), "stored")
        equal(server.most_unanswered, 10, "most unanswered")
    with Server() as server:
        run = send(server.port, ndjson(objects(200)), "--window=1")
        equal([run.status, server.most_unanswered], [0, 1], run.err)


@test
def memory_is_bounded_in_bytes_as_well():
    with Server() as server:
        server.hold = True
        run = Run(server.port, "--window-bytes=300kB", "--input=lines", "--quiet")
        server.change(hold=False)
        equal(run.end(b"\n".join(b"%04d" % i + b"x" * 100000 for i in range(60))), 0, "status")
        equal([payload[:4] for payload in server.store.records.values()], [b"%04d" % i for i in range(60)], "stored")
        holds(server.most_unanswered <= 3, server.most_unanswered)


@test
def records_of_one_key_on_their_way_together_are_each_answered():
    with Server() as server:
        server.reject = lambda payload: b"bad" in payload
        data = b"".join(b'{"id": "%d", "v": "%s"}\n' % (i % 3, b"bad" if i == 500 else b"good") for i in range(999))
        run = send(server.port, data, "--key=id")
        equal(run.status, 2, run.err)
        equal([run.summary["stored"], run.summary["duplicates"], run.summary["dead_letters"]], [3, 995, 1], "counts")


@test
def a_record_too_large_is_refused_by_the_tool_with_its_line():
    with Server() as server:
        data = ndjson(objects(3)) + ndjson([{"x": "y" * 2000}])
        run = send(server.port, data, "--max-record-size=1kB")
        equal(run.status, 1, run.err)
        holds("<stdin>:4: " in run.err, run.err)
        equal(len(server.store), 3, "stored")
        # Just over the limit with its key: the line passes, the message does not.
        run = send(server.port, b"x" * 1000 + b"\n", "--max-record-size=1kB", "--input=lines")
        equal(run.status, 1, run.err)
        holds("more than the largest allowed" in run.err, run.err)


@test
def a_record_too_large_for_the_server_is_not_tried_for_ever():
    with Server(options=[("grpc.max_receive_message_length", 1000)]) as server:
        run = send(server.port, ndjson(objects(3)) + ndjson([{"x": "y" * 2000}]), "--timeout=0")
        equal(run.status, 4, run.err)
        holds("larger than" in run.err and "<stdin>:4 with 20" in run.err, run.err)


@test
def a_busy_server_is_tried_again():
    with Server() as server:
        server.refuse = (grpc.StatusCode.RESOURCE_EXHAUSTED, "no room for another call")
        run = Run(server.port)
        run.write(ndjson(objects(10)))
        wait_until(lambda: server.calls >= 2, "a second call")
        server.change(refuse=None)
        equal(run.end(), 0, "status")
        equal(stored(server), objects(10), "stored")


@test
def an_answer_that_cannot_be_ends_with_status_4():
    for answer in (encode_answer("no such key", 1), b"\xff\xff", encode_answer("1", 0), encode_answer("1", 9)):
        with Server() as server:
            server.wrong_answer = answer
            run = send(server.port, b'{"id": 1}\n', "--key=id")
            equal(run.status, 4, run.err)
            holds("is not understood" in run.err, run.err)


@test
def without_counts_stored_and_duplicate_are_not_told_apart():
    with Server() as server:
        server.counts = False
        run = send(server.port, ndjson(objects(10)))
        equal(run.status, 0, run.err)
        equal([run.summary["stored"], run.summary["duplicates"], run.summary["stored_or_duplicate"]], [0, 0, 10], "counts")


@test
def empty_input_needs_no_server():
    run = send(unused_port(), b"")
    equal(run.status, 0, run.err)
    equal(run.summary["sent"], 0, "sent")


@test
def the_environment_names_the_server_and_no_proxy():
    with Server() as server:
        process = subprocess.run([SLUICE, "send"], input=ndjson(objects(5)), capture_output=True, check=False,
                                 timeout=PATIENCE, env={**os.environ, "SLUICE_SERVER": f"127.0.0.1:{server.port}",
                                                        "http_proxy": f"http://127.0.0.1:{unused_port()}"})
        equal(process.returncode, 0, process.stderr)
        holds(b"5 sent: 5 stored, 0 duplicates, 0 dead letters" in process.stderr, process.stderr)


@test
def progress_and_quiet():
    with Server() as server:
        run = send(server.port, ndjson(objects(5)), "--progress")
        holds("5 acknowledged, 0 dead letters, 0 unacknowledged, done" in run.err, run.err)
        run = send(server.port, ndjson(objects(5)))
        equal(run.err, "", "stderr is no terminal")
        server.reject = lambda payload: True
        run = send(server.port, ndjson(objects(5)), "--quiet")
        equal([run.status, run.err], [2, ""], "quiet")


@test
def load_measures_what_it_sent():
    with Server() as server:
        for arguments in (["--keys=time"], ["--keys=random", "--window=64"], ["--one-at-a-time"], ["--rate=2000"]):
            before = len(server.store)
            run = subprocess.run([SLUICE_LOAD, f"--server=127.0.0.1:{server.port}", "--records=1000", *arguments],
                                 capture_output=True, timeout=PATIENCE, check=False)
            equal(run.returncode, 0, run.stderr)
            result = json.loads(run.stdout)
            equal([result["records"], result["acknowledged"], result["rejected"]], [1000, 1000, 0], arguments)
            equal(len(server.store), before + 1000, "stored")
            latency = result["latency_us"]
            holds(0 < latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"], latency)
            if "--rate=2000" in arguments:
                holds(0.49 <= result["seconds"], result)
        holds(all(40 <= len(payload) <= 64 for payload in server.store.records.values()), "payloads of about 60 bytes")


def main():
    wanted = sys.argv[3:]
    tests = [t for t in TESTS if not wanted or t.__name__ in wanted]
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for number, function in enumerate(tests, 1):
        try:
            function()
            print(f"ok {number} - {function.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {function.__name__}")
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
