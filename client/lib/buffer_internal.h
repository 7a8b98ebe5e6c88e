/*
 * buffer_internal.h
 *		What the files of the buffer share.
 *
 *	buffer.c			end, flush, close, what is told about it
 *	buffer_open.c		opening: what the last run left (rule P2)
 *	buffer_put.c		callers: a record is put in
 *	buffer_room.c		what makes room: memory, and the policy of a full buffer
 *	buffer_drop.c		records become gaps
 *	buffer_connect.c	what an Open says, condemnation, another stream (P4, P12, P14)
 *	buffer_opened.c		what an Opened means (P6)
 *	buffer_revive.c		a server that has less than it acknowledged
 *	buffer_send.c		batches for the publisher
 *	buffer_aside.c		records that the server does not take (P15)
 *	buffer_settle.c		verdicts
 *	group.c				what is written in one transaction
 *	writer.c			the thread that writes
 *
 * Numbers.  Every sequence above `acked` and below `next` is either in a gap or a record of a
 * block, never both.  Records up to `written` that are not settled are in the store.
 * What was planned to be sent on this connection ends with `claimed`: above it records
 * may still be dropped, up to it nothing changes but by what the server says.
 *
 * Locks.  `lock` covers everything but the store; nobody reads or writes the disk
 * while holding it.  `store_lock` is held over a transaction of the store, so that what is
 * written is never older than what was written before; it is taken before `lock`.
 */
#ifndef SLUICE_LIB_BUFFER_INTERNAL_H
#define SLUICE_LIB_BUFFER_INTERNAL_H

#include <pthread.h>

#include "../clock.h"
#include "amendments.h"
#include "blocks.h"
#include "buffer.h"
#include "entities.h"
#include "flight.h"
#include "gaps.h"
#include "store.h"
#include "tail.h"

#define SLUICE_NO_SEQUENCE UINT64_MAX

/* A caller that waits for its record to be durable. */
typedef struct SluiceWaiter
{
	struct SluiceWaiter *next;
	uint64_t	sequence;
	bool		done;
	int			code;
} SluiceWaiter;

/* What callers and the publisher want of the writer. */
typedef struct SluiceWants
{
	bool		numbers;		/* a higher high-water mark */
	bool		memory;			/* blocks written, and let go */
	bool		gaps;			/* gaps written */
	bool		state;			/* what does not hang on records */
} SluiceWants;

struct SluiceBuffer
{
	SluiceSettings settings;
	SluiceStore *store;
	SluiceTail *tail;

	pthread_mutex_t lock;
	pthread_mutex_t store_lock;
	pthread_cond_t committed;	/* the writer did something, or failed: for callers */
	pthread_cond_t settled;		/* there is room, or all is settled: for callers */
	int			waiting;		/* callers that wait for `settled` */
	int			callers;		/* in put and flush */
	int			ended;			/* the error that put fails with */

	/* numbers */
	uint64_t	next;
	uint64_t	acked;
	uint64_t	written;
	uint64_t	high_water;		/* durable */
	uint64_t	acked_durable;
	uint64_t	stored_first;	/* no record below it is in the store; SLUICE_NO_SEQUENCE: none at all */
	uint64_t	stored_last;
	SluiceStoreState state;		/* identity and connection; the numbers are those above */

	/* records and gaps */
	SluiceBlocks blocks;
	SluiceGaps	gaps;
	SluiceAmendments amendments;
	SluiceEntities entities;
	uint64_t	bytes;			/* payloads and keys of live records */
	uint64_t	memory;			/* of contents */

	/* the writer */
	pthread_t	writer;
	bool		writer_runs;
	bool		writer_idle;	/* waits without a deadline */
	pthread_cond_t writer_wake;
	bool		stopping;
	SluiceWants wants;
	SluiceWaiter *waiters;		/* by sequence */
	SluiceWaiter *last_waiter;
	size_t		nwaiters;
	size_t		expected;		/* how many a group had last */
	int64_t		patience;		/* how long to wait for as many again */
	uint64_t	failures;
	int			failure;		/* the last one's error */
	uint64_t	mark;			/* `next` - 1 at the last tick */
	uint64_t	reserve;		/* how far the high-water mark is ahead */
	uint64_t	reserved_at;	/* `next` when that was measured */
	unsigned	captures;		/* of groups; not 0 */
	bool		failing;		/* the last transaction did; the writer's */
	bool		may_compact;	/* the store ran empty, or is just open */
	bool		keeps;			/* what is settled stays in the store: it may be held again */

	/* the publisher */
	bool		connected;
	uint64_t	claimed;
	uint64_t	run_sent;		/* highest sequence put on any connection in this run */
	SluiceFlight flight;
	uint64_t	record_bytes;	/* limits; 0: not known */
	uint64_t	batch_bytes;
	uint32_t	batch_records;
	uint8_t    *outgoing;
	size_t		outgoing_size;
	int64_t		lingering;		/* since when a batch that is not full waits; 0: none does */
	uint64_t	missing;		/* bytes that have to come before it is worth asking again */
	bool		wants_ready;
	int			in_ready;		/* threads in the callback */
	pthread_cond_t ready_done;
	void		(*ready) (void *argument);
	void	   *ready_argument;

