/*
 * board_test.c
 *		What calls show of themselves: whole rows, at little cost.
 */
#include "endpoint/board.h"
#include "tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

static SluiceConnectionSlot *slots;

static void
fresh(SluiceBoard *board)
{
	memset(slots, 0, SLUICE_CONNECTIONS * sizeof(SluiceConnectionSlot));
	sluice_board_init(board, slots);
}

static int
shown(SluiceConnection *last)
{
	int			n = 0;

	for (int i = 0; i < SLUICE_CONNECTIONS; i++)
	{
		SluiceConnection connection;

		if (!sluice_connection_read(&slots[i], &connection) || connection.method == SLUICE_CONNECTION_NONE)
			continue;
		*last = connection;
		n++;
	}
	return n;
}

static void
calls_come_and_go(void)
{
	static SluiceNotice notices[SLUICE_CONNECTIONS + 2];
	static SluiceBoard board;
	SluiceUsage usage = {3, 300};
	SluiceConnection row;

	fresh(&board);
	ok(shown(&row) == 0, "an empty board");
	for (int i = 0; i < SLUICE_CONNECTIONS + 2; i++)
	{
		sluice_board_take(&board, &notices[i], SLUICE_CONNECTION_PUBLISH, "127.0.0.1:1", &usage, 5);
		sluice_board_opened(&notices[i], 7, NULL, NULL, 0);
		sluice_board_received(&notices[i], 2, 6);
		sluice_board_answered(&notices[i], 1);
	}
	ok(shown(&row) == SLUICE_CONNECTIONS, "calls beyond the slots are not shown");
	for (int i = 0; i < SLUICE_CONNECTIONS; i++)
		sluice_board_give(&notices[i]);
	ok(shown(&row) == 0, "none is shown when they have ended");
	sluice_board_report(&notices[SLUICE_CONNECTIONS], 1, 1, 1, 1, 1);
	ok(sluice_board_show(&board, 1000) == -1 && shown(&row) == 0, "one that found no slot changes nothing");
	sluice_board_give(&notices[SLUICE_CONNECTIONS]);
	sluice_board_give(&notices[SLUICE_CONNECTIONS]);
	sluice_board_take(&board, &notices[0], SLUICE_CONNECTION_PUBLISH, "", &usage, 5);
	ok(shown(&row) == 1 && board.nfree == SLUICE_CONNECTIONS - 1, "slots are used again, none twice");
}

static void
counts_are_copied_now_and_then(void)
{
	static SluiceBoard board;
	SluiceNotice notice;
	SluiceUsage usage = {1, 128};
	SluiceConnection row;

	fresh(&board);
	sluice_board_take(&board, &notice, SLUICE_CONNECTION_INGEST_DATA, "unix:", &usage, 1000);
	ok(shown(&row) == 1 && row.connected_at == 1000 && row.records == 0 && strcmp(row.address, "unix:") == 0,
	   "a new call is shown at once, without the question for its stream");
	sluice_board_opened(&notice, 3, NULL, NULL, 0);
	usage = (SluiceUsage) {4, 400};
	sluice_board_received(&notice, 4, 2000);
	ok(sluice_board_show(&board, 500) == -1 && shown(&row) == 1 && row.received == 4 && row.records == 4 && row.bytes == 400 &&
	   row.last_message_at == 2000, "what was received is shown with the next look");
	sluice_board_answered(&notice, 4);
	ok(sluice_board_show(&board, 600) == SLUICE_BOARD_INTERVAL - 100 && shown(&row) == 1 && row.answered == 0,
	   "the one after waits, and says how long");
	ok(sluice_board_show(&board, 500 + SLUICE_BOARD_INTERVAL) == -1 && shown(&row) == 1 && row.answered == 4, "then it is shown");
	ok(sluice_board_show(&board, 700 + SLUICE_BOARD_INTERVAL) == -1, "nothing has changed: no reason to wake up");
	sluice_board_received(&notice, 1, 3000);
	sluice_board_give(&notice);
	ok(sluice_board_show(&board, 10 * SLUICE_BOARD_INTERVAL) == -1 && shown(&row) == 0, "a call that ends is not shown later");
}

