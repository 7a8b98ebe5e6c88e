/*
 * replies.h
 *		What a program said about the rows of one activation, until it is sent.
 *
 * Acknowledgements are cumulative, so only the newest counts; the redriven rows before
 * it are named one by one.  They are sent at most every few milliseconds while
 * other rows lie ready, at once where the program waits for the server.  Of a nack
 * all that was acknowledged before goes first.  No lock of its own, no clock.
 */
#ifndef SLUICE_LIB_REPLIES_H
#define SLUICE_LIB_REPLIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "subscription.h"

typedef struct SluiceRedrivenRow
{
	uint64_t	number;			/* of sluice_row */
	int64_t		redrive;
} SluiceRedrivenRow;

typedef struct SluiceNack
{
	struct SluiceNack *next;
	int64_t		offset;
	int64_t		redrive;
	char		reason[];
} SluiceNack;

typedef struct SluiceReplies
{
	bool		has_start;
	bool		start_has_token;
	bool		accept_fork;
	sluice_token token;

	bool		has_ack;		/* not sent yet */
	bool		acked_any;
	int64_t		acked;			/* through this offset */
	int64_t		sent;			/* of that */
	int64_t		sent_at;

	/* Redriven rows that were handed out, in that order; the first ones are acknowledged. */
	SluiceRedrivenRow *redriven;
	size_t		nredriven;
	size_t		ndone;
	size_t		room;

	SluiceNack *first_nack;
	SluiceNack **last_nack;
} SluiceReplies;

/* A new activation, whose rows follow the position. */
extern void sluice_replies_begin(SluiceReplies *replies, int64_t position);
extern void sluice_replies_release(SluiceReplies *replies);

/* A row with redrive is about to be handed out.  False: out of memory. */
extern bool sluice_replies_reserve(SluiceReplies *replies, uint64_t number, int64_t redrive);

/* All rows through this offset, and the redriven ones up to this number. */
extern void sluice_replies_ack(SluiceReplies *replies, int64_t offset, uint64_t number);

/* False: out of memory. */
extern bool sluice_replies_nack(SluiceReplies *replies, const sluice_row *row, const char *reason);

/* What is to be sent now; hurry: no acknowledgement waits for others.  False: nothing; *due is the time to ask again. */
extern bool sluice_replies_take(SluiceReplies *replies, int64_t now, bool hurry, SluiceReply *reply, int64_t *due);

#endif							/* SLUICE_LIB_REPLIES_H */
