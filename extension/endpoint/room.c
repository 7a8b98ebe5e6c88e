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

bool
sluice_room_has(const SluiceRoom *room, size_t records, size_t bytes)
{
	if (room->usage.records > 0 && (room->usage.records >= room->max_records ||
									records > room->max_records - room->usage.records))
		return false;
	return room->usage.bytes == 0 ||
		(room->usage.bytes < room->max_bytes && bytes <= room->max_bytes - room->usage.bytes);
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

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

bool
sluice_room_admits(const SluiceRoom *room, const SluiceShare *share,
				   const SluiceUsage *call, size_t records, size_t bytes)
{
	size_t		free_records;
	size_t		free_bytes;

	if (!sluice_room_has(room, records, bytes))
		return false;
	free_records = room->max_records - room->usage.records;
	free_bytes = room->usage.bytes < room->max_bytes ? room->max_bytes - room->usage.bytes : 0;
	return fits(&share->usage, stream_limit(room->max_records, room->usage.records),
				stream_limit(room->max_bytes, room->usage.bytes), records, bytes) &&
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
