/*
 * quota.h
 *		The calls of roles that have a connection limit, of all workers.
 *
 * Plain C but for the attaching: the main thread counts a call in, the network
 * thread counts it out when it is gone, by the place that it was given.
 */
#ifndef SLUICE_QUOTA_H
#define SLUICE_QUOTA_H

#include <stdatomic.h>
#include <stdint.h>

/* Roles with a limit that have calls at one worker at the same time; the calls of others are not counted. */
#define SLUICE_QUOTA_ROLES 256

typedef struct SluiceQuota
{
	_Atomic uint32_t role;		/* 0: free */
	_Atomic int32_t calls;
} SluiceQuota;

#endif							/* SLUICE_QUOTA_H */
