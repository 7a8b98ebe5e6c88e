/*
 * epoch.c
 *		Numbers that tell one opening or activation from every other one.
 *
 * A counter and 31 random bits: a server that has lost its last commits counts
 * the same numbers again, and gives out others all the same.
 */
#include "postgres.h"

#include "epoch.h"

uint64
sluice_epoch_next(uint64 epoch)
{
	uint32		random;

	if (!pg_strong_random(&random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number")));
	return ((epoch >> 31) + 1) << 31 | (random & 0x7FFFFFFF);
}
