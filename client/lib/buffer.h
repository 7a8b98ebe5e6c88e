/*
 * buffer.h
 *		The durable buffer: records between sluice_send() and their verdicts.
 *
 * Three kinds of threads meet here.  Callers put records in.  The publisher (one
 * thread, publisher.h) takes batches out, and brings what the server said.  The
 * writer (the buffer's own thread) writes to the store (store.h) what must be on
 * disk, and removes there what is settled.
 *
 * A record is encoded when it is put and lies in memory in blocks (block.h)
 * of encoded entries, sequence after sequence.  It is written to the store
 *		each		before sluice_send() returns; callers that come together share one sync
 *		interval	when it is as old as the interval and has no verdict yet
 *		none		only when memory is short, and at a clean close
 * and in all modes when blocks exceed the memory that they may use.  So where the
 * server answers within the interval, most records never touch the disk, though each is
 * covered by a durable high-water mark of numbers.  What is not in memory any
 * more is read from the store again when its turn comes.
 *
 * The rules P1 to P15 of the protocol (proto/sluice.proto) are kept here, but for what needs a connection.
 */
#ifndef SLUICE_LIB_BUFFER_H
#define SLUICE_LIB_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../sluice.h"
#include "error.h"
#include "settings.h"

typedef struct SluiceBuffer SluiceBuffer;

/* Opens the store, follows rule P2 durably (tail, lost_tail, sent_floor, a new nonce), starts the writer. */
extern int sluice_buffer_open(const SluiceSettings *settings, SluiceBuffer **buffer, SluiceError *error);

/*
 * Stop the writer; what is left is on disk; numbers end without a gap (a clean
 * stop).  Returns ERROR_DISK where that could not be written.  The publisher must be gone.
 */
extern int sluice_buffer_close(SluiceBuffer *buffer);

/* ---- callers ---- */

extern int sluice_buffer_put(SluiceBuffer *buffer, const sluice_record *record, uint64_t *sequence);

/* Wait until all that was put before is settled; monotonic deadline in nanoseconds (clock.h), SLUICE_NEVER. */
extern int sluice_buffer_flush(SluiceBuffer *buffer, int64_t deadline);

/* From now on put fails with this error (fatal, closed), and waiting callers return it.  The first one stands. */
extern void sluice_buffer_end(SluiceBuffer *buffer, int error);

/* Fills the members that the buffer knows: all but state, in_flight's connection, attempts and connections. */
extern void sluice_buffer_fill_statistics(SluiceBuffer *buffer, sluice_statistics *statistics);

/* ---- the publisher; one thread ---- */

/*
 * Called, from any thread and with no lock held, when there may be something to send after sluice_buffer_next() had nothing.
 * ready NULL: not any more; when this returns no thread is in the callback.
 */
extern void sluice_buffer_on_ready(SluiceBuffer *buffer, void (*ready) (void *argument), void *argument);

/* What an Open says (P4).  The store has all of it durably. */
typedef struct SluiceOpening
{
	char		stream[256];
	uint8_t		producer_id[16];
	uint64_t	nonces[64];
	int			nnonces;
	uint64_t	sent;
	uint64_t	acked_through;
	uint8_t		stream_uid[16];
	bool		has_stream_uid;
} SluiceOpening;

extern void sluice_buffer_opening(SluiceBuffer *buffer, SluiceOpening *opening);

/* What an Opened said. */
typedef struct SluiceOpened
{
	uint64_t	last_sequence;
	uint32_t	last_crc;
	bool		last_is_gap;
	uint64_t	epoch;
	uint8_t		stream_uid[16];
	const uint64_t *dead;		/* ascending */
	size_t		ndead;
	bool		more_dead;
	uint64_t	record_bytes;	/* limits */
	uint64_t	batch_bytes;
	uint32_t	batch_records;
} SluiceOpened;

/*
 * P6.  Durable when it returns: from here on batches begin at last_sequence + 1.
 * What the server settled is told to the delivery callback.  ERROR_FORKED; ERROR_DISK (close the call, try again).
 */
extern int sluice_buffer_opened(SluiceBuffer *buffer, const SluiceOpened *opened);

/* The connection is gone: what was sent on it and is not settled is to be sent again. */
extern void sluice_buffer_disconnected(SluiceBuffer *buffer);

/* The server said FENCED or FORKED (P12): remembered durably, and the end. */
extern void sluice_buffer_condemned(SluiceBuffer *buffer, int error, uint64_t server_sequence);

/*
 * The stream of this name is another one than ours, and the option says to go on with it (P14): 1 to
 * acked_through is declared as previous_stream, and stream_uid is forgotten.  Durable when it returns:
 * the next opening has no stream_uid.  Not while a connection is open.  ERROR_DISK (try again).
 */
extern int sluice_buffer_rebind(SluiceBuffer *buffer);

/* A PublishRequest with a batch, encoded: memory of the buffer's, given back by sluice_buffer_sent(). */
typedef struct SluiceOutgoing
{
	const uint8_t *bytes;
	size_t		length;
	uint64_t	first;			/* sequences that it covers */
	uint64_t	through;
	uint32_t	records;
	void	   *block;			/* the buffer's */
} SluiceOutgoing;

/*
 * The next batch to send on this connection, after the one before; within the server's limits.
 * linger: there is something, but too little to fill a batch, and it is younger than that many
 * nanoseconds: leave it for now (*due then tells when to ask again; SLUICE_NEVER: when ready is called).
 * False: nothing to send now.  What the server would not take (too large) is set aside on the way.
 */
extern bool sluice_buffer_next(SluiceBuffer *buffer, int64_t linger, SluiceOutgoing *outgoing, int64_t *due);
extern void sluice_buffer_sent(SluiceBuffer *buffer, SluiceOutgoing *outgoing);

typedef struct SluiceSettled
{
	uint64_t	sequence;
	sluice_verdict verdict;
} SluiceSettled;

/* An Ack.  ERROR_PROTOCOL: it does not fit what was sent. */
extern int sluice_buffer_settle(SluiceBuffer *buffer, uint64_t through, const SluiceSettled *exceptions, size_t nexceptions);

/* For Report. */
typedef struct SluiceBacklogReport
{
	uint64_t	records;
	uint64_t	bytes;
	uint64_t	oldest_age;		/* milliseconds */
} SluiceBacklogReport;
extern void sluice_buffer_report(SluiceBuffer *buffer, SluiceBacklogReport *report);

/* Sent on this connection, not settled.  From any thread. */
extern uint64_t sluice_buffer_in_flight(SluiceBuffer *buffer);

#endif							/* SLUICE_LIB_BUFFER_H */
