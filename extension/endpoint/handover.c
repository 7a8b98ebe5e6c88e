/*
 * handover.c
 *		The two queues between the main thread and the network thread.
 *
 * See handover.h.  head and tail count up for ever; their difference is the
 * number of records in the ring.  Each side remembers what it last saw of the
 * other's counter and looks again only when that says full or empty, so that
 * the two cache lines travel once a burst and not once a record.
 */
#include "handover.h"

#include <stdlib.h>

bool
sluice_ring_init(SluiceRing *ring, size_t capacity)
{
	ring->slots = NULL;
	if (capacity == 0 || (capacity & (capacity - 1)) != 0)
		return false;
	ring->slots = calloc(capacity, sizeof(SluiceRecord *));
	if (ring->slots == NULL)
		return false;
	ring->mask = capacity - 1;
	ring->tail_seen = 0;
	ring->head_seen = 0;
	atomic_init(&ring->head, 0);
	atomic_init(&ring->tail, 0);
	atomic_init(&ring->asleep, false);
	return true;
}

void
sluice_ring_free(SluiceRing *ring)
{
	free(ring->slots);
	ring->slots = NULL;
}

bool
sluice_ring_push(SluiceRing *ring, SluiceRecord *record)
{
	size_t		tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	if (tail - ring->head_seen > ring->mask)
	{
		ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
		if (tail - ring->head_seen > ring->mask)
			return false;
	}
	ring->slots[tail & ring->mask] = record;
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}

SluiceRecord *
sluice_ring_pop(SluiceRing *ring)
{
	size_t		head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	SluiceRecord *record;

	if (head == ring->tail_seen)
	{
		ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (head == ring->tail_seen)
			return NULL;
	}
	record = ring->slots[head & ring->mask];
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return record;
}

bool
sluice_ring_empty(SluiceRing *ring)
{
	return atomic_load_explicit(&ring->tail, memory_order_acquire) ==
		atomic_load_explicit(&ring->head, memory_order_relaxed);
}

/*
 * The fence here and the one in sluice_ring_must_wake make one of two things
 * happen: the consumer sees what was pushed, or the producer sees that the
 * consumer sleeps.
 */
bool
sluice_ring_sleep(SluiceRing *ring)
{
	atomic_store_explicit(&ring->asleep, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
	if (ring->tail_seen == atomic_load_explicit(&ring->head, memory_order_relaxed))
		return true;
	atomic_store_explicit(&ring->asleep, false, memory_order_relaxed);
	return false;
}

void
sluice_ring_awake(SluiceRing *ring)
{
	atomic_store_explicit(&ring->asleep, false, memory_order_relaxed);
}

bool
sluice_ring_must_wake(SluiceRing *ring)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&ring->asleep, memory_order_relaxed))
		return false;
	return atomic_exchange_explicit(&ring->asleep, false, memory_order_acq_rel);
}
