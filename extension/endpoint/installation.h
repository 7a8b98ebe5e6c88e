/*
 * installation.h
 *		Whether the extension is installed in the worker's database.
 */
#ifndef SLUICE_INSTALLATION_H
#define SLUICE_INSTALLATION_H

#include "postgres.h"

/*
 * The OID of the extension where it is installed and can be served, else
 * InvalidOid.  It tells one installation from the next.  *failed: could not
 * find out, an error was logged.  Runs transactions of its own.
 */
extern Oid	sluice_installation_look(bool *failed);

/* From now on, notice what happens to the extension's tables; invalidations have to be accepted for that. */
extern void sluice_installation_watch(void);

/* Has something happened to them, so that another look is due?  Asking clears it. */
extern bool sluice_installation_changed(void);

#endif							/* SLUICE_INSTALLATION_H */
