"""The table of figures and targets: on the terminal and as markdown."""

import statistics

import targets

FIELDS = [
    ("records_per_s", "records/s", "{:,.0f}"),
    ("server_cpu_us_per_record", "server µs", "{:.2f}"),
    ("redis_cpu_us_per_record", "Redis µs", "{:.2f}"),
    ("main_cpu_us_per_record", "main thread µs", "{:.2f}"),
    ("network_cpu_us_per_record", "network thread µs", "{:.2f}"),
    ("client_cpu_us_per_record", "client µs", "{:.2f}"),
    ("p50_us", "p50 µs", "{:,.0f}"),
    ("p99_us", "p99 µs", "{:,.0f}"),
    ("bytes_per_key", "bytes/key", "{:.0f}"),
]

CLIENT_FIELDS = [
    ("p50_us", "to verdict p50 µs", "{:,.0f}"),
    ("p99_us", "p99", "{:,.0f}"),
    ("p99_9_us", "p99.9", "{:,.0f}"),
    ("send_records_per_s", "sluice_send/s", "{:,.0f}"),
    ("send_p50_us", "call p50 µs", "{:.2f}"),
    ("send_p99_us", "p99", "{:,.1f}"),
    ("send_p99_9_us", "p99.9", "{:,.1f}"),
    ("syncs", "syncs", "{:,.0f}"),
    ("rss_mb", "RSS MB", "{:.1f}"),
    ("anonymous_mb", "own MB", "{:.1f}"),
    ("filled_rss_mb", "RSS filling MB", "{:.1f}"),
    ("file_before_mb", "file before MB", "{:.1f}"),
    ("file_after_mb", "after", "{:.1f}"),
    ("reconnect_count", "cuts", "{:.0f}"),
    ("reconnect_p50_s", "back after p50 s", "{:.2f}"),
    ("reconnect_p99_s", "p99", "{:.2f}"),
    ("reconnect_max_s", "longest", "{:.2f}"),
    ("library_kb", "library kB", "{:,.0f}"),
]
CLIENT_MARKS = {"send_p50_us", "file_before_mb", "reconnect_count", "library_kb"}

SUBSCRIBE_FIELDS = [
    ("p50_us", "COMMIT to row p50 µs", "{:,.0f}"),
    ("p99_us", "p99", "{:,.0f}"),
    ("p99_9_us", "p99.9", "{:,.0f}"),
    ("max_us", "longest", "{:,.0f}"),
    ("due_p50_us", "due to row p50 µs", "{:,.0f}"),
    ("due_p99_us", "p99", "{:,.0f}"),
    ("commit_p50_us", "due to COMMIT p50 µs", "{:,.0f}"),
    ("commit_p99_us", "p99", "{:,.0f}"),
    ("delivered_per_s", "rows delivered/s", "{:,.0f}"),
    ("worker_mb", "worker's own MB", "{:.1f}"),
    ("worker_grown_kb", "kB a subscription", "{:,.0f}"),
    ("takeover_count", "takeovers", "{:.0f}"),
    ("takeover_p50_ms", "first row p50 ms", "{:,.1f}"),
    ("takeover_p99_ms", "p99", "{:,.1f}"),
    ("takeover_max_ms", "longest", "{:,.1f}"),
]
SUBSCRIBE_MARKS = {"due_p50_us", "delivered_per_s", "takeover_count"}


def _markdown_table(rows, left=2):
    """Padded, so that it reads the same as plain text."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row):
        cells = [cell.ljust(width) if i < left else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths))]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * width if i < left else "-" * (width - 1) + ":"
            for i, width in enumerate(widths)]
    return [line(rows[0]), line(rule)] + [line(row) for row in rows[1:]]


def _range(runs, field):
    """What the machine's own noise makes of it."""
    values = [run[field] for run in runs]
    return f"{min(values):.2f} - {max(values):.2f}"


def figures_table(measurements, runs, medians):
    rows = [["measurement", "keys"] + [title for _, title, _ in FIELDS] + ["server µs from - to"]]
    for measurement in measurements:
        if measurement.name not in medians:
            continue
        median = medians[measurement.name]
        row = [measurement.label, measurement.keys]
        for field, _, form in FIELDS:
            row.append(form.format(median[field]) if field in median else "")
        field = "server_cpu_us_per_record"
        row.append(_range(runs[measurement.name], field) if field in median else "")
        rows.append(row)
    return _markdown_table(rows)


def _special_table(title, text, fields, marks, measurements, medians):
    """Measurements that have any of the marks, and the columns that any of them has."""
    shown = [m for m in measurements if marks & set(medians.get(m.name, ()))]
    fields = [field for field in fields if any(field[0] in medians[m.name] for m in shown)]
    if not shown:
        return []
    rows = [["measurement", "keys"] + [title for _, title, _ in fields]]
    for measurement in shown:
        median = medians[measurement.name]
        rows.append([measurement.label, measurement.keys]
                    + [form.format(median[field]) if field in median else "" for field, _, form in fields])
    return [f"## {title}", "", text, "", *_markdown_table(rows), ""]


def client_table(measurements, medians):
    return _special_table(
        "libsluice", "The process of `sluice bench`: memory at most (own: without what it shares with the file), "
        "calls of sluice_send, latency from when a record was due to its verdict.",
        CLIENT_FIELDS, CLIENT_MARKS, measurements, medians)


def subscribe_table(measurements, medians):
    return _special_table(
        "Subscriptions", "A row of the live measurements is a transaction of its own; the time is until the last of the "
        "consumers had it. Takeovers: from the end of the active consumer's connection, or its silence, to the first row "
        "at the other one.", SUBSCRIBE_FIELDS, SUBSCRIBE_MARKS, measurements, medians)


def _figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def targets_table(runs):
    rows = [["target", "", "wanted", "measured", "from - to"]]
    for target in targets.TARGETS:
        figures, verdict = target.judge(runs)
        middle = _figure(statistics.median(figures)) + target.unit if figures else ""
        spread = f"{_figure(min(figures))} - {_figure(max(figures))}" if len(figures) > 1 else ""
        rows.append([target.text, verdict, target.wanted(), middle, spread])
    return _markdown_table(rows)


def floor_line(medians):
    try:
        names = [targets.floor(medians, keys).split("-")[1] for keys in ("time", "random")]
    except KeyError:
        return []
    ways = {"binary": "in binary format", "csv": "in CSV format",
            "pieces": "in binary format, in pieces of 250"}
    return [f"The floor is COPY with 1,000 records a transaction {ways[names[0]]} (time-ordered keys) and "
            f"{ways[names[1]]} (random keys): the way whose backend takes least CPU.", ""]


def markdown(measurements, runs, failures, environment, plot):
    medians = targets.medians_of(runs)
    lines = [f"# Benchmark of {environment['date']}", ""]
    lines += [f"* {name}: {value}" for name, value in environment.items() if name != "date"]
    lines += ["", "## Targets", "", *targets_table(runs), "", *floor_line(medians)]
    lines += ["## Figures", "",
              "Medians; µs are CPU time for each record, of one process or thread.", "",
              *figures_table(measurements, runs, medians), "", *client_table(measurements, medians),
              *subscribe_table(measurements, medians)]
    if failures:
        lines += ["## Not measured", ""]
        lines += [f"* {name}: {reason}" for name, reason in failures.items()]
        lines.append("")
    if plot:
        lines += [f"![records/s and CPU for each record]({plot})", ""]
    return "\n".join(lines)
