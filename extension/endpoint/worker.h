/*
 * worker.h
 *		The main thread of a worker.
 */
#ifndef SLUICE_WORKER_H
#define SLUICE_WORKER_H

#include "postgres.h"

extern PGDLLEXPORT void sluice_worker_main(Datum main_arg);

#endif							/* SLUICE_WORKER_H */
