/*
 * keeper.h
 *		The short-lived process that rotates the generations of keys.
 */
#ifndef SLUICE_KEEPER_H
#define SLUICE_KEEPER_H

#include "postgres.h"

extern PGDLLEXPORT void sluice_keeper_main(Datum arg);

/* Start a keeper for this database; it does what is due and ends.  The worker calls it about once a minute. */
extern PGDLLEXPORT void sluice_keeper_start(void);

#endif							/* SLUICE_KEEPER_H */
