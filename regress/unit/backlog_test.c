/*
 * backlog_test.c
 *		The backlog: order, fairness, holds and parking, with literal times.
 */
#include <stdlib.h>

#include "backlog.h"
#include "tap.h"

#define MS INT64_C(1000)
#define MAX_RECORDS 4096

/* Records carry their number in received_at. */
static SluiceSender senders[16];
static SluiceRecord records[MAX_RECORDS];
static int	nrecords;

static SluiceBacklog *
fresh_backlog(void)
{
	memset(records, 0, sizeof(records));
	nrecords = 0;
	for (int i = 0; i < 16; i++)
		senders[i].stream_id = i;
	return sluice_backlog_create();
}

static SluiceRecord *
add(SluiceBacklog *backlog, int stream, uint32_t bytes)
{
	SluiceRecord *record = &records[nrecords];

	record->sender = &senders[stream];
	record->payload_length = bytes;
	record->run = 1;
	record->run_bytes = bytes;
	record->received_at = nrecords++;
	if (!sluice_backlog_add(backlog, record))
		abort();
	return record;
}

static void
add_many(SluiceBacklog *backlog, int stream, int n, uint32_t bytes)
{
	for (int i = 0; i < n; i++)
		add(backlog, stream, bytes);
}

/* What a take gave, as text: "1:0,1,2 4:7". */
static const char *
take(SluiceBacklog *backlog, int64_t now, size_t max_records, size_t max_bytes)
{
	static char text[65536];
	SluicePortion *portions;
	int			n = sluice_backlog_take(backlog, now, max_records, max_bytes, &portions);
	size_t		at = 0;

	text[0] = '\0';
	for (int i = 0; i < n; i++)
	{
		at += sprintf(text + at, "%s%d:", i ? " " : "", (int) portions[i].stream_id);
		for (int j = 0; j < portions[i].nrecords; j++)
			at += sprintf(text + at, "%s%d", j ? "," : "", (int) portions[i].records[j]->received_at);
	}
	return text;
}

static int
take_count(SluiceBacklog *backlog, int64_t now, size_t max_records, size_t max_bytes, int *per_stream)
{
	SluicePortion *portions;
	int			n = sluice_backlog_take(backlog, now, max_records, max_bytes, &portions);
	int			total = 0;

	memset(per_stream, 0, 16 * sizeof(int));
	for (int i = 0; i < n; i++)
	{
		per_stream[portions[i].stream_id] = portions[i].nrecords;
		total += portions[i].nrecords;
	}
	return total;
}

static void
test_order(void)
{
	SluiceBacklog *backlog = fresh_backlog();

	ok(sluice_backlog_next(backlog) == SLUICE_BACKLOG_NEVER, "nothing is due in an empty backlog");
	is_text(take(backlog, 0, 10, 1000), "", "nothing comes out of an empty backlog");
	add(backlog, 5, 10);
	add(backlog, 2, 10);
	add(backlog, 5, 10);
	add(backlog, 9, 10);
	add(backlog, 2, 10);
	ok(sluice_backlog_next(backlog) <= 0, "what has arrived is due at once");
	is_text(take(backlog, 0, 10, 1000), "2:1,4 5:0,2 9:3", "streams ascend, records keep their order");
	ok(sluice_backlog_count(backlog) == 0, "what was taken does not count");
	ok(sluice_backlog_next(backlog) == SLUICE_BACKLOG_NEVER, "nothing is due after all was taken");
	sluice_backlog_free(backlog);
}

static void
test_limits(void)
{
	SluiceBacklog *backlog = fresh_backlog();

	add_many(backlog, 1, 5, 10);
	is_text(take(backlog, 0, 3, 1000), "1:0,1,2", "no more records than the limit");
	is_text(take(backlog, 0, 3, 1000), "1:3,4", "the rest comes next");
	add_many(backlog, 1, 5, 10);
	is_text(take(backlog, 0, 100, 25), "1:5,6", "no more bytes than the limit");
	is_text(take(backlog, 0, 100, 30), "1:7,8,9", "up to the limit itself");
	add(backlog, 1, 5000);
	add(backlog, 1, 1);
	is_text(take(backlog, 0, 100, 25), "1:10", "a record above the limit goes alone");
	is_text(take(backlog, 0, 100, 25), "1:11", "and does not stay in the way");
	sluice_backlog_free(backlog);
}

