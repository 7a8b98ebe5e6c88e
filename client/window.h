/*
 * window.h
 *		The records that are sent and not acknowledged.
 *
 * They are kept in the order in which they were first sent.  Those that were
 * sent on the present call come first; after sluice_window_rewind() none was,
 * and sluice_window_next_unsent() gives them again in that order before
 * anything new may be added.  So an answer always belongs to the oldest record
 * of its key, also where several records of one key are on their way.
 *
 * No I/O, no clock.  All calls but create, free and rewind take constant time.
 */
#ifndef SLUICE_WINDOW_H
#define SLUICE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>

#include "record.h"

typedef struct SluiceWindow
{
	SluiceClientRecord *first;
	SluiceClientRecord *last;
	SluiceClientRecord *unsent;	/* the oldest that is not sent on the present call */
	size_t		count;
	size_t		bytes;
	size_t		nunsent;
	uint64_t	added;			/* since the beginning */
	size_t		max_count;
	size_t		max_bytes;
	SluiceClientRecord **buckets;
	size_t		mask;
} SluiceWindow;

extern SluiceWindow *sluice_window_create(size_t max_count, size_t max_bytes);
extern void sluice_window_free(SluiceWindow *window);	/* and all records in it */

/* May a record of so many bytes be added?  One always may where there is none. */
extern bool sluice_window_has_room(const SluiceWindow *window, size_t bytes);

/* A new record goes out: there must be room, and nothing unsent. */
extern void sluice_window_add(SluiceWindow *window, SluiceClientRecord *record);

/* The record to send again next, from now on sent; NULL when all are. */
extern SluiceClientRecord *sluice_window_next_unsent(SluiceWindow *window);

/* The call is gone: nothing is sent any more. */
extern void sluice_window_rewind(SluiceWindow *window);

/* Take out the oldest record of that key; NULL where none is sent.  The caller frees it. */
extern SluiceClientRecord *sluice_window_answer(SluiceWindow *window, const void *key, size_t key_length);

#endif							/* SLUICE_WINDOW_H */
