/*
 * standbys.h
 *		The wait for synchronous standbys, as a verdict needs it.
 */
#ifndef SLUICE_STANDBYS_H
#define SLUICE_STANDBYS_H

#include "postgres.h"

#include "access/xlogdefs.h"

/*
 * COMMIT has waited for the standbys, but a cancel ends that wait with nothing
 * but a warning.  A verdict must not: wait again, until they have it.  False: we
 * are told to stop, and nothing may be told of what was committed.
 */
extern bool sluice_standbys_confirm(XLogRecPtr lsn);

#endif							/* SLUICE_STANDBYS_H */
