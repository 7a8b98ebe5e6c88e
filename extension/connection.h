/*
 * connection.h
 *		What is shown of a call that brings or takes records, and the slot in shared memory where it is shown.
 *
 * Plain C: both worlds include it.  A slot is written by the one network
 * thread of its worker and read by any backend, without a lock: its words are
 * copied under a counter that is odd while somebody writes.  Whoever finds it
 * odd, or changed after the copy, copies again.  Nothing in a slot points
 * anywhere.
 */
#ifndef SLUICE_CONNECTION_H
#define SLUICE_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "record.h"

/* Calls beyond these are served and not shown. */
#define SLUICE_CONNECTIONS 1024

typedef enum SluiceConnectionMethod
{
	SLUICE_CONNECTION_NONE = 0, /* the slot is free */
	SLUICE_CONNECTION_INGEST_DATA,
	SLUICE_CONNECTION_PUBLISH,
	SLUICE_CONNECTION_SUBSCRIBE
} SluiceConnectionMethod;

#define SLUICE_CONNECTION_TEXT 64

/* All times are microseconds since 1970; 0: not yet. */
typedef struct SluiceConnection
{
	uint8_t		method;			/* SluiceConnectionMethod */
	bool		has_producer;
	int32_t		stream_id;		/* 0: not known yet */
	uint32_t	role;			/* OID; 0: not known yet, or the owner of the stream */
	char		address[SLUICE_CONNECTION_TEXT];	/* both end with a NUL, and may be cut off */
	char		client[SLUICE_CONNECTION_TEXT];
	uint8_t		producer[SLUICE_PRODUCER_SIZE];
	int64_t		connected_at;
	int64_t		last_message_at;
	uint64_t	received;		/* records; SUBSCRIBE: acknowledgements and the like */
	uint64_t	answered;		/* records; SUBSCRIBE: rows that were sent */
	uint64_t	records;		/* in flight; SUBSCRIBE: messages in either direction */
	uint64_t	bytes;			/* in flight */

	/* What the client told last. */
	int64_t		reported_at;
	uint64_t	buffered_records;
	uint64_t	buffered_bytes;
	uint64_t	oldest_age;		/* milliseconds */
	int64_t		clock_offset;	/* microseconds that its clock is ahead of ours */
} SluiceConnection;

#define SLUICE_CONNECTION_WORDS (sizeof(SluiceConnection) / sizeof(uint64_t))
_Static_assert(sizeof(SluiceConnection) % sizeof(uint64_t) == 0, "a connection is copied by words");

typedef struct SluiceConnectionSlot
{
	_Alignas(64) _Atomic uint64_t changes;	/* odd: somebody writes */
	_Atomic uint64_t words[SLUICE_CONNECTION_WORDS];
} SluiceConnectionSlot;

/* The writer's alone. */
static inline void
sluice_connection_write(SluiceConnectionSlot *slot, const SluiceConnection *connection)
{
	uint64_t	changes = atomic_load_explicit(&slot->changes, memory_order_relaxed) | 1;
	uint64_t	words[SLUICE_CONNECTION_WORDS];

	memcpy(words, connection, sizeof(words));
	atomic_store_explicit(&slot->changes, changes, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (size_t i = 0; i < SLUICE_CONNECTION_WORDS; i++)
		atomic_store_explicit(&slot->words[i], words[i], memory_order_relaxed);
	atomic_store_explicit(&slot->changes, changes + 1, memory_order_release);
}

/* False: it was being written, try again. */
static inline bool
sluice_connection_read(SluiceConnectionSlot *slot, SluiceConnection *connection)
{
	uint64_t	changes = atomic_load_explicit(&slot->changes, memory_order_acquire);
	uint64_t	words[SLUICE_CONNECTION_WORDS];

	if (changes & 1)
		return false;
	for (size_t i = 0; i < SLUICE_CONNECTION_WORDS; i++)
		words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	memcpy(connection, words, sizeof(words));
	return atomic_load_explicit(&slot->changes, memory_order_relaxed) == changes;
}

#endif							/* SLUICE_CONNECTION_H */
