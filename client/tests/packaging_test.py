"""The library as it is installed: its symbols, its header from C and C++, sluice.pc, the manual pages.

    packaging_test.py PREFIX SOURCES

PREFIX: where it was installed.  SOURCES: a directory with the tool's Makefile and sources, and libsluice.md.
Output is TAP.
"""
import os
import re
import subprocess
import sys
import tempfile

from run_tool import equal, holds, run_tests, test

PREFIX, SOURCES = (os.path.abspath(path) for path in sys.argv[1:3])
SYSTEM = {"grpc", "gpr", "protobuf-c", "crypto", "lmdb", "z", "pthread", "c"}

with open(f"{PREFIX}/include/sluice.h", encoding="utf-8") as header_file:
    HEADER = header_file.read()
CALLS = sorted(re.findall(r"^SLUICE_API [^;]*?\b(sluice_\w+)\(", HEADER, re.M))

EXAMPLE = r"""
#include <sluice.h>
#include <stdio.h>

int
main(void)
{
	sluice_options *options = sluice_options_create();
	sluice_producer *producer = NULL;
	char		message[256];
	int			failed;

	printf("%s\n", sluice_version());
	sluice_options_set(options, "server", "127.0.0.1:1");
	failed = sluice_producer_open(options, &producer, message, sizeof(message)) != SLUICE_ERROR_OPTION;
	sluice_options_free(options);
	return failed;
}
"""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def build(compiler, suffix, flags):
    with tempfile.TemporaryDirectory() as directory:
        source = f"{directory}/example.{suffix}"
        with open(source, "w", encoding="utf-8") as file:
            file.write(EXAMPLE)
        run(compiler, "-Wall", "-Wextra", "-Werror", "-o", f"{directory}/example", source, *flags)
        return run(f"{directory}/example", env={**os.environ, "LD_LIBRARY_PATH": f"{PREFIX}/lib"}).strip()


def package(*arguments):
    return run("pkg-config", *arguments, "sluice",
               env={**os.environ, "PKG_CONFIG_PATH": f"{PREFIX}/lib/pkgconfig"}).split()


@test
def everything_is_installed():
    for path in ("bin/sluice", "include/sluice.h", "lib/libsluice.so", "lib/libsluice.so.0", "lib/libsluice.a",
                 "lib/pkgconfig/sluice.pc", "share/man/man1/sluice.1", "share/man/man1/sluice-send.1",
                 "share/man/man1/sluice-subscribe.1", "share/man/man1/sluice-unsubscribe.1", "share/man/man1/sluice-buffer.1", "share/man/man1/sluice-bench.1", "share/man/man3/libsluice.3"):
        holds(os.path.exists(f"{PREFIX}/{path}"), path)


@test
def the_shared_library_exports_the_calls_of_the_header_and_nothing_else():
    symbols = run("nm", "-D", "--defined-only", f"{PREFIX}/lib/libsluice.so").split("\n")
    equal(sorted(line.split()[2].split("@")[0] for line in symbols if " T " in line), CALLS, "exported")
    equal([line for line in symbols if line and " T " not in line and "LIBSLUICE_0" not in line], [], "data")
    holds(len(CALLS) < 40, CALLS)
    holds("libsluice.so.0" in run("readelf", "-d", f"{PREFIX}/lib/libsluice.so"), "soname")


@test
def the_static_library_has_no_other_global_names():
    symbols = run("nm", "--defined-only", "-g", f"{PREFIX}/lib/libsluice.a").split("\n")
    equal(sorted(line.split()[2] for line in symbols if len(line.split()) == 3), CALLS, "global")


@test
def it_needs_few_libraries():
    needed = re.findall(r"NEEDED.*\[lib([\w-]+)\.so", run("readelf", "-d", f"{PREFIX}/lib/libsluice.so"))
    equal(sorted(set(needed) - SYSTEM), [], "needed")


