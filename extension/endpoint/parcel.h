/*
 * parcel.h
 *		A record and the message it came in, in one allocation.
 *
 * Plain C, the network thread's alone.  The message is copied out of gRPC's
 * buffers (a small message there pins the 8 kB that were read with it) and
 * parsed where it lies, so that key and payload are pointers into the parcel
 * and every byte is copied once.
 *
 * Parcels that were freed wait in lists by size for the next message.  What
 * these lists hold is bounded; what is over goes back to malloc.
 */
#ifndef SLUICE_PARCEL_H
#define SLUICE_PARCEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "record.h"

typedef struct SluiceParcel
{
	TAILQ_ENTRY(SluiceParcel) link;
	size_t		size;			/* of the whole allocation: what it counts in memory */
	SluiceRecord record;
	uint8_t		message[];
} SluiceParcel;

typedef TAILQ_HEAD(SluiceParcelList, SluiceParcel) SluiceParcelList;

/* Sizes are rounded up to a multiple of the step; larger ones than the lists have come from malloc. */
#define SLUICE_PARCEL_STEP 64
#define SLUICE_PARCEL_LISTS 64

typedef struct SluiceParcelPool
{
	SluiceParcelList idle[SLUICE_PARCEL_LISTS];
	size_t		idle_bytes;
	size_t		idle_limit;
} SluiceParcelPool;

extern void sluice_parcel_pool_init(SluiceParcelPool *pool, size_t idle_limit);
extern void sluice_parcel_pool_free(SluiceParcelPool *pool);

/* What a message of this length will count. */
extern size_t sluice_parcel_size(size_t message_length);

/* A zeroed record with room for a message; NULL: out of memory. */
extern SluiceParcel *sluice_parcel_take(SluiceParcelPool *pool, size_t message_length);
extern void sluice_parcel_give(SluiceParcelPool *pool, SluiceParcel *parcel);

extern SluiceParcel *sluice_parcel_of(SluiceRecord *record);

#endif							/* SLUICE_PARCEL_H */