static void
test_fairness(void)
{
	SluiceBacklog *backlog = fresh_backlog();
	int			per_stream[16];
	int			served[16] = {0};

	add_many(backlog, 1, 1000, 10);
	add_many(backlog, 2, 10, 10);
	add_many(backlog, 3, 1000, 10);
	ok(take_count(backlog, 0, 300, 1 << 20, per_stream) == 300, "a batch is filled while there are records");
	ok(per_stream[2] == 10, "a small stream gets all of its records in");
	ok(per_stream[1] >= 100 && per_stream[3] >= 100, "big streams get their fair part at least (%d, %d)",
	   per_stream[1], per_stream[3]);
	sluice_backlog_free(backlog);

	backlog = fresh_backlog();
	add_many(backlog, 1, 100, 100);
	add_many(backlog, 2, 100, 100);
	take_count(backlog, 0, 1000, 2000, per_stream);
	ok(per_stream[1] == 10 && per_stream[2] == 10, "bytes are shared as well (%d, %d)",
	   per_stream[1], per_stream[2]);
	sluice_backlog_free(backlog);

	backlog = fresh_backlog();
	for (int stream = 1; stream <= 10; stream++)
		add_many(backlog, stream, 50, 10);
	for (int round = 0; round < 20; round++)
	{
		take_count(backlog, 0, 1, 1 << 20, per_stream);
		for (int stream = 1; stream <= 10; stream++)
			served[stream] += per_stream[stream];
	}
	for (int stream = 1; stream <= 10; stream++)
		if (served[stream] != 2)
			served[0]++;
	ok(served[0] == 0, "with room for one record only, streams take turns");
	sluice_backlog_free(backlog);
}

