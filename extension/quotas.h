/*
 * quotas.h
 *		The quotas of the workers in shared memory.
 */
#ifndef SLUICE_QUOTAS_H
#define SLUICE_QUOTAS_H

#include "postgres.h"

#include "quota.h"

/* For _PG_init: hooks that ask for the memory. */
extern void sluice_quotas_install(void);

/* A worker begins: it has no calls. */
extern PGDLLEXPORT void sluice_quotas_attach(int worker);

/* One call more of a role or database at this worker; NULL: there is no place to count it. */
extern PGDLLEXPORT SluiceQuota *sluice_quotas_take(uint64 key);

/* Its calls that are counted, at all workers. */
extern PGDLLEXPORT int sluice_quotas_count(uint64 key);

#endif							/* SLUICE_QUOTAS_H */
