"""The load generator sluice-load against a gRPC server of another implementation.

    load_test.py SLUICE-LOAD [TEST]...

Output is TAP.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from certificates import certificates, server_credentials
from ingest_server import Server
from run_tool import PATIENCE, equal, holds, run_tests, test, wait_until

SLUICE_LOAD = os.path.abspath(sys.argv[1])


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


@test
def the_window_is_never_exceeded_and_answers_may_come_in_any_order():
    with Server() as server:
        server.reorder = 10
        run = subprocess.run([SLUICE_LOAD, f"--server=127.0.0.1:{server.port}", "--records=1000", "--window=10"],
                             capture_output=True, timeout=PATIENCE, check=False)
        equal(run.returncode, 0, run.stderr)
        equal(len(server.store), 1000, "stored")
        holds(server.most_unanswered <= 10, server.most_unanswered)


@test
def calls_that_are_cut_lose_and_double_nothing():
    with Server() as server:
        server.cut_after = 700
        process = subprocess.Popen([SLUICE_LOAD, f"--server=127.0.0.1:{server.port}", "--records=3000", "--window=500"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        wait_until(lambda: server.calls >= 3, "three calls")
        server.change(cut_after=None)
        out, _ = process.communicate(timeout=PATIENCE)
        equal(process.returncode, 0, "status")
        equal(json.loads(out)["acknowledged"], 3000, "acknowledged")
        equal(len(server.store), 3000, "stored")


@test
def it_connects_as_the_library_does():
    with tempfile.TemporaryDirectory() as directory:
        certificates(directory)
        with Server(credentials=server_credentials(directory, wants_client=True)) as server:
            server.pushback = "300"

            def run(*arguments, name="db.test"):
                target = f"sluice://meter@127.0.0.1:{server.port}/readings?tls=on&tls_ca={directory}/ca.pem"
                return subprocess.run(
                    [SLUICE_LOAD, f"--server={target}", f"--tls-cert={directory}/device.pem", f"--tls-key={directory}/device.key",
                     f"--tls-name={name}", "--records=100", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False,
                    env={**os.environ, "SLUICE_PASSWORD": "secret"})
            done = run()
            equal(done.returncode, 0, done.stderr)
            equal([(call["authorization"], call["sluice-stream"]) for call in server.metadata],
                  2 * [("Basic bWV0ZXI6c2VjcmV0", "readings")], "who and what for")
            holds("too busy" in done.stderr and re.search(r"trying again in 0\.[3-6] s", done.stderr), done.stderr)
            done = run("--timeout=1", name="other.test")
            equal(done.returncode, 3, done.stderr)
            holds('the server\'s certificate is not for "other.test"' in done.stderr, done.stderr)
            done = run(f"--tls-ca={directory}/none.pem")
            equal((done.returncode, done.stderr),
                  (4, f'sluice-load: could not read "{directory}/none.pem": No such file or directory\n'), "a file that is missing")
            done = run("--user=a:b")
            equal((done.returncode, done.stderr), (1, "sluice-load: a user's name with a colon cannot be sent\n"), "a mistake")


run_tests(sys.argv[2:])
