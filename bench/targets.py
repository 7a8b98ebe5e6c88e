"""The targets, and what became of them."""

import statistics
from dataclasses import dataclass
from typing import Callable


@dataclass
class Target:
    text: str
    figure: Callable            # of the medians; KeyError where something was not run
    bound: float
    at_most: bool
    unit: str = ""

    def judge(self, medians):
        """(figure or None, "met" | "missed" | "not run")"""
        try:
            figure = self.figure(medians)
        except KeyError:
            return None, "not run"
        met = figure <= self.bound if self.at_most else figure >= self.bound
        return figure, "met" if met else "missed"

    def wanted(self):
        return f"{'≤' if self.at_most else '≥'} {self.bound:,g}{self.unit}"


def medians_of(runs):
    """{measurement: [figures of each run]} to {measurement: medians}"""
    medians = {}
    for name, figures in runs.items():
        medians[name] = {field: statistics.median(run[field] for run in figures)
                         for field in figures[0] if isinstance(figures[0][field], (int, float))}
    return medians


def floor(medians, keys):
    """COPY by 1,000 a transaction, in the way whose backend takes least CPU here."""
    candidates = [f"copy-{way}-{keys}" for way in ("binary", "csv", "pieces")]
    return min(candidates, key=lambda name: medians[name]["server_cpu_us_per_record"])


def _ingest_ratio(keys):
    return lambda m: (m[f"ingest-{keys}"]["server_cpu_us_per_record"]
                      / m[floor(m, keys)]["server_cpu_us_per_record"])


def _ratio(field, over, under):
    return lambda m: m[over][field] / m[under][field]


TARGETS = [
    Target("sluice.ingest, backend CPU over the COPY floor, time-ordered keys",
           _ingest_ratio("time"), 1.0, True, "×"),
    Target("sluice.ingest, backend CPU over the COPY floor, random keys",
           _ingest_ratio("random"), 1.0, True, "×"),
    Target("sluice.ingest, 1,000 a call, over COPY of all in one transaction, time-ordered keys",
           _ratio("server_cpu_us_per_record", "ingest-time", "copy-big-binary-time"), 1.0, True, "×"),
    Target("IngestData, one worker, records/s, time-ordered keys",
           lambda m: m["load-time"]["records_per_s"], 150000, False),
    Target("IngestData over libpq pipeline with a commit for each record",
           _ratio("records_per_s", "load-time", "pipeline-1-time"), 10, False, "×"),
    Target("IngestData over Redis and INSERT one by one",
           _ratio("records_per_s", "load-time", "redis-1-time"), 20, False, "×"),
    Target("one record at a time, p50 over that of a libpq INSERT of key and row",
           _ratio("p50_us", "load-single", "single"), 2, True, "×"),
    Target("p99 from send to answer at half of full load, open loop",
           lambda m: m["load-half"]["p99_us"] / 1000, 10, True, " ms"),
    Target("bytes on disk for a remembered key, time-ordered",
           lambda m: m["ingest-time"]["bytes_per_key"], 100, True),
    Target("bytes on disk for a remembered key, random",
           lambda m: m["ingest-random"]["bytes_per_key"], 100, True),
    Target("throughput beside a held snapshot over that without",
           _ratio("records_per_s", "load-snapshot", "load-time"), 0.9, False, "×"),
]
