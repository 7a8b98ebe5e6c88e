/*
 * quota.h
 *		The calls of roles and databases that have a connection limit, of all workers.
 *
 * Plain C but for the attaching: the main thread counts a call in, the network
 * thread counts it out when it is gone, by the place that it was given.
 */
#ifndef SLUICE_QUOTA_H
#define SLUICE_QUOTA_H

#include <stdatomic.h>
#include <stdint.h>

/* Of them, those that have calls at one worker at the same time; for more there is no place, and they are not let in. */
#define SLUICE_QUOTA_PLACES 1024

/* The key of a database; that of a role is its OID. */
#define SLUICE_QUOTA_DATABASE(oid) (UINT64_C(1) << 32 | (oid))

typedef struct SluiceQuota
{
	_Atomic uint64_t key;		/* 0: free */
	_Atomic int32_t calls;
} SluiceQuota;

#endif							/* SLUICE_QUOTA_H */
