/*
 * spool.h
 *		The directory of a run's buffer: the user's, or a private one for this run.
 */
#ifndef SLUICE_SPOOL_H
#define SLUICE_SPOOL_H

#include <stdbool.h>

typedef struct SluiceSpool
{
	char	   *directory;
	bool		is_private;
} SluiceSpool;

/* directory: the user's, or NULL: make a private one.  False: errno. */
extern bool sluice_spool_open(SluiceSpool *spool, const char *directory);

/* A private one goes, with what is in it, unless it is to be kept. */
extern void sluice_spool_close(SluiceSpool *spool, bool keep);

#endif							/* SLUICE_SPOOL_H */
