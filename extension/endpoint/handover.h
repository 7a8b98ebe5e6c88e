/*
 * handover.h
 *		The two queues between the main thread and the network thread.
 *
 * Plain C.  Each is a bounded single-producer single-consumer ring of record
 * pointers: arrivals (network thread to main thread) and outcomes (main thread
 * to network thread).  A push hands the record over (release), a pop takes it
 * (acquire).  Their capacity is also the limit of records in flight: the
 * network thread never has more records out than the rings hold (room.h; what
 * subscriptions reserve is taken off what the others may have), so the main
 * thread's push of an outcome never fails.
 *
 * Waking.  A consumer about to sleep announces it (sluice_ring_sleep), looks
 * once more, and sleeps only if the ring is still empty; a producer that finds
 * the announcement after its push takes it back and wakes: the main thread by
 * an eventfd in its WaitEventSet, the network thread by an empty batch on a
 * gRPC call that never touches the wire.  Sequentially consistent fences on
 * both sides of that exchange are what makes a lost wake-up impossible.
 */
#ifndef SLUICE_HANDOVER_H
#define SLUICE_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

typedef struct SluiceRing
{
	SluiceRecord **slots;
	size_t		mask;			/* capacity - 1, capacity a power of two */
	_Alignas(64) _Atomic size_t head;	/* next to pop: the consumer's */
	size_t		tail_seen;		/* the consumer's last look at tail */
	_Alignas(64) _Atomic size_t tail;	/* next to push: the producer's */
	size_t		head_seen;		/* the producer's last look at head */
	_Alignas(64) _Atomic bool asleep;	/* the consumer sleeps or is about to */
} SluiceRing;

extern bool sluice_ring_init(SluiceRing *ring, size_t capacity);
extern void sluice_ring_free(SluiceRing *ring);
extern bool sluice_ring_push(SluiceRing *ring, SluiceRecord *record);	/* false: full */
extern SluiceRecord *sluice_ring_pop(SluiceRing *ring);					/* NULL: empty */

extern bool sluice_ring_empty(SluiceRing *ring);						/* the consumer's question */

/* Consumer: announce sleep; false means that something has arrived, do not sleep. */
extern bool sluice_ring_sleep(SluiceRing *ring);
/* Consumer: awake again. */
extern void sluice_ring_awake(SluiceRing *ring);
/* Producer, after a burst of pushes: must the consumer be woken?  True at most once a sleep. */
extern bool sluice_ring_must_wake(SluiceRing *ring);

#endif							/* SLUICE_HANDOVER_H */
