"""What the tests of the programs share: a list of tests, conditions, and TAP."""
import sys
import time
import traceback

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


def run_tests(wanted):
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
    sys.exit(failed > 0)
