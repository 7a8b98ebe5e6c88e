/*
 * board.h
 *		What the calls of a worker show of themselves in shared memory.
 *
 * Plain C without gRPC, the network thread's alone.  A call counts in a notice
 * of its own memory, which costs a few instructions a record; notices that have changed
 * are copied to the board every BOARD_INTERVAL, and at once where something
 * rare happens.  A call that finds no free slot is served as well, only not shown.
 */
#ifndef SLUICE_BOARD_H
#define SLUICE_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "connection.h"
#include "room.h"

/* Microseconds between two looks at the notices. */
#define SLUICE_BOARD_INTERVAL 100000

struct SluiceBoard;

/* A call's place; zeroed memory is one that was not taken. */
typedef struct SluiceNotice
{
	struct SluiceBoard *board;	/* NULL: not taken, or given back */
	SluiceConnectionSlot *slot;
	const SluiceUsage *usage;	/* of the call */
	TAILQ_ENTRY(SluiceNotice) changed_link;
	bool		changed;
	SluiceConnection connection;
} SluiceNotice;

typedef struct SluiceBoard
{
	SluiceConnectionSlot *slots;	/* NULL: nobody looks */
	uint16_t	free[SLUICE_CONNECTIONS];	/* the last ones were used last */
	size_t		nfree;
	TAILQ_HEAD(SluiceNoticeList, SluiceNotice) changed;
	int64_t		due_at;			/* on the caller's clock; for those that changed */
} SluiceBoard;

/* SLUICE_CONNECTIONS slots, or NULL. */
extern void sluice_board_init(SluiceBoard *board, SluiceConnectionSlot *slots);

/* The call begins.  Times here and below are microseconds since 1970. */
extern void sluice_board_take(SluiceBoard *board, SluiceNotice *notice, SluiceConnectionMethod method,
							  const char *address, const SluiceUsage *usage, int64_t now);

/* Its stream is known; producer (16 bytes) and client (not NUL-terminated) may be NULL. */
extern void sluice_board_opened(SluiceNotice *notice, int32_t stream_id, const uint8_t *producer,
								const char *client, size_t client_length);

/* The client told of its buffer: records, bytes, the oldest one's age in milliseconds, its clock. */
extern void sluice_board_report(SluiceNotice *notice, uint64_t records, uint64_t bytes,
								uint64_t oldest_age, int64_t clock, int64_t now);

/* The call has ended.  Harmless where it was not taken. */
extern void sluice_board_give(SluiceNotice *notice);

/* Copy what has changed, if it is time; turn_at is monotonic.  Returns the microseconds until it is, -1: nothing to copy. */
extern int64_t sluice_board_show(SluiceBoard *board, int64_t turn_at);

static inline void
sluice_board_change(SluiceNotice *notice)
{
	if (notice->changed || notice->slot == NULL)
		return;
	notice->changed = true;
	TAILQ_INSERT_TAIL(&notice->board->changed, notice, changed_link);
}

/* Records came from the client. */
static inline void
sluice_board_received(SluiceNotice *notice, uint64_t records, int64_t now)
{
	notice->connection.received += records;
	notice->connection.last_message_at = now;
	sluice_board_change(notice);
}

/* Records were answered. */
static inline void
sluice_board_answered(SluiceNotice *notice, uint64_t records)
{
	notice->connection.answered += records;
	sluice_board_change(notice);
}

#endif							/* SLUICE_BOARD_H */
