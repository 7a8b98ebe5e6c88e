/*
 * pending.h
 *		Records on their way, for somebody who measures how long they take.
 *
 * A record is known by its sequence, which sluice_send() tells; its verdict may
 * come before that.  Whoever comes second learns how long it took.  For
 * several threads without locks: at most `size` records may be on their way.
 */
#ifndef SLUICE_PENDING_H
#define SLUICE_PENDING_H

#include <stddef.h>
#include <stdint.h>

typedef struct SluicePending SluicePending;

/* size: a power of two. */
extern SluicePending *sluice_pending_create(size_t size);
extern void sluice_pending_free(SluicePending *pending);

/*
 * It was due at this time, it is settled at this time (nanoseconds, from 1 on).
 * Both return how long it took, or -1: the other has not come yet.
 */
extern int64_t sluice_pending_due(SluicePending *pending, uint64_t sequence, int64_t time);
extern int64_t sluice_pending_settled(SluicePending *pending, uint64_t sequence, int64_t time);

#endif							/* SLUICE_PENDING_H */
