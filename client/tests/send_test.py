"""sluice send, buffer and bench against a Publish server of another gRPC implementation.

    send_test.py SLUICE [TEST]...

Every test has a server of its own and waits for conditions, never for time to
pass.  Output is TAP.
"""
import base64
import fcntl
import glob
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time

import grpc

from certificates import certificates, server_credentials
from publish_server import Behaviour, End, Server, messages
from run_tool import PATIENCE, equal, holds, run_tests, test, wait_until

SLUICE = os.path.abspath(sys.argv[1])
REFUSAL = End(grpc.StatusCode.NOT_FOUND, 'stream "x" does not exist')
FENCED = End(grpc.StatusCode.FAILED_PRECONDITION, "another copy", "FENCED", 0)
QUICK = ("--set=backoff_first=10ms", "--set=backoff_last=100ms")
TEMPORARY = tempfile.TemporaryDirectory()

# A shell's background job ignores it, and the tool would then, too; a handler is not inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Run:
    """sluice send, with its standard input open for as long as the test wants."""

    def __init__(self, port, *arguments, env=None):
        self.process = subprocess.Popen(
            [SLUICE, "send", "--summary=json", f"--server=127.0.0.1:{port}", *QUICK, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": TEMPORARY.name, **(env or {})})

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


def tool(*arguments):
    return subprocess.run([SLUICE, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE, check=False, env={**os.environ, "TMPDIR": TEMPORARY.name})


def objects(n, start=0):
    return [{"device": f"d{i % 7}", "n": i, "value": i / 8} for i in range(start, start + n)]


def ndjson(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def stored(server):
    return [json.loads(payload) for payload in server.stored()]


def left_behind():
    return glob.glob(f"{TEMPORARY.name}/sluice-send-*")


def unused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- inputs ----

@test
def every_record_arrives_once_in_order_and_the_private_buffer_goes():
    with Server() as server:
        run = send(server.port, ndjson(objects(5000)))
        equal(run.status, 0, run.err)
        equal(stored(server), objects(5000), "stored")
        equal([run.summary[name] for name in ("sent", "acknowledged", "stored", "duplicates", "dead_letters", "unacknowledged")],
              [5000, 5000, 5000, 0, 0, 0], "summary")
        equal(server.opens[0].stream, "", "no stream named")
        equal(left_behind(), [], "temporary directories")


@test
def a_bad_line_is_named_and_the_records_before_it_are_flushed():
    bad = {b'{"n": 3}\n': "no member", b'{"id": ""}\n': "is empty", b'{"id": null}\n': "not a string",
           b'not json\n': "not a JSON object", b'{"id": "x"} {}\n': "behind the JSON object",
           b'{"id": "' + b"x" * 2000 + b'"}\n': "longer than"}
    for line, message in bad.items():
        with Server() as server:
            run = send(server.port, b'{"id": 1}\n\n{"id": 2}\n' + line + b'{"id": 5}\n', "--key=id")
            equal(run.status, 1, run.err)
            holds("<stdin>:4: " in run.err and message in run.err, (message, run.err))
            equal(stored(server), [{"id": 1}, {"id": 2}], "stored")


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


@test
def lines_and_messages_are_sent_byte_by_byte():
    payloads = [b"", b"\x00\xff\r", b"last, without a newline"]
    for kind, data in (("lines", b"\n".join(payloads)),
                       ("protobuf", b"".join(bytes([len(payload)]) + payload for payload in payloads))):
        with Server() as server:
            run = send(server.port, data, f"--input={kind}", "--stream=raw bytes")
            equal(run.status, 0, run.err)
            equal(server.stored(), payloads, "stored")
            equal(server.opens[0].stream, "raw bytes", "stream")


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
    for arguments in (["--inptu=csv"], ["--input=xml"], ["--timeout=-1"], ["--input=lines", "--key=id"], ["--key"],
                      ["--input=protobuf", "--entity=id"], ["--max-record-size=3 parsecs"], ["--set=memory"],
                      ["--set=memory=1"], ["--set=no_such=1"], ["--flush"], ["--flush", "--buffer=/tmp", "file"],
                      ["--set=tls_ca=x"]):
        run = tool("send", *arguments)
        equal(run.returncode, 1, arguments)
        holds(run.stderr, arguments)
    equal(left_behind(), [], "temporary directories")


@test
def a_record_too_large_is_refused_by_the_tool_with_its_line():
    with Server() as server:
        run = send(server.port, ndjson(objects(3)) + ndjson([{"x": "y" * 2000}]), "--max-record-size=1kB")
        equal(run.status, 1, run.err)
        holds("<stdin>:4: " in run.err, run.err)
        equal(len(server.stored()), 3, "stored")


# ---- verdicts ----

@test
def dead_letters_are_named_and_end_with_status_2():
    with Server() as server:
        server.usual = Behaviour(verdicts={n: messages.VERDICT_DEAD_LETTERED for n in range(42, 1000, 100)})
        run = send(server.port, ndjson(objects(1000)))
        equal(run.status, 2, run.err)
        equal([run.summary["stored"], run.summary["dead_letters"], run.summary["acknowledged"]], [990, 10, 990], "counts")
        holds("<stdin>:42: dead-lettered" in run.err and "<stdin>:942: dead-lettered" in run.err, run.err)


@test
def duplicates_and_filtered_records_are_counted():
    with Server() as server:
        server.usual = Behaviour(verdicts={3: messages.VERDICT_DUPLICATE, 5: messages.VERDICT_FILTERED})
        run = send(server.port, ndjson(objects(10)))
        equal(run.status, 0, run.err)
        equal([run.summary[name] for name in ("stored", "duplicates", "filtered", "acknowledged")], [8, 1, 1, 10], "counts")


@test
def a_record_too_large_for_the_server_is_set_aside_and_kept():
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        server.limits.record_bytes = 1000
        run = send(server.port, ndjson(objects(3)) + ndjson([{"x": "y" * 2000}]) + ndjson(objects(3, 3)),
                   f"--buffer={directory}/b")
        if run.status == 1:             # the limit was known when it was put in
            holds("<stdin>:4: " in run.err and "larger" in run.err, run.err)
            return
        equal(run.status, 2, run.err)
        equal(stored(server), objects(6), "stored")
        holds("<stdin>:4: set aside" in run.err, run.err)
        lines = [json.loads(line) for line in tool("buffer", "dump", f"{directory}/b").stdout.splitlines()]
        equal([json.loads(base64.b64decode(line["payload"])) for line in lines], [{"x": "y" * 2000}], "dump")


# ---- failures ----

@test
def a_refusal_ends_with_status_4_and_the_servers_words():
    with Server() as server:
        server.usual = Behaviour(at_open=REFUSAL)
        run = send(server.port, ndjson(objects(10)))
        equal(run.status, 4, run.err)
        holds('stream "x" does not exist' in run.err, run.err)
        equal(run.summary["unacknowledged"], 10, "unacknowledged")
        holds("10 records are left in " in run.err and "--flush" in run.err, run.err)
        directory = left_behind()[0]
        server.usual = Behaviour()
        run = send(server.port, b"", "--flush", f"--buffer={directory}", "--once")
        equal([run.status, stored(server)], [0, objects(10)], run.err)
        subprocess.run(["rm", "-r", directory], check=True)


@test
def a_fenced_buffer_has_a_status_of_its_own_and_is_told():
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        run = send(unused_port(), ndjson(objects(10)), f"--buffer={directory}/b", "--timeout=0.2")
        equal(run.status, 3, run.err)
        server.usual = Behaviour(at_open=FENCED)
        for _ in range(2):              # told by the server; then by the buffer
            run = send(server.port, b"", f"--buffer={directory}/b")
            equal(run.status, 6, run.err)
            holds("sluice buffer repair" in run.err, run.err)
        stats = tool("buffer", "stats", "--json", f"{directory}/b")
        equal([stats.returncode, json.loads(stats.stdout)["condition"], json.loads(stats.stdout)["records"]],
              [2, "fenced", 10], stats.stderr)
        equal(tool("buffer", "repair", "--new-identity", "--shared=keep", f"{directory}/b").returncode, 0, "repair")
        server.usual = Behaviour()
        run = send(server.port, b"", f"--buffer={directory}/b", "--once")
        equal([run.status, stored(server)], [0, objects(10)], run.err)


@test
def records_that_come_when_the_buffer_is_fenced_already_end_with_the_same_status():
    for _ in range(3):
        with Server() as server, tempfile.TemporaryDirectory() as directory:
            server.usual = Behaviour(at_open=FENCED)
            run = Run(server.port, f"--buffer={directory}/b")
            holds(b"stopped, with all records kept" in run.process.stderr.readline(), "the log")
            try:
                run.write(ndjson(objects(1)))
                status = run.end()
            except BrokenPipeError:     # it has ended by itself
                status = run.process.wait(PATIENCE)
            equal(status, 6, "status")


@test
def calls_that_are_cut_lose_and_double_nothing():
    with Server() as server:
        lost = End(grpc.StatusCode.UNAVAILABLE, "cut by the test")
        server.next_calls = [Behaviour(after_ack=lost) for _ in range(4)] + [Behaviour(at_batch=lost)]
        run = Run(server.port)
        for i in range(20):
            run.write(ndjson(objects(100, i * 100)))
            wait_until(lambda n=i: len(server.stored()) >= 100 * n, f"piece {i}")
        equal(run.end(), 0, run.process)
        equal(stored(server), objects(2000), "stored")
        equal(run.summary["acknowledged"], 2000, "acknowledged")
        holds(run.summary["calls"] >= 5 and "cut by the test" in run.err, run.err)


@test
def a_killed_run_goes_on_where_it_was():
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        server.usual = Behaviour(delay=0.05)
        run = Run(server.port, f"--buffer={directory}/b", "--durability=each")
        run.write_and_wait(ndjson(objects(200)))
        wait_until(lambda: len(server.stored()) >= 1, "the first records")
        wait_until(lambda: json.loads(tool("buffer", "stats", "--json", f"{directory}/b").stdout)["last_sequence"] == 200,
                   "all are in the buffer")
        run.process.kill()
        run.end()
        server.usual = Behaviour()
        run = send(server.port, ndjson(objects(100, 200)), f"--buffer={directory}/b", "--once")
        equal(run.status, 0, run.err)
        equal(stored(server), objects(300), "stored")


@test
def a_run_that_gives_up_tells_no_trouble_that_has_passed():
    port = unused_port()
    run = Run(port, "--timeout=1")
    run.write(ndjson(objects(10)))
    holds(b"could not connect" in run.process.stderr.readline(), "the log")
    with Server(port=port) as server:
        server.usual = Behaviour(deaf=True)
        equal(run.end(), 3, "status")
        last = run.err[run.err.index("gave up"):]
        holds("nothing was acknowledged for 1 s; 10 records are unacknowledged" in last, run.err)
    subprocess.run(["rm", "-r", *left_behind()], check=True)


@test
def the_directory_above_the_buffer_has_to_be_there():
    run = send(unused_port(), b"", f"--buffer={TEMPORARY.name}/missing/b")
    equal(run.status, 1, run.err)
    holds(f'could not create directory "{TEMPORARY.name}/missing/b": the directory above it is not there' in run.err, run.err)


@test
def a_server_that_comes_later_gets_everything():
    port = unused_port()
    run = Run(port)
    run.write(ndjson(objects(100)))
    lines = iter(run.process.stderr.readline, b"")
    holds(b"connect" in next(lines), "a notice")
    with Server(port=port) as server:
        equal(run.end(), 0, "status")
        equal(stored(server), objects(100), "stored")


@test
def of_several_servers_one_is_enough():
    with Server() as server:
        run = send(f"{unused_port()},127.0.0.1:{server.port}", ndjson(objects(100)))
        equal([run.status, stored(server)], [0, objects(100)], run.err)


@test
def without_acknowledgements_it_gives_up_with_status_3_and_the_count():
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        server.usual = Behaviour(deaf=True)
        run = send(server.port, ndjson(objects(321)), "--timeout=1", f"--buffer={directory}/b")
        equal(run.status, 3, run.err)
        equal(run.summary["unacknowledged"], 321, "unacknowledged")
        holds("321 records are unacknowledged, the first of them <stdin>:1\n" in run.err, run.err)
        equal(tool("buffer", "check", f"{directory}/b").returncode, 0, "check")
        raw = tool("buffer", "dump", "--raw", f"{directory}/b").stdout
        equal([json.loads(line) for line in raw.splitlines()], objects(321), "dump")


# ---- signals ----

@test
def sigterm_flushes_what_was_read():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Server() as server:
            server.usual = Behaviour(delay=0.2)
            run = Run(server.port)
            run.write_and_wait(ndjson(objects(500)) + b'{"not": "comple')
            run.signal(number)
            run.process.wait(timeout=PATIENCE)
            equal(run.end(), 5, "status")
            equal(stored(server), objects(500), "stored")
            equal(run.summary["unacknowledged"], 0, "unacknowledged")
            holds("stopped by a signal before the end of the input, after <stdin>:500" in run.err, run.err)


@test
def what_a_signal_leaves_stays_in_the_buffer():
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        server.usual = Behaviour(deaf=True)
        run = Run(server.port, "--timeout=1", f"--buffer={directory}/b")
        run.write_and_wait(ndjson(objects(50)))
        wait_until(lambda: server.batches >= 1, "the first batch")
        run.signal(signal.SIGTERM)
        equal(run.end(), 3, "status")
        holds(f"50 records are left in {directory}/b" in run.err, run.err)
        server.usual = Behaviour()
        equal(send(server.port, b"", f"--buffer={directory}/b", "--flush").status, 0, "the rest")
        equal(stored(server), objects(50), "stored")


@test
def a_second_signal_stops_at_once_and_two_at_once_are_one():
    with Server() as server:
        server.usual = Behaviour(deaf=True)
        run = Run(server.port, "--timeout=0")
        run.write_and_wait(ndjson(objects(50)))
        wait_until(lambda: server.batches >= 1, "the first batch")
        run.signal(signal.SIGTERM)
        run.signal(signal.SIGINT)
        lines = iter(run.process.stderr.readline, b"")
        holds(b"flushing" in next(lines), "a notice")
        holds(run.process.poll() is None, "still flushing")
        until = time.monotonic() + PATIENCE
        while run.process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
            run.signal(signal.SIGTERM)
        equal(run.end(), 3, "status")
        equal(run.summary["unacknowledged"], 50, "unacknowledged")
        subprocess.run(["rm", "-r", *left_behind()], check=True)


# ---- the rest ----

@test
def a_record_of_a_slow_input_leaves_at_once():
    with Server() as server:
        run = Run(server.port)
        for i in range(20):
            run.write(ndjson(objects(1, i)))
            wait_until(lambda n=i: len(server.stored()) == n + 1, f"record {i}")
        equal(run.end(), 0, "status")
        equal(len(server.opens), 1, "calls")


@test
def a_full_buffer_holds_the_input_or_gives_up_what_it_was_told_to():
    with Server() as server:
        server.usual = Behaviour(delay=0.05)
        run = send(server.port, ndjson(objects(500)), "--set=max_records=50")
        equal([run.status, stored(server)], [0, objects(500)], run.err)
    port = unused_port()
    with tempfile.TemporaryDirectory() as directory:
        run = send(port, ndjson(objects(500)), "--set=max_records=50", "--set=full=drop_oldest", "--timeout=1",
                   f"--buffer={directory}/b")
        equal(run.status, 3, run.err)
        with Server(port=port) as server:
            run = send(port, b"", "--once", f"--buffer={directory}/b")
            equal(run.status, 2, run.err)
            equal(stored(server), objects(50, 450), "the newest")
            equal(run.summary["dropped"], 450, "dropped")


@test
def only_the_newest_of_an_entity_is_kept_where_told():
    port = unused_port()
    with tempfile.TemporaryDirectory() as directory:
        arguments = ("--entity=device", "--set=compact=on", f"--buffer={directory}/b")
        equal(send(port, ndjson(objects(70)), "--timeout=1", *arguments).status, 3, "nobody listens")
        with Server(port=port) as server:
            equal(send(port, b"", *arguments).status, 0, "status")
            holds(objects(70)[63:] == stored(server)[-7:] and len(stored(server)) < 70, stored(server))


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
        holds("5 acknowledged, 0 dead letters, 0 buffered, connected" in run.err, run.err)
        run = send(server.port, ndjson(objects(5)))
        equal(run.err, "", "stderr is no terminal")
        server.usual = Behaviour(verdicts={1: messages.VERDICT_DEAD_LETTERED})
        run = send(server.port, ndjson(objects(5)), "--quiet")
        equal([run.status, run.err], [2, ""], "quiet")


@test
def a_buffer_that_is_not_there_or_in_use_is_told():
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        equal(tool("buffer", "check", f"{directory}/none").returncode, 3, "not there")
        equal(tool("buffer", "frobnicate", directory).returncode, 1, "usage")
        run = Run(server.port, f"--buffer={directory}/b")
        run.write(ndjson(objects(1)))
        wait_until(lambda: len(server.stored()) == 1, "the first record")
        equal(tool("buffer", "check", f"{directory}/b").returncode, 3, "in use")
        equal(tool("buffer", "stats", f"{directory}/b").returncode, 0, "statistics are shown also then")
        equal(send(server.port, b"{}\n", f"--buffer={directory}/b").status, 1, "one process at a time")
        equal(run.end(), 0, "status")


@test
def bench_measures_what_it_sent():
    with Server() as server:
        for arguments, records in ((["--records=3000"], 3000), (["--records=2000", "--threads=4", "--durability=each"], 2000),
                                   (["--rate=2000", "--duration=0.5", "--warmup=0.1"], 1200)):
            before = len(server.stored())
            run = tool("bench", "--json", f"--server=127.0.0.1:{server.port}", *arguments)
            equal(run.returncode, 0, run.stderr)
            result = json.loads(run.stdout)
            equal([result["records"], result["stored"], result["unacknowledged"]], [records, records, 0], arguments)
            equal(len(server.stored()), before + records, "stored")
            for member in ("latency_us", "send_us"):
                latency = result[member]
                holds(0 < latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"], latency)
                equal(latency["count"], result["measured"], member)
        equal(result["measured"], 1000, "after the warm-up")


@test
def bench_sends_readings():
    with Server() as server:
        run = tool("bench", "--json", f"--server=127.0.0.1:{server.port}", "--records=500", "--payload=reading", "--keys=random")
        equal(run.returncode, 0, run.stderr)
        equal([payload[:9] for payload in server.stored()], [b"\x0a\x10device-"] * 500, "stored")


@test
def bench_drains_what_a_buffer_holds():
    with Server() as server, tempfile.TemporaryDirectory() as directory:
        fill = tool("bench", "--json", f"--server=127.0.0.1:{unused_port()}", f"--buffer={directory}", "--records=2000", "--timeout=0")
        equal([fill.returncode, json.loads(fill.stdout)["unacknowledged"]], [3, 2000], fill.stderr)
        drain = tool("bench", "--json", f"--server=127.0.0.1:{server.port}", f"--buffer={directory}", "--drain")
        result = json.loads(drain.stdout)
        equal([drain.returncode, result["found"], result["records"], result["unacknowledged"]], [0, 2000, 0, 0], drain.stderr)
        holds(result["records_per_s"] > 0, result)
        equal(len(server.stored()), 2000, "stored")


@test
def role_and_tls_are_options_of_each_command_that_sends():
    with tempfile.TemporaryDirectory() as directory:
        certificates(directory)
        basic = "Basic " + base64.b64encode(b"meter:secret").decode()
        with Server(credentials=server_credentials(directory, wants_client=True), password=basic) as server:
            tls = ("--tls", f"--tls-ca={directory}/ca.pem", f"--tls-cert={directory}/device.pem", f"--tls-key={directory}/device.key",
                   "--tls-name=db.test")
            for environment in ({"SLUICE_PASSWORD": "secret"}, {"PGPASSWORD": "secret"}):
                run = send(server.port, ndjson(objects(2)), *tls, "--user=meter", env=environment)
                equal(run.status, 0, run.err)
            run = send(server.port, ndjson(objects(1)), *tls, "-Umeter", env={"SLUICE_PASSWORD": "wrong"})
            equal(run.status, 4, run.err)
            holds("the server refuses: " in run.err and "login failed: wrong password" in run.err, run.err)
            holds(f" --tls --server '127.0.0.1:{server.port}' --user 'meter' --tls-ca '{directory}/ca.pem' --tls-cert " in run.err,
                  f"the command that sends the rest: {run.err}")
            run = send(server.port, b"", *tls, "--no-tls")
            equal(run.status, 1, run.err)
            holds('options "tls_ca", "tls_cert" and "tls_name" need "tls" to be on' in run.err, run.err)
            bench = subprocess.run([SLUICE, "bench", f"--server=127.0.0.1:{server.port}", "--user=meter", *tls, "--records=100"],
                                   capture_output=True, text=True, timeout=PATIENCE, check=False,
                                   env={**os.environ, "TMPDIR": TEMPORARY.name, "SLUICE_PASSWORD": "secret"})
            equal(bench.returncode, 0, bench.stderr)
            equal(len(server.stored()), 104, "what is stored")


@test
def a_target_string_may_be_the_server_and_options_change_what_it_says():
    with Server(password="Basic " + base64.b64encode(b"meter:secret").decode()) as server:
        def run(*arguments, **environment):
            return subprocess.run([SLUICE, "send", "--quiet", *arguments], input=ndjson(objects(1)), capture_output=True, timeout=PATIENCE,
                                  check=False, env={**os.environ, "TMPDIR": TEMPORARY.name, **environment})

        for arguments, environment in (
                ([], {"SLUICE_SERVER": f"sluice://meter:secret@127.0.0.1:{server.port}/readings"}),
                ([], {"SLUICE_SERVER": f"sluice://meter:old@127.0.0.1:{server.port}/readings", "SLUICE_PASSWORD": "secret"}),
                ([f"--server=sluice://meter@127.0.0.1:{server.port}/readings"], {"SLUICE_SERVER": "db1", "SLUICE_PASSWORD": "secret"}),
                ([f"--server=sluice://x@127.0.0.1:{server.port}/other", "--user=meter", "--stream=readings"], {"SLUICE_PASSWORD": "secret"}),
                ([f"--server=sluice://x@127.0.0.1:{server.port}/other", "--set=user=meter", "--set=stream=readings"], {"PGPASSWORD": "secret"})):
            done = run(*arguments, **environment)
            equal((done.returncode, done.stderr), (0, b""), arguments)
        equal({opened.stream for opened in server.opens}, {"readings"}, "streams")
        equal(run("--server=sluice://h?tls=maybe").returncode, 1, "a bad one")


@test
def a_password_is_not_taken_from_the_command_line():
    for argument in ("--set=password=secret", "--server=sluice://u:secret@127.0.0.1:1", "--set=server=sluice://u:secret@127.0.0.1:1"):
        for command in ("send", "bench"):
            run = tool(command, argument)
            equal((run.returncode, run.stdout), (1, ""), argument)
            equal(run.stderr, f"sluice {command}: a password is not given on the command line, which others can see: "
                              "use $SLUICE_PASSWORD, or a password file (~/.pgpass)\n", argument)


run_tests(sys.argv[2:])
