/*
 * room.h
 *		Who may have how many records and bytes in flight.
 *
 * Plain C, the network thread's alone.  In flight is a record from the moment
 * it was received until its answer was handed to gRPC.  Three things bound it:
 *
 *	the worker: settings.memory and settings.max_in_flight, never exceeded (a
 *		single record larger than the memory is let in alone);
 *	the stream: at most as much as is free after it, of three quarters of the
 *		whole; or a 256th of the whole where that is more.  Thus one stream that
 *		is held leaves room for the next, and however many are held and full
 *		there is a last quarter for those that are not;
 *	the call: at most half of what is free, and a fixed cap.  A client that
 *		never reads its answers stops being read.
 *
 * A stream or call that has nothing in flight may have one record wherever the
 * worker has room for it.
 *
 * Subscriptions have their own part, so that neither do they wait for those that
 * send, nor these for subscribers that do not read:
 *
 *	records: each reserves some for as long as it lasts; together at most half of all;
 *	bytes: messages that wait for subscribers are taken off the room of the others, a
 *		quarter of it at most.  Beyond it, each subscription has one message at a time.
 */
#ifndef SLUICE_ROOM_H
#define SLUICE_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#define SLUICE_CALL_RECORDS_MAX 16384
#define SLUICE_CALL_BYTES_MAX ((size_t) 8 * 1024 * 1024)

typedef struct SluiceUsage
{
	size_t		records;
	size_t		bytes;
} SluiceUsage;

/* What all calls of one stream name have in flight. */
typedef struct SluiceShare
{
	LIST_ENTRY(SluiceShare) link;
	SluiceUsage usage;
	size_t		calls;			/* that use it */
	char		stream[];
} SluiceShare;

typedef struct SluiceRoom
{
	size_t		max_records;
	size_t		max_bytes;
	SluiceUsage usage;
	size_t		reserved;		/* records of subscriptions */
	size_t		waiting;		/* bytes of messages for subscribers */
	LIST_HEAD(SluiceShareList, SluiceShare) shares;
} SluiceRoom;

extern void sluice_room_init(SluiceRoom *room, size_t max_records, size_t max_bytes);

/* The share of a stream name; NULL: out of memory.  Left as often as it was joined. */
extern SluiceShare *sluice_room_join(SluiceRoom *room, const char *stream);
extern void sluice_room_leave(SluiceRoom *room, SluiceShare *share);

/* May this worker have so many more records, of this size together, at all? */
extern bool sluice_room_has(const SluiceRoom *room, size_t records, size_t bytes);

/* May this call have them? */
extern bool sluice_room_admits(const SluiceRoom *room, const SluiceShare *share,
							   const SluiceUsage *call, size_t records, size_t bytes);

extern void sluice_room_take(SluiceRoom *room, SluiceShare *share, SluiceUsage *call, size_t records, size_t bytes);
extern void sluice_room_give(SluiceRoom *room, SluiceShare *share, SluiceUsage *call, size_t records, size_t bytes);

/* So many records for a subscription alone.  False: subscriptions have too many already. */
extern bool sluice_room_reserve(SluiceRoom *room, size_t records);
extern void sluice_room_release(SluiceRoom *room, size_t records);

/* A message waits for this call, which is a subscription; it was sent. */
extern void sluice_room_load(SluiceRoom *room, SluiceUsage *call, size_t bytes);
extern void sluice_room_unload(SluiceRoom *room, SluiceUsage *call, size_t bytes);

/* May a subscription have more than one message? */
extern bool sluice_room_is_airy(const SluiceRoom *room);

#endif							/* SLUICE_ROOM_H */
