/*
 * queue.h
 *		Records in a row, linked through themselves.
 *
 * Plain C, and the main thread's alone: a record is in one queue at most.
 */
#ifndef SLUICE_QUEUE_H
#define SLUICE_QUEUE_H

#include <stddef.h>

#include "record.h"

typedef struct SluiceQueue
{
	SluiceRecord *first;
	SluiceRecord *last;
	size_t		count;
} SluiceQueue;

extern void sluice_queue_append(SluiceQueue *queue, SluiceRecord *record);
extern void sluice_queue_prepend(SluiceQueue *queue, SluiceRecord *record);
extern SluiceRecord *sluice_queue_pop(SluiceQueue *queue);	/* NULL: empty */

/* All of source, in order, before all of target; source is empty then. */
extern void sluice_queue_prepend_all(SluiceQueue *target, SluiceQueue *source);

#endif							/* SLUICE_QUEUE_H */
