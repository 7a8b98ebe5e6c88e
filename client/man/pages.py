"""The manual pages, from what the code says already.

    pages.py VERSION HEADER DESCRIBE TOOL DIRECTORY

sluice.3 is made from the comments of HEADER (sluice.h) and the options that DESCRIBE
prints (describe.c), sluice.1 and a page for each command from what TOOL prints for --help.
"""
import os
import re
import subprocess
import sys

COMMANDS = ("send", "subscribe", "unsubscribe", "buffer", "bench")


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("'", "\\(aq").replace("^", "\\(ha")
    return re.sub(r"^([.])", r"\\&\1", text, flags=re.M)


def paragraph(text):
    return ".PP\n" + escape(" ".join(text.split())) + "\n"


def verbatim(text):
    return ".PP\n.nf\n.RS 4\n" + escape(text.rstrip("\n").expandtabs(4)) + "\n.RE\n.fi\n"


def title(name, section, version, description):
    return (f".TH {name.upper()} {section} \"\" \"pg_sluice {version}\" \"pg_sluice\"\n.SH NAME\n"
            f"{name} \\- {escape(description)}\n")


# ---- the library ----

def comment_text(comment):
    lines = [re.sub(r"^\s*\*? ?", "", line) for line in comment.strip()[2:-2].strip().splitlines()]
    return "\n".join(lines)


def comment_blocks(text):
    """Paragraphs, and what is indented as it stands."""
    out, plain, code = [], [], []

    def flush():
        if plain:
            out.append(paragraph(" ".join(plain)))
            plain.clear()
        if code:
            out.append(verbatim("\n".join(code)))
            code.clear()

    for line in text.splitlines():
        if line.startswith("\t") or (code and line.startswith("  ")):
            if plain:
                flush()
            code.append(line.removeprefix("\t"))
        elif not line.strip():
            flush()
        else:
            if code:
                flush()
            # A head word ends the paragraph before it: "Threads.  A producer ..."
            if plain and re.match(r"[A-Z]\w*( \w+)?\.  ?[A-Z]", line):
                flush()
            plain.append(line.strip())
    flush()
    return "".join(out)


def errors_table(header):
    out = []
    for name, number, kind, text in re.findall(r"X\((\w+), (\d+), (\w+), \"([^\"]+)\"\)", header):
        out.append(f".TP\n.B SLUICE_{name}\n{number}, {kind.lower()}: {escape(text)}\n")
    return "".join(out)


def declarations(text):
    text = re.sub(r"SLUICE_API ", "", text)
    out = []
    at = 0
    while at < len(text):
        match = re.compile(r"\s*/\*.*?\*/[ \t]*\n", re.S).match(text, at)
        if match:
            out.append(comment_blocks(comment_text(match.group())))
            at = match.end()
            continue
        end = re.compile(r"\n[ \t]*\n|\Z").search(text, at)
        code = text[at:end.start()].strip("\n")
        # A comment at the beginning of a line closes the block, too.
        inner = re.search(r"^/\*", code, re.M)
        stop = end.end()
        if inner and inner.start() > 0:
            stop = at + len(text[at:end.start()]) - len(code) + inner.start()
            code = code[:inner.start()].strip("\n")
        if code.strip():
            out.append(verbatim(code))
        at = max(stop, at + 1)
    return "".join(out)


def option_entry(name, kind, initial, limits, meaning):
    about = f"{kind}; " + (f"{limits}; " if limits else "") + (f"default {initial}" if initial else "default empty")
    return f".TP\n.B {escape(name)}\n({escape(about)})\n{escape(meaning)}.\n"


