/*
 * queue.h
 *		Records on their way from the thread that makes them to the sender.
 *
 * Bounded in records and bytes: push() waits while it is full, and so the
 * input is not read faster than the server stores.  One thread pushes, one
 * takes; take() never waits.  When it found nothing, the next push wakes the
 * taker by the function given to create().
 */
#ifndef SLUICE_QUEUE_H
#define SLUICE_QUEUE_H

#include <stdbool.h>

#include "record.h"

typedef struct SluiceQueue SluiceQueue;

extern SluiceQueue *sluice_queue_create(size_t max_count, size_t max_bytes);
extern void sluice_queue_set_wake(SluiceQueue *queue, void (*wake) (void *), void *argument);
extern void sluice_queue_free(SluiceQueue *queue);

/* Hand over all of the batch, which is empty then.  False, with the batch freed, once the queue is closed. */
extern bool sluice_queue_push(SluiceQueue *queue, SluiceRecordList *batch);

/* Nothing more will be pushed. */
extern void sluice_queue_finish(SluiceQueue *queue);

/* Append all there is to the list.  False when there is nothing and never will be. */
extern bool sluice_queue_take(SluiceQueue *queue, SluiceRecordList *list);

/* The taker goes away: frees what is there, tells the pusher.  Returns how many records that were. */
extern size_t sluice_queue_close(SluiceQueue *queue);

#endif							/* SLUICE_QUEUE_H */