@test
def c_and_cxx_programs_are_built_with_it_and_run():
    version = run(f"{PREFIX}/bin/sluice", "--version").split()[1]
    flags = package("--cflags", "--libs")
    for compiler, suffix, standard in (("gcc", "c", "-std=c99"), ("g++", "cc", "-std=c++11"), ("clang", "c", "-std=c11")):
        equal(build(compiler, suffix, [standard, *flags]), version, compiler)
    equal(build("gcc", "c", [f"-I{PREFIX}/include", f"{PREFIX}/lib/libsluice.a",
                             *[flag for flag in package("--libs", "--static") if flag != "-lsluice"]]), version, "static")


@test
def the_examples_of_the_documentation_are_programs():
    with open(f"{SOURCES}/libsluice.md", encoding="utf-8") as file:
        programs = re.findall(r"^```c\n(.*?)^```$", file.read(), re.M | re.S)
    equal(len(programs), 2, "programs")
    for call, program in zip(("sluice_send", "sluice_consumer_next"), programs):
        holds(call in program, f"{call} in {program}")
        for compiler in ("gcc", "clang"):
            with tempfile.TemporaryDirectory() as directory:
                with open(f"{directory}/example.c", "w", encoding="utf-8") as file:
                    file.write(program)
                run(compiler, "-Wall", "-Wextra", "-Werror", "-o", f"{directory}/example", f"{directory}/example.c",
                    *package("--cflags", "--libs"))


@test
def the_tool_needs_the_public_header_alone():
    tool = set()
    with open(f"{SOURCES}/Makefile", encoding="utf-8") as file:
        objects = re.search(r"^TOOL = \\\n((?:\t.*\n)+)", file.read(), re.M).group(1)
    for name in re.findall(r"(\w+)\.o", objects):
        for kind in ("c", "h"):
            path = f"{SOURCES}/{name}.{kind}"
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    tool |= set(re.findall(r'#include "(.*?)"', file.read()))
    equal([name for name in tool if name.startswith("lib/")], [], "private headers")
    holds("sluice.h" in tool, tool)


@test
def the_manual_tells_every_call_option_and_error():
    with open(f"{PREFIX}/share/man/man3/libsluice.3", encoding="utf-8") as file:
        page = file.read().replace("\\-", "-")
    equal([name for name in CALLS if f"{name}(" not in page], [], "calls")
    equal([name for name in re.findall(r"X\((\w+), \d+", HEADER) if f"SLUICE_{name}\n" not in page], [], "errors")
    for option in ("buffer", "linger", "on_new_stream", "subscription", "wants_start", "tls_name"):
        holds(f".B {option}\n" in page, option)
    for command in ("send", "subscribe", "unsubscribe", "buffer", "bench"):
        with open(f"{PREFIX}/share/man/man1/sluice-{command}.1", encoding="utf-8") as file:
            page = file.read().replace("\\-", "-").replace("\\(aq", "'")
        options = re.findall(r"--[\w-]+", run(f"{PREFIX}/bin/sluice", command, "--help"))
        equal([option for option in options if option not in page], [], command)


@test
def the_pages_are_rendered_without_warnings():
    pages = [f"{PREFIX}/share/man/man3/libsluice.3"] + [
        f"{PREFIX}/share/man/man1/{name}" for name in os.listdir(f"{PREFIX}/share/man/man1")]
    for page in pages:
        with open(page, encoding="utf-8") as file:
            lines = file.read().splitlines()
        wrong = [line for line in lines if line.startswith(".") and not re.match(
            r"\.(TH|SH|PP|TP|B|BR|nf|fi|RS|RE)\b", line)]
        equal(wrong, [], f"requests of {page}")
        equal([lines.count(".nf"), lines.count(".RS 4")], [lines.count(".fi"), lines.count(".RE")], page)
        if os.path.exists("/usr/bin/groff"):
            told = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z", page], capture_output=True, text=True, check=False)
            equal([told.returncode, told.stderr], [0, ""], page)


run_tests(sys.argv[3:])