def library_page(version, header, describe):
    head = re.search(r"/\*\n \* sluice\.h\n \*\t\tlibsluice: (.*?)\n \*\n(.*?)\*/", header, re.S)
    out = [title("libsluice", 3, version, head.group(1).rstrip(".")),
           ".SH SYNOPSIS\n.nf\n.B #include <sluice.h>\n.PP\ncc program.c \\-lsluice\n.fi\n.SH DESCRIPTION\n",
           comment_blocks(comment_text("/*\n" + head.group(2) + "*/"))]
    body = header[header.index("/* ---- errors ---- */"):header.index("#ifdef __cplusplus\n}")]
    for name, text in re.findall(r"/\* ---- (.*?) ---- \*/\n(.*?)(?=/\* ---- |\Z)", body, re.S):
        out.append(f".SH {name.upper()}\n")
        if name == "errors":
            out.append(errors_table(text))
            text = re.sub(r"/\* X\(.*?\*/\n#define SLUICE_ERRORS.*?\n\n", "", text, flags=re.S)
            text = re.sub(r"typedef enum sluice_error\n.*?\} sluice_error;\n", "", text, flags=re.S)
        out.append(declarations(text))
    described = [line.split("\t") for line in
                 subprocess.run([describe], check=True, capture_output=True, text=True).stdout.splitlines()]
    for scope, heading in (("producer", "A PRODUCER"), ("consumer", "A CONSUMER"), ("both", "BOTH")):
        out.append(f".SH \"OPTIONS OF {heading}\"\n")
        out.extend(option_entry(*rest) for owner, *rest in described if owner == scope)
    out.append(".SH \"SEE ALSO\"\n.BR sluice (1)\n")
    return "".join(out)


# ---- the tool ----

def help_sections(text):
    """Usage line, sentence, and the sections behind them, each a heading and (term, meaning) pairs."""
    usage, *rest = text.splitlines()
    sentence, sections = [], []
    for line in rest:
        row = re.match(r"^  +(\S.*?)  +(\S.*)$", line) or re.match(r"^ {2,6}(\S.*)$", line)
        if re.match(r"^[A-Z][\w ]*:$", line):
            sections.append((line[:-1], []))
        elif row and line.startswith("  "):
            if not sections:
                sections.append(("Options", []))
            pair = row.groups() if len(row.groups()) == 2 else (row.group(1), "")
            sections[-1][1].append(pair)
        elif line.strip():
            sentence.append(line.strip())
    return usage.removeprefix("Usage: "), " ".join(sentence), sections


def tool_page(version, tool, command):
    name = f"sluice {command}".strip()
    text = subprocess.run([tool, *name.split()[1:], "--help"], check=True, capture_output=True, text=True).stdout
    usage, sentence, sections = help_sections(text)
    page = name.replace(" ", "-")
    first = sentence.split(":")[0].rstrip(".")
    short = first[0].lower() + first[1:] if command else "records into PostgreSQL tables exactly once, and their rows out again"
    out = [title(page, 1, version, short), f".SH SYNOPSIS\n.nf\n{escape(usage)}\n.fi\n"]
    if sentence:
        out.append(".SH DESCRIPTION\n" + escape(sentence) + "\n")
    for heading, rows in sections:
        out.append(f".SH \"{escape(heading.upper())}\"\n")
        for term, meaning in rows:
            out.append(f".TP\n.B \"{escape(term)}\"\n{escape(meaning)}\n")
    others = [f"sluice-{other}" for other in COMMANDS if other != command] if command else [f"sluice-{c}" for c in COMMANDS]
    out.append(".SH \"SEE ALSO\"\n" + ",\n".join([f".BR {escape(other)} (1)" for other in others] + [".BR libsluice (3)"]) + "\n")
    return page, "".join(out)


def main():
    version, header, describe, tool, directory = sys.argv[1:]
    describe, tool = os.path.abspath(describe), os.path.abspath(tool)
    with open(header, encoding="utf-8") as file:
        text = file.read()
    pages = {"libsluice.3": library_page(version, text, describe)}
    for command in ("", *COMMANDS):
        name, page = tool_page(version, tool, command)
        pages[f"{name}.1"] = page
    os.makedirs(directory, exist_ok=True)
    for name, page in pages.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(page)


if __name__ == "__main__":
    main()
