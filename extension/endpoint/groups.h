/*
 * groups.h
 *		The records of a batch, by stream and by the role of their clients.
 */
#ifndef SLUICE_GROUPS_H
#define SLUICE_GROUPS_H

#include "postgres.h"

#include "backlog.h"
#include "ingest.h"

/* Ascending by stream, palloc'ed; the records may be the portions' own array. */
extern SluiceGroup *sluice_groups_make(const SluicePortion *portions, int nportions, int *ngroups);

#endif							/* SLUICE_GROUPS_H */
