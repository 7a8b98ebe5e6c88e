"""The targets, and what became of them."""

import statistics
from dataclasses import dataclass
from typing import Callable


@dataclass
class Target:
    text: str
    figure: Callable            # of one repetition; KeyError where something was not run
    bound: float
    at_most: bool
    unit: str = ""

    def judge(self, runs):
        """(the figure of each repetition, "met" | "missed" | "not run")

        What is compared ran within the same minute: the median is of the
        ratios, for on a machine that drifts a ratio of medians is no ratio.
        """
        try:
            figures = [self.figure(repetition) for repetition in repetitions_of(runs)]
        except KeyError:
            return [], "not run"
        middle = statistics.median(figures)
        met = middle <= self.bound if self.at_most else middle >= self.bound
        return figures, "met" if met else "missed"

    def wanted(self):
        return f"{'≤' if self.at_most else '≥'} {self.bound:,g}{self.unit}"


def repetitions_of(runs):
    """[{measurement: figures}] of each repetition; what ran once stands in all."""
    count = max(map(len, runs.values()), default=0)
    return [{name: figures[min(i, len(figures) - 1)] for name, figures in runs.items()}
            for i in range(count)]


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
    Target("Publish, one worker, client buffer with durability interval, records/s",
           lambda m: m["publish"]["records_per_s"], 250000, False),
    Target("Publish, server CPU over psql COPY of the same rows in one transaction",
           _ratio("server_cpu_us_per_record", "publish", "psql-copy"), 1.25, True, "×"),
    Target("Publish, records/s over psql COPY in one transaction (level: the moonshot)",
           _ratio("records_per_s", "publish", "psql-copy"), 1, False, "×"),
    Target("Publish, records/s over COPY in binary format in one transaction (level: the moonshot)",
           _ratio("records_per_s", "publish", "copy-bare-big-binary"), 1, False, "×"),
    Target("Publish beside a held snapshot over that without, records/s",
           _ratio("records_per_s", "publish-snapshot", "publish"), 0.9, False, "×"),
    Target("sluice_send, durability interval, p50 of a call at full load",
           lambda m: m["publish"]["send_p50_us"], 1, True, " µs"),
    Target("sluice_send, durability each, 8 threads over one",
           _ratio("records_per_s", "publish-each-8", "publish-each-1"), 4, False, "×"),
    Target("Publish, p99 from sluice_send to verdict at half of full load, open loop",
           lambda m: m["publish-50"]["p99_us"] / 1000, 10, True, " ms"),
    Target("drain of the backlog of an outage over Publish at full load, records/s",
           _ratio("records_per_s", "publish-drain", "publish"), 0.9, False, "×"),
    Target("from a reset to the first acknowledgement on the next connection, p99",
           lambda m: m["reconnect-reset"]["reconnect_p99_s"], 1.5, True, " s"),
    Target("from silence to the first acknowledgement (keepalive: 10 s + 5 s), p99",
           lambda m: m["reconnect-silence"]["reconnect_p99_s"], 16.5, True, " s"),
    Target("IngestData, throughput beside a held snapshot over that without",
           _ratio("records_per_s", "load-snapshot", "load-time"), 0.9, False, "×"),
    Target("Subscribe, p50 from COMMIT to the row at the consumer, 1,000 rows/s",
           lambda m: m["subscribe-live"]["p50_us"] / 1000, 2, True, " ms"),
    Target("Subscribe, p99 from COMMIT to the row at the consumer, 1,000 rows/s",
           lambda m: m["subscribe-live"]["p99_us"] / 1000, 10, True, " ms"),
    Target("Subscribe, backlog as JSON to one consumer, rows/s",
           lambda m: m["subscribe-json"]["records_per_s"], 300000, False),
    Target("Subscribe, backlog as JSON over COPY ... ORDER BY TO STDOUT, rows/s",
           _ratio("records_per_s", "subscribe-json", "subscribe-copy"), 0.5, False, "×"),
    Target("Publish beside a subscriber that has stopped reading over that without, records/s",
           _ratio("records_per_s", "subscribe-ingest-stopped", "subscribe-ingest-0"), 0.9, False, "×"),
    Target("takeover after a reset: to the first row at the next consumer, p99",
           lambda m: m["subscribe-takeover-reset"]["takeover_p99_ms"], 100, True, " ms"),
    Target("takeover after silence (keepalive: 1 s + 0.5 s): to the first row, p99",
           lambda m: m["subscribe-takeover-silence"]["takeover_p99_ms"], 2500, True, " ms"),
]
