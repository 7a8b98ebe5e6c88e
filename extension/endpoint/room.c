/*
 * room.c
 *		Who may have how many records and bytes in flight.
 */
#include "room.h"

#include <stdlib.h>
#include <string.h>

void
sluice_room_init(SluiceRoom *room, size_t max_records, size_t max_bytes)
{
	memset(room, 0, sizeof(*room));
	room->max_records = max_records;
	room->max_bytes = max_bytes;
	LIST_INIT(&room->shares);
}

SluiceShare *
sluice_room_join(SluiceRoom *room, const char *stream)
{
	SluiceShare *share;
	size_t		size = strlen(stream) + 1;

	LIST_FOREACH(share, &room->shares, link)
	{
		if (strcmp(share->stream, stream) == 0)
		{
			share->calls++;
			return share;
		}
	}
	share = calloc(1, sizeof(*share) + size);
	if (share == NULL)
		return NULL;
	memcpy(share->stream, stream, size);
	share->calls = 1;
	LIST_INSERT_HEAD(&room->shares, share, link);
	return share;
}

void
sluice_room_leave(SluiceRoom *room, SluiceShare *share)
{
	(void) room;
	if (--share->calls > 0)
		return;
	LIST_REMOVE(share, link);
	free(share);
}

/* What subscriptions leave to the others. */
static size_t
records_of_others(const SluiceRoom *room)
{
	return room->max_records - room->reserved;
}

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t
bytes_of_others(const SluiceRoom *room)
{
	return room->max_bytes - smaller(room->waiting, room->max_bytes / 4);
}

bool
sluice_room_has(const SluiceRoom *room, size_t records, size_t bytes)
{
	size_t		max_records = records_of_others(room);
	size_t		max_bytes = bytes_of_others(room);

	if (room->usage.records > 0 && (room->usage.records >= max_records ||
									records > max_records - room->usage.records))
		return false;
	return room->usage.bytes == 0 ||
		(room->usage.bytes < max_bytes && bytes <= max_bytes - room->usage.bytes);
}

static bool
fits(const SluiceUsage *usage, size_t max_records, size_t max_bytes, size_t records, size_t bytes)
{
	if (usage->records == 0)
		return true;
	return usage->records < max_records && records <= max_records - usage->records &&
		usage->bytes < max_bytes && bytes <= max_bytes - usage->bytes;
}

/* A stream's limit, in records or in bytes. */
static size_t
stream_limit(size_t whole, size_t used)
{
	size_t		common = whole / 4 * 3;
	size_t		rest = used < common ? common - used : 0;
	size_t		assured = whole / 256;

	return rest > assured ? rest : assured;
}

bool
sluice_room_admits(const SluiceRoom *room, const SluiceShare *share,
				   const SluiceUsage *call, size_t records, size_t bytes)
{
	size_t		max_records = records_of_others(room);
	size_t		max_bytes = bytes_of_others(room);
	size_t		free_records;
	size_t		free_bytes;

	if (!sluice_room_has(room, records, bytes))
		return false;
	free_records = room->usage.records < max_records ? max_records - room->usage.records : 0;
	free_bytes = room->usage.bytes < max_bytes ? max_bytes - room->usage.bytes : 0;
	return fits(&share->usage, stream_limit(max_records, room->usage.records),
				stream_limit(max_bytes, room->usage.bytes), records, bytes) &&
		fits(call, smaller(free_records / 2, SLUICE_CALL_RECORDS_MAX),
			 smaller(free_bytes / 2, SLUICE_CALL_BYTES_MAX), records, bytes);
}

static void
add(SluiceUsage *usage, size_t records, size_t bytes)
{
	usage->records += records;
	usage->bytes += bytes;
}

static void
subtract(SluiceUsage *usage, size_t records, size_t bytes)
{
	usage->records -= records;
	usage->bytes -= bytes;
}

void
sluice_room_take(SluiceRoom *room, SluiceShare *share, SluiceUsage *call, size_t records, size_t bytes)
{
	add(&room->usage, records, bytes);
	add(&share->usage, records, bytes);
	add(call, records, bytes);
}

void
sluice_room_give(SluiceRoom *room, SluiceShare *share, SluiceUsage *call, size_t records, size_t bytes)
{
	subtract(&room->usage, records, bytes);
	subtract(&share->usage, records, bytes);
	subtract(call, records, bytes);
}

bool
sluice_room_reserve(SluiceRoom *room, size_t records)
{
	if (records > room->max_records / 2 - room->reserved ||
		(room->usage.records > 0 && room->usage.records + records > records_of_others(room)))
		return false;
	room->reserved += records;
	return true;
}

void
sluice_room_release(SluiceRoom *room, size_t records)
{
	room->reserved -= records;
}

void
sluice_room_load(SluiceRoom *room, SluiceUsage *call, size_t bytes)
{
	room->waiting += bytes;
	add(call, 1, bytes);
}

void
sluice_room_unload(SluiceRoom *room, SluiceUsage *call, size_t bytes)
{
	room->waiting -= bytes;
	subtract(call, 1, bytes);
}

bool
sluice_room_is_airy(const SluiceRoom *room)
{
	return room->waiting < room->max_bytes / 4;
}
