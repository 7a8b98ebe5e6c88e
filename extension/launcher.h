/*
 * launcher.h
 *		The process that starts the workers.
 */
#ifndef SLUICE_LAUNCHER_H
#define SLUICE_LAUNCHER_H

#include "postgres.h"

/* For _PG_init: registers the launcher with the postmaster. */
extern void sluice_launcher_register(void);

extern PGDLLEXPORT void sluice_launcher_main(Datum main_arg);

#endif							/* SLUICE_LAUNCHER_H */
