/*
 * room_test.c
 *		Nobody takes the room of the others.
 */
#include "endpoint/room.h"
#include "tap.h"

#define MAX_RECORDS 4096
#define MAX_BYTES ((size_t) 1024 * 1024)
#define SIZE 1024

/* Take as much as a call is given; how many records that was. */
static size_t
fill(SluiceRoom *room, SluiceShare *share, SluiceUsage *call, size_t size)
{
	size_t		n = 0;

	while (sluice_room_admits(room, share, call, 1, size))
	{
		sluice_room_take(room, share, call, 1, size);
		n++;
	}
	return n;
}

static void
empty(SluiceRoom *room, SluiceShare *share, SluiceUsage *call, size_t size)
{
	while (call->records > 0)
		sluice_room_give(room, share, call, 1, size);
}

static void
streams_share(void)
{
	SluiceRoom	room;
	SluiceShare *share[50];
	SluiceUsage calls[50][8];
	size_t		least = MAX_BYTES;

	memset(calls, 0, sizeof(calls));
	sluice_room_init(&room, MAX_RECORDS, MAX_BYTES);
	for (int i = 0; i < 50; i++)
	{
		char		name[16];
		size_t		n = 0;

		snprintf(name, sizeof(name), "stream %d", i);
		share[i] = sluice_room_join(&room, name);
		for (int call = 0; call < 8; call++)
			n += fill(&room, share[i], &calls[i][call], SIZE);
		if (i == 0)
			ok(n >= MAX_BYTES / SIZE / 4 && n <= MAX_BYTES / SIZE / 2, "one stream gets at most half: %zu of %zu",
			   n, MAX_BYTES / SIZE);
		if (n < least)
			least = n;
		if (room.usage.bytes > MAX_BYTES || room.usage.records > MAX_RECORDS)
			ok(false, "limits were passed");
	}
	ok(least >= 1, "the fiftieth of held streams still gets room (%zu)", least);
	for (int i = 0; i < 50; i++)
	{
		for (int call = 0; call < 8; call++)
			empty(&room, share[i], &calls[i][call], SIZE);
		sluice_room_leave(&room, share[i]);
	}
	ok(room.usage.bytes == 0 && room.usage.records == 0 && LIST_EMPTY(&room.shares), "all was given back");
}

static void
records_are_shared_too(void)
{
	SluiceRoom	room;
	SluiceUsage held = {0, 0};
	SluiceUsage other = {0, 0};
	SluiceShare *a;
	SluiceShare *b;

	sluice_room_init(&room, 64, MAX_BYTES);
	a = sluice_room_join(&room, "a");
	b = sluice_room_join(&room, "b");
	ok(fill(&room, a, &held, 1) <= 32, "tiny records of one stream take half of the queue at most (%zu)", held.records);
	ok(fill(&room, b, &other, 1) > 0, "another stream has room (%zu)", other.records);
	sluice_room_leave(&room, a);
	sluice_room_leave(&room, b);
}

static void
calls_are_capped(void)
{
	SluiceRoom	room;
	SluiceUsage call = {0, 0};
	SluiceShare *share;

	sluice_room_init(&room, 1 << 20, (size_t) 1 << 30);
	share = sluice_room_join(&room, "");
	ok(fill(&room, share, &call, 64) == SLUICE_CALL_RECORDS_MAX, "a call has a cap in records: %zu", call.records);
	empty(&room, share, &call, 64);
	fill(&room, share, &call, 4096);
	ok(call.bytes == SLUICE_CALL_BYTES_MAX, "and in bytes: %zu", call.bytes);
	empty(&room, share, &call, 4096);
	ok(sluice_room_join(&room, "") == share && share->calls == 2, "calls of one stream share");
	sluice_room_leave(&room, share);
	sluice_room_leave(&room, share);
}

static void
large_records_pass(void)
{
	SluiceRoom	room;
	SluiceUsage call = {0, 0};
	SluiceShare *share;

	sluice_room_init(&room, MAX_RECORDS, MAX_BYTES);
	share = sluice_room_join(&room, "");
	ok(fill(&room, share, &call, 2 * MAX_BYTES) == 1, "a record larger than the memory is let in alone");
	ok(!sluice_room_has(&room, 1, 1), "nothing beside it");
	empty(&room, share, &call, 2 * MAX_BYTES);
	sluice_room_leave(&room, share);
}

static void
subscriptions_have_their_own(void)
{
	SluiceRoom	room;
	SluiceUsage sender = {0, 0};
	SluiceUsage subscriber = {0, 0};
	SluiceShare *share;
	size_t		n = 0;

	sluice_room_init(&room, 64, MAX_BYTES);
	share = sluice_room_join(&room, "");
	while (sluice_room_reserve(&room, 7))
		n++;
	ok(n == 4, "subscriptions reserve half of the queue at most: %zu times 7 of 64", n);
	while (sluice_room_has(&room, 1, 1))
		sluice_room_take(&room, share, &sender, 1, 1);
	ok(sender.records + room.reserved == 64, "with all others they do not pass it: %zu and %zu", sender.records, room.reserved);
	sluice_room_release(&room, 7);
	sluice_room_take(&room, share, &sender, 1, 1);
	ok(!sluice_room_reserve(&room, 7), "what others took meanwhile is theirs");
	sluice_room_give(&room, share, &sender, 1, 1);
	ok(sluice_room_reserve(&room, 7), "until they give it back");
	empty(&room, share, &sender, 1);
	sluice_room_release(&room, 28);

	ok(sluice_room_is_airy(&room), "there is room for messages");
	sluice_room_load(&room, &subscriber, MAX_BYTES / 4);
	ok(!sluice_room_is_airy(&room) && subscriber.records == 1 && subscriber.bytes == MAX_BYTES / 4, "until they have a quarter of it");
	ok(sluice_room_has(&room, 1, MAX_BYTES) && fill(&room, share, &sender, SIZE) > 0, "those that send go on");
	ok(!sluice_room_has(&room, 1, MAX_BYTES * 3 / 4 - sender.bytes + 1) && sluice_room_has(&room, 1, MAX_BYTES * 3 / 4 - sender.bytes),
	   "with the rest");
	sluice_room_load(&room, &subscriber, 4 * MAX_BYTES);
	ok(sluice_room_has(&room, 1, MAX_BYTES * 3 / 4 - sender.bytes), "which no message takes from them");
	sluice_room_unload(&room, &subscriber, 4 * MAX_BYTES);
	sluice_room_unload(&room, &subscriber, MAX_BYTES / 4);
	empty(&room, share, &sender, SIZE);
	ok(room.waiting == 0 && room.reserved == 0 && room.usage.bytes == 0 && subscriber.records == 0, "all was given back");
	sluice_room_leave(&room, share);
}

int
main(void)
{
	streams_share();
	records_are_shared_too();
	calls_are_capped();
	large_records_pass();
	subscriptions_have_their_own();
	return finish();
}
