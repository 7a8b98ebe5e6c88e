"""All measurements, in the order of one repetition: what is compared stands side by side."""

from measures import Copy, Ingest, Load, Pipeline, RedisFirst
from outages import Drain, Reconnection
from publish import Library, OpenLoop, PsqlCopy, Publish
from subscribe import subscriptions


def _copies_and_ingest():
    measurements = []
    for keys in ("time", "random"):
        for form in ("binary", "csv"):
            measurements.append(Copy(f"copy-{form}-{keys}",
                                     f"COPY {form}, keys and rows, 1,000 a transaction",
                                     form, keys=keys))
        measurements.append(Copy(f"copy-pieces-{keys}", "COPY binary, the same 1,000 in pieces of 250",
                                 "binary", piece=250, keys=keys))
        measurements.append(Ingest(f"ingest-{keys}", "sluice.ingest, 1,000 a call", keys))
        for form in ("binary", "csv"):
            measurements.append(Copy(f"copy-big-{form}-{keys}",
                                     f"COPY {form}, keys and rows, all in one transaction",
                                     form, batch=None, keys=keys))
    measurements.append(Ingest("ingest-own-table",
                               "sluice.ingest into the table that create_stream makes",
                               own_table=True))
    return measurements


def _publish_and_bare_copies():
    return [
        Copy("copy-bare-binary", "COPY binary, rows only, 1,000 a transaction", "binary", mode="bare", keys="none"),
        Copy("copy-bare-csv", "COPY csv, rows only, 1,000 a transaction", "csv", mode="bare", keys="none"),
        Copy("copy-bare-big-binary", "COPY binary, rows only, all in one transaction",
             "binary", mode="bare", keys="none", batch=None),
        PsqlCopy("psql-copy", "psql COPY csv, rows only, all in one transaction"),
        PsqlCopy("psql-copy-1000", "psql COPY csv, rows only, 1,000 a transaction", batch=1000),
        Publish("publish", "Publish", share=10),
        Publish("publish-window", "Publish, at most 50,000 records in the buffer",
                share=10, options=["--set", "max_records=50000"]),
        Publish("publish-none", "Publish, durability none", share=10, options=["--durability", "none"]),
        Publish("publish-keys-time", "Publish, each with a key", keys="time"),
        Publish("publish-keys-random", "Publish, each with a key", keys="random"),
        Publish("publish-snapshot", "Publish, beside a held snapshot", share=10, snapshot=True),
        OpenLoop("publish-10", "Publish, open loop at 10 % of full load", 0.1),
        OpenLoop("publish-50", "Publish, open loop at 50 % of full load", 0.5),
        OpenLoop("publish-80", "Publish, open loop at 80 % of full load", 0.8),
        Publish("publish-each-1", "Publish, durability each, 1 thread", share=0.005,
                options=["--durability", "each"]),
        Publish("publish-each-8", "Publish, durability each, 8 threads", share=0.02,
                options=["--durability", "each", "--threads", "8"]),
        Publish("publish-idle", "Publish, 100 records in a second", share=0, options=["--rate", "100"]),
        Drain("publish-drain", "Publish, what an outage left in the buffer"),
    ]


def _others():
    measurements = []
    for keys in ("time", "random"):
        measurements += [
            Load(f"load-{keys}", "IngestData, windowed", keys),
            Pipeline(f"pipeline-1-{keys}", "libpq pipeline, a commit for each record",
                     "pipelined", 1, keys, 0.05),
            Pipeline(f"pipeline-1000-{keys}", "libpq pipeline, 1,000 a transaction",
                     "pipelined", 1000, keys, 0.5),
            RedisFirst(f"redis-1-{keys}", "Redis SET NX, then INSERT, one by one",
                       "single", 1, keys, 0.05),
            RedisFirst(f"redis-100-{keys}", "Redis SET NX, then INSERT, by 100",
                       "pipelined", 100, keys, 0.5),
            RedisFirst(f"redis-memory-{keys}", "Redis, keys only", "memory", 100, keys),
        ]
    measurements += [
        Load("load-snapshot", "IngestData, beside a held snapshot", snapshot=True),
        Load("load-half", "IngestData, open loop at half of full load", share=1.0, half=True),
        Pipeline("single", "INSERT of key and row, one by one", "single", 1, share=0.02),
        Load("load-single", "IngestData, one by one", share=0.02, mode=["--one-at-a-time"]),
    ]
    return measurements


def all_measurements():
    return [*_copies_and_ingest(), *_publish_and_bare_copies(), *_others(), *subscriptions(),
            Reconnection("reconnect-reset", "libsluice, connections reset", "cut", rounds=10),
            Reconnection("reconnect-silence", "libsluice, connections gone silent", "mute", rounds=1),
            Library("library", "libsluice.so, stripped")]