static void
reports_are_shown(void)
{
	static SluiceBoard board;
	static const uint8_t producer[SLUICE_PRODUCER_SIZE] = {1, 2, 3};
	SluiceNotice notice;
	SluiceUsage usage = {0, 0};
	SluiceConnection row;

	fresh(&board);
	sluice_board_take(&board, &notice, SLUICE_CONNECTION_PUBLISH, "[::1]:7", &usage, 1);
	sluice_board_opened(&notice, 1, producer, "program 1.0\n", 12);
	sluice_board_report(&notice, 5, 50, 500, 90, 100);
	ok(shown(&row) == 1 && row.buffered_records == 5 && row.buffered_bytes == 50 && row.oldest_age == 500 &&
	   row.clock_offset == -10 && row.reported_at == 100, "at once");
	ok(row.has_producer && memcmp(row.producer, producer, sizeof(producer)) == 0, "with the producer");
	is_text(row.client, "program 1.0?", "without control characters");
	sluice_board_opened(&notice, 2, producer, NULL, 0);
	ok(shown(&row) == 1 && row.stream_id == 2 && strcmp(row.client, "program 1.0?") == 0, "no name leaves the one that is shown");
	sluice_board_report(&notice, UINT64_MAX, UINT64_MAX, UINT64_MAX, INT64_MIN, 100);
	ok(shown(&row) == 1 && row.clock_offset == INT64_MIN, "a clock may say anything");
	sluice_board_give(&notice);
}

static void
texts_are_cut_off(void)
{
	static SluiceBoard board;
	SluiceNotice notice;
	SluiceUsage usage = {0, 0};
	SluiceConnection row;
	char		text[100];

	fresh(&board);
	memset(text, 'a', sizeof(text));
	sluice_board_take(&board, &notice, SLUICE_CONNECTION_PUBLISH, "", &usage, 1);
	sluice_board_opened(&notice, 1, NULL, text, sizeof(text));
	ok(shown(&row) == 1 && strlen(row.client) == SLUICE_CONNECTION_TEXT - 1, "a long name is cut off");
	memcpy(text + 62, "\xe2\x82\xac", 3);
	sluice_board_opened(&notice, 1, NULL, text, sizeof(text));
	ok(shown(&row) == 1 && strlen(row.client) == 62, "between characters");
	memset(text, 0x80, sizeof(text));
	sluice_board_opened(&notice, 1, NULL, text, sizeof(text));
	ok(shown(&row) == 1 && row.client[0] == '\0', "what is no text at all leaves nothing");
	sluice_board_give(&notice);
}

static _Atomic bool stop;

/* received, answered and bytes are equal in all that is ever written. */
static void *
read_all_the_time(void *arg)
{
	long	   *torn = arg;
	long		good = 0;

	while (!atomic_load(&stop) || good == 0)
	{
		SluiceConnection row;

		if (!sluice_connection_read(&slots[0], &row))
			continue;
		good++;
		*torn += row.received != row.answered || row.received != row.bytes || row.received != (uint64_t) row.last_message_at;
	}
	return NULL;
}

static void
rows_are_whole(void)
{
	SluiceConnection row;
	pthread_t	reader;
	long		torn = 0;

	memset(slots, 0, SLUICE_CONNECTIONS * sizeof(SluiceConnectionSlot));
	memset(&row, 0, sizeof(row));
	pthread_create(&reader, NULL, read_all_the_time, &torn);
	for (uint64_t i = 0; i < 3000000; i++)
	{
		row.received = row.answered = row.bytes = i;
		row.last_message_at = (int64_t) i;
		sluice_connection_write(&slots[0], &row);
	}
	atomic_store(&stop, true);
	pthread_join(reader, NULL);
	ok(torn == 0, "a reader never sees half of a change (%ld)", torn);
}

static int64_t
nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* As an IngestData call does it: each record by itself, a look at the board now and then. */
static void
records_cost_little(void)
{
	enum {RECORDS = 10000000};
	static SluiceBoard board;
	SluiceNotice notice;
	SluiceUsage usage = {0, 0};
	int64_t		started;
	double		each;

	fresh(&board);
	sluice_board_take(&board, &notice, SLUICE_CONNECTION_INGEST_DATA, "", &usage, 1);
	started = nanoseconds();
	for (int i = 0; i < RECORDS; i++)
	{
		sluice_board_received(&notice, 1, i);
		sluice_board_answered(&notice, 1);
		sluice_board_show(&board, i * 10);
	}
	each = (double) (nanoseconds() - started) / RECORDS;
	ok(each < 100, "%.1f ns of CPU time a record", each);
	sluice_board_give(&notice);
}

int
main(void)
{
	slots = aligned_alloc(64, SLUICE_CONNECTIONS * sizeof(SluiceConnectionSlot));
	calls_come_and_go();
	counts_are_copied_now_and_then();
	reports_are_shown();
	texts_are_cut_off();
	rows_are_whole();
	records_cost_little();
	free(slots);
	return finish();
}
