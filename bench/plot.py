"""The figures as an SVG: horizontal bars, records/s and CPU for each record.

Written by hand, so that the benchmark needs no library.  Light and dark pages
show it alike, for it brings its own background.
"""

from html import escape

LABEL_WIDTH = 470
BAR_WIDTH = 300
VALUE_WIDTH = 95
ROW_HEIGHT = 22
TOP = 60
OURS = "#1f6feb"
PEER = "#8c959f"
SERVER = {True: OURS, False: PEER}
CLIENT = "#d0d7de"


def _text(x, y, content, anchor="start", weight="normal", size=12):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
            f'font-size="{size}">{escape(content)}</text>')


def _bar(x, y, width, colour):
    return (f'<rect x="{x:.1f}" y="{y + 4:.1f}" width="{max(width, 0.5):.1f}" '
            f'height="{ROW_HEIGHT - 8}" fill="{colour}"/>')


def _cpu(median):
    """(servers, client) in microseconds a record"""
    servers = median["server_cpu_us_per_record"] + median.get("redis_cpu_us_per_record", 0)
    return servers, median["client_cpu_us_per_record"]


def _row(y, label, ours, median, most_records, most_cpu):
    servers, client = _cpu(median)
    left = LABEL_WIDTH
    right = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    records = median["records_per_s"] / most_records * BAR_WIDTH
    servers_width = servers / most_cpu * BAR_WIDTH
    client_width = client / most_cpu * BAR_WIDTH
    baseline = y + ROW_HEIGHT / 2 + 4
    return [
        _text(left - 8, baseline, label, "end", "bold" if ours else "normal"),
        _bar(left, y, records, SERVER[ours]),
        _text(left + records + 5, baseline, f"{median['records_per_s']:,.0f}"),
        _bar(right, y, servers_width, SERVER[ours]),
        _bar(right + servers_width, y, client_width, CLIENT),
        _text(right + servers_width + client_width + 5, baseline, f"{servers:.1f} + {client:.1f}"),
    ]


def svg(measurements, medians, date):
    """None where there is nothing to show."""
    shown = [m for m in measurements
             if {"records_per_s", "server_cpu_us_per_record", "client_cpu_us_per_record"}
             <= set(medians.get(m.name, ()))]
    if not shown:
        return None
    most_records = max(medians[m.name]["records_per_s"] for m in shown)
    most_cpu = max(sum(_cpu(medians[m.name])) for m in shown)
    right = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    width = right + BAR_WIDTH + VALUE_WIDTH + 20
    height = TOP + ROW_HEIGHT * len(shown) + 20

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="sans-serif" fill="#1f2328">',
             f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
             _text(12, 22, f"pg_sluice and its peers, {date}", weight="bold", size=14),
             _text(LABEL_WIDTH, TOP - 12, "records/s", weight="bold"),
             _text(right, TOP - 12, "CPU µs a record: servers + client (pale)", weight="bold")]
    for i, measurement in enumerate(shown):
        label = measurement.title
        parts += _row(TOP + i * ROW_HEIGHT, label, measurement.needs_sluice,
                      medians[measurement.name], most_records, most_cpu)
    return "\n".join(parts + ["</svg>", ""])
