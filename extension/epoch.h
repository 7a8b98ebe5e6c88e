/*
 * epoch.h
 *		Numbers that tell one opening or activation from every other one.
 */
#ifndef SLUICE_EPOCH_H
#define SLUICE_EPOCH_H

#include "postgres.h"

/* The one that follows: never one that was there before, also where the server has lost the last ones. */
extern PGDLLEXPORT uint64 sluice_epoch_next(uint64 epoch);

#endif							/* SLUICE_EPOCH_H */