	sluice_statistics counts;
};

static inline bool
sluice_buffer_is_each(const SluiceBuffer *buffer)
{
	return buffer->settings.durability == SLUICE_DURABILITY_EACH;
}

/* Records that are not settled. */
static inline uint64_t
sluice_buffer_records(const SluiceBuffer *buffer)
{
	return buffer->next - 1 - buffer->acked - buffer->gaps.total;
}

/* ---- buffer.c ---- */

extern void sluice_buffer_log(const SluiceBuffer *buffer, sluice_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Lock held: it is given up around the callback, and taken again. */
extern void sluice_buffer_call_ready(SluiceBuffer *buffer);
extern void sluice_buffer_free(SluiceBuffer *buffer);
extern int64_t sluice_buffer_clock(void);	/* microseconds since 1970, not very exact, very cheap */

/* Wait on one of the conditions; false: the deadline has come. */
extern bool sluice_buffer_wait(SluiceBuffer *buffer, pthread_cond_t *condition, int64_t deadline);

/* ---- buffer_room.c: lock held ---- */

/* Is there memory for such a block?  Lets go what is in the store. */
extern bool sluice_buffer_has_memory(SluiceBuffer *buffer, size_t takes);

extern void sluice_buffer_release_content(SluiceBuffer *buffer, SluiceBlock *block);
extern void sluice_buffer_unpin(SluiceBuffer *buffer, SluiceBlock *block);

/* By the policy: is there room for so many bytes more?  ERROR_FULL; WAIT: wait for `settled`; REFUSE: drop_newest. */
#define SLUICE_ROOM_WAIT (-1)
#define SLUICE_ROOM_REFUSE (-2)
extern int sluice_buffer_make_room(SluiceBuffer *buffer, uint64_t size);

/* ---- buffer_drop.c: lock held ---- */

/* One record, above `claimed`, becomes a gap.  ERROR_MEMORY: nothing changed. */
extern int sluice_buffer_drop(SluiceBuffer *buffer, uint64_t sequence, int reason);

/* It is the newest of its entity: the one before goes, if it was not sent. */
extern int sluice_buffer_note_entity(SluiceBuffer *buffer, const sluice_record *record, uint64_t sequence);

/* ---- buffer_settle.c ---- */

/* Verdicts up to `through`; an Opened's (NULL: an Ack's) say less.  The publisher's thread, no lock held. */
extern void sluice_buffer_settle_through(SluiceBuffer *buffer, uint64_t through, const SluiceSettled *exceptions,
										 size_t nexceptions, const SluiceOpened *opened);

/* ---- buffer_revive.c ---- */

/* What was settled above `last` is live again, or a gap: durable with `state`.  store_lock held, lock not. */
extern int sluice_buffer_revive(SluiceBuffer *buffer, uint64_t last, const SluiceStoreState *state);

/* ---- buffer_aside.c ---- */

/* Records from..to of the block that are over the server's limit are set aside.  No lock held. */
extern int sluice_buffer_set_aside(SluiceBuffer *buffer, SluiceBlock *block, uint64_t from);

/* ---- group.c ---- */

typedef struct SluiceGroup
{
	uint64_t	from;			/* records from..through are written; none where through is below from */
	uint64_t	through;
	uint64_t	acked;
	bool		removes;		/* there may be settled records in the store */
	bool		keeps;			/* nothing that is settled is removed */
	bool		removed_all;
	bool		more;			/* it was cut short: another one should follow */
	SluiceBlock *blocks;
	SluiceAmendments amendments;	/* kept until they are written */
	unsigned	capture;		/* what is dropped after it is still written */
	SluiceStoreState state;
} SluiceGroup;

/* The state with the numbers as they are now; lock held.  through: what is durable with it. */
extern void sluice_group_fill_state(const SluiceBuffer *buffer, SluiceStoreState *state, uint64_t through);

/* Write all up to `through`, and what else there is.  No lock held.  clean: numbers end with next. */
extern int sluice_group_write(SluiceBuffer *buffer, SluiceGroup *group, uint64_t through, bool clean);

/* A record in memory, into the transaction that is being written. */
extern int sluice_group_write_record(SluiceStore *store, const SluiceBlock *block, uint64_t sequence);

/* A transaction with nothing but the state (and what write() puts into it); store_lock held. */
extern int sluice_group_commit_state(SluiceBuffer *buffer, const SluiceStoreState *state,
									 int (*write) (SluiceStore *store, void *argument), void *argument);

/* An error of the store's as callers are to see it. */
extern int sluice_group_error(int code);

/* ---- writer.c ---- */

extern int sluice_writer_start(SluiceBuffer *buffer);

/* Returns how the last transaction ended. */
extern int sluice_writer_stop(SluiceBuffer *buffer);

/* Lock held. */
extern void sluice_writer_wake(SluiceBuffer *buffer);

/* Wait until the writer did what *want asks for, or failed: then the error.  Lock held. */
extern int sluice_writer_ask(SluiceBuffer *buffer, bool *want);

/* Wait until the store was told of all that is settled, and changed for it, or an error.  Lock held. */
extern int sluice_writer_catch_up(SluiceBuffer *buffer);

#endif							/* SLUICE_LIB_BUFFER_INTERNAL_H */