static void
test_hold(void)
{
	SluiceBacklog *backlog = fresh_backlog();
	SluicePortion *portions;
	int64_t		now = 0;
	int64_t		expected[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
	bool		doubles = true;

	add_many(backlog, 1, 3, 10);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
	{
		int64_t		until;
		int			n = sluice_backlog_take(backlog, now, 10, 1000, &portions);

		if (n != 1 || portions[0].nrecords != 3)
			abort();
		sluice_backlog_return(backlog, 1, portions[0].records, 3);
		until = sluice_backlog_hold(backlog, 1, SLUICE_BACKLOG_FAILED, now);
		doubles = doubles && until == now + expected[i] * MS && sluice_backlog_next(backlog) == until;
		if (sluice_backlog_take(backlog, until - 1, 10, 1000, &portions) != 0)
			doubles = false;
		now = until;
	}
	ok(doubles, "a failing stream waits 100 ms, doubling to 10 s, and nothing of it comes before");
	add(backlog, 1, 10);
	is_text(take(backlog, now, 10, 1000), "1:0,1,2,3", "returned records come first and in order");
	ok(sluice_backlog_release(backlog, 1), "a release says that the stream was held");
	ok(!sluice_backlog_release(backlog, 1), "and the next one that it was not");
	add(backlog, 1, 10);
	(void) sluice_backlog_hold(backlog, 1, SLUICE_BACKLOG_FAILED, now);
	ok(sluice_backlog_next(backlog) == now + 100 * MS, "after a success the delays begin anew");
	for (int i = 0; i < 10; i++)
		(void) sluice_backlog_hold(backlog, 1, SLUICE_BACKLOG_LOCKED, now);
	ok(sluice_backlog_next(backlog) == now + 2000 * MS, "a locked stream waits no longer than 2 s");
	for (int i = 0; i < 3; i++)
		(void) sluice_backlog_hold(backlog, 1, SLUICE_BACKLOG_PAUSED, now);
	ok(sluice_backlog_next(backlog) == now + 1000 * MS, "a paused stream is looked at each second");
	sluice_backlog_free(backlog);
}

static void
test_trial(void)
{
	SluiceBacklog *backlog = fresh_backlog();

	add(backlog, 1, 10);
	add(backlog, 2, 10);
	add(backlog, 3, 10);
	(void) sluice_backlog_hold(backlog, 2, SLUICE_BACKLOG_FAILED, 0);
	is_text(take(backlog, 0, 10, 1000), "1:0 3:2", "a held stream does not hold others");
	add(backlog, 1, 10);
	add(backlog, 3, 10);
	is_text(take(backlog, 100 * MS, 10, 1000), "2:1", "a stream that was held is tried apart from the others");
	add(backlog, 2, 10);
	is_text(take(backlog, 100 * MS, 10, 1000), "1:3 3:4", "which take turns with it");
	add(backlog, 1, 10);
	is_text(take(backlog, 100 * MS, 10, 1000), "2:5", "so that neither starves");
	(void) sluice_backlog_release(backlog, 2);
	add(backlog, 2, 10);
	is_text(take(backlog, 100 * MS, 10, 1000), "1:6 2:7", "after its success it goes with the others");
	sluice_backlog_free(backlog);
}

static void
test_park(void)
{
	SluiceBacklog *backlog = fresh_backlog();
	SluicePortion *portions;
	int64_t		now = 0;
	int64_t		expected[] = {10, 20, 40, 80, 160, 320, 640, 1000, 1000};
	bool		doubles = true;
	SluiceRecord *record = add(backlog, 1, 10);

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
	{
		if (sluice_backlog_take(backlog, now, 10, 1000, &portions) != 1)
			doubles = false;
		sluice_backlog_park(backlog, 1, record, now);
		doubles = doubles && sluice_backlog_next(backlog) == now + expected[i] * MS;
		if (sluice_backlog_take(backlog, now + expected[i] * MS - 1, 10, 1000, &portions) != 0)
			doubles = false;
		now += expected[i] * MS;
	}
	ok(doubles, "a busy record waits 10 ms, doubling to 1 s");

	add(backlog, 1, 10);
	is_text(take(backlog, now - 1, 10, 1000), "1:1", "others of its stream pass it");
	add(backlog, 1, 10);
	is_text(take(backlog, now, 10, 1000), "1:0,2", "when it is due it goes before them");

	sluice_backlog_park(backlog, 1, &records[0], now);
	sluice_backlog_park(backlog, 1, &records[2], now);
	is_text(take(backlog, now + 10 * MS, 10, 1000), "1:2", "each has a delay of its own");
	(void) sluice_backlog_hold(backlog, 1, SLUICE_BACKLOG_FAILED, now + 1000 * MS);
	ok(sluice_backlog_next(backlog) == now + 1100 * MS, "a parked record of a held stream waits for the stream");
	is_text(take(backlog, now + 1000 * MS, 10, 1000), "", "and does not come before");
	is_text(take(backlog, now + 1100 * MS, 10, 1000), "1:0", "but then");
	sluice_backlog_free(backlog);
}

static void
test_remove(void)
{
	SluiceBacklog *backlog = fresh_backlog();
	SluicePortion *portions;
	int			n = 0;

	add_many(backlog, 1, 3, 10);
	add_many(backlog, 2, 3, 10);
	add_many(backlog, 3, 3, 10);
	if (sluice_backlog_take(backlog, 0, 3, 1000, &portions) != 3)
		abort();
	sluice_backlog_park(backlog, 1, portions[0].records[0], 0);
	sluice_backlog_return(backlog, 2, portions[1].records, 1);
	(void) sluice_backlog_hold(backlog, 2, SLUICE_BACKLOG_FAILED, 0);
	ok(sluice_backlog_count(backlog) == 8, "parked and returned records count");
	while (sluice_backlog_remove_waiting(backlog) != NULL)
		n++;
	ok(n == 4, "what waits is what is parked and what a held stream has (%d)", n);
	is_text(take(backlog, 0, 100, 10000), "1:1,2 3:7,8", "what was ready stays");
	add_many(backlog, 3, 2, 10);
	add_many(backlog, 1, 1, 10);
	for (n = 0; sluice_backlog_remove(backlog, 3) != NULL; n++)
		;
	ok(n == 2, "all of one stream (%d)", n);
	ok(sluice_backlog_remove(backlog, 3) == NULL, "a stream that was emptied is forgotten");
	for (n = 0; sluice_backlog_remove_any(backlog) != NULL; n++)
		;
	ok(n == 1 && sluice_backlog_count(backlog) == 0, "all that is left");
	sluice_backlog_free(backlog);
}

/* Whatever is done to it, each record is in the backlog or outside, once, and a stream's order changes only by parking. */
static void
test_random(void)
{
	SluiceBacklog *backlog = fresh_backlog();
	SluicePortion *portions;
	int64_t		now = 0;
	int			settled[MAX_RECORDS] = {0};
	int			last[16];
	int			nsettled = 0;
	bool		in_order = true;
	int			turns = 0;

	srand(20240607);
	memset(last, -1, sizeof(last));
	while (nsettled < 4000 && turns++ < 1000000)
	{
		int			n;

		for (int i = rand() % 20; i > 0 && nrecords < 4000; i--)
			add(backlog, 1 + rand() % 10, (uint32_t) (rand() % 200));
		n = sluice_backlog_take(backlog, now, 1 + rand() % 50, 1 + rand() % 5000, &portions);
		for (int p = 0; p < n; p++)
		{
			int			stream = portions[p].stream_id;
			int			what = rand() % 10;

			if (what == 0)
			{
				sluice_backlog_return(backlog, stream, portions[p].records, portions[p].nrecords);
				(void) sluice_backlog_hold(backlog, stream, rand() % 2 ? SLUICE_BACKLOG_FAILED : SLUICE_BACKLOG_LOCKED, now);
				continue;
			}
			(void) sluice_backlog_release(backlog, stream);
			for (int i = 0; i < portions[p].nrecords; i++)
			{
				SluiceRecord *record = portions[p].records[i];
				int			number = (int) record->received_at;

				if (rand() % 20 == 0)
				{
					sluice_backlog_park(backlog, stream, record, now);
					continue;
				}
				if (record->delay == 0)
				{
					in_order = in_order && last[stream] < number;
					last[stream] = number;
				}
				settled[number]++;
				nsettled++;
			}
		}
		if (n == 0 && sluice_backlog_next(backlog) != SLUICE_BACKLOG_NEVER)
			now = sluice_backlog_next(backlog);
		else
			now += rand() % 5 * MS;
	}
	ok(nsettled == 4000 && sluice_backlog_count(backlog) == 0, "4,000 records of 10 streams are all settled");
	for (int i = 0; i < 4000; i++)
		if (settled[i] != 1)
			nsettled = -1;
	ok(nsettled == 4000, "each of them once");
	ok(in_order, "those that were never parked in the order of their arrival");
	sluice_backlog_free(backlog);
}

/* n records that came in one message. */
static SluiceRecord *
add_run(SluiceBacklog *backlog, int stream, int n, uint32_t bytes)
{
	SluiceRecord *first = &records[nrecords];

	for (int i = 0; i < n; i++)
	{
		first[i].sender = &senders[stream];
		first[i].received_at = nrecords++;
		first[i].run = n;
		first[i].at = i;
	}
	first->run_bytes = bytes;
	if (!sluice_backlog_add(backlog, first))
		abort();
	return first;
}

static void
test_runs(void)
{
	SluiceBacklog *backlog = fresh_backlog();
	SluiceRecord *first = add_run(backlog, 1, 3, 30);

	add_run(backlog, 1, 2, 20);
	ok(sluice_backlog_count(backlog) == 5, "the records of runs are counted");
	is_text(take(backlog, 0, 2, 1000), "1:0,1,2", "a run is taken whole, also over the limit");
	ok(sluice_backlog_count(backlog) == 2, "and leaves with all of its records");

	first[0].verdict = SLUICE_STORED;
	sluice_backlog_return(backlog, 1, &first, 1);
	is_text(take(backlog, 0, 3, 1000), "1:1,2", "what has its verdict is not taken again; the next run does not fit");
	sluice_backlog_park(backlog, 1, first, 0);
	is_text(take(backlog, 0, 10, 10), "1:3,4", "a single run is taken whatever its bytes");
	is_text(take(backlog, 10 * MS, 10, 1000), "1:1,2", "a parked run comes back as it was");
	ok(sluice_backlog_count(backlog) == 0, "nothing is left");

	add_run(backlog, 2, 4, 40);
	ok(sluice_backlog_remove(backlog, 2) == &records[5] && sluice_backlog_count(backlog) == 0,
	   "a run is removed by its first record");
	sluice_backlog_free(backlog);
}

int
main(void)
{
	test_runs();
	test_order();
	test_limits();
	test_fairness();
	test_hold();
	test_trial();
	test_park();
	test_remove();
	test_random();
	return finish();
}
