/*
 * lookup.h
 *		Clients that wait for the name of their address.
 */
#ifndef SLUICE_LOOKUP_H
#define SLUICE_LOOKUP_H

#include "postgres.h"

#include "errand.h"
#include "record.h"

typedef struct SluiceLookups SluiceLookups;

/* Is it settled already?  begun_at: when it was added, on the main thread's clock. */
typedef bool (*SluiceLookupsSettled) (void *argument, SluiceRecord *record, int64 begun_at);

/* The thread is that of the look-ups alone. */
extern SluiceLookups *sluice_lookups_create(SluiceErrands *thread);

/* proven: for whoever takes it.  False: too many of its address wait. */
extern bool sluice_lookups_add(SluiceLookups *lookups, SluiceRecord *record, bool proven);

/* One that waits no more, for its login has the name; NULL: none. */
extern SluiceRecord *sluice_lookups_take(SluiceLookups *lookups, bool *proven);

/* Forget those that are settled; never waits for a look-up. */
extern void sluice_lookups_sweep(SluiceLookups *lookups, SluiceLookupsSettled settled, void *argument);

/* Does anybody wait? */
extern bool sluice_lookups_pending(const SluiceLookups *lookups);

#endif							/* SLUICE_LOOKUP_H */
