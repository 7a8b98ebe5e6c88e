/*
 * connections.h
 *		The boards of the workers in shared memory: a slot for each open call.
 */
#ifndef SLUICE_CONNECTIONS_H
#define SLUICE_CONNECTIONS_H

#include "postgres.h"

#include "connection.h"

/* For _PG_init: hooks that ask for the memory. */
extern void sluice_connections_install(void);

/* A worker's board, cleared; to be taken before the worker says which database it is connected to. */
extern PGDLLEXPORT SluiceConnectionSlot *sluice_connections_attach(int worker);

/* Copy what a slot of a worker that runs shows; false: it is free. */
extern bool sluice_connections_read(int worker, int slot, SluiceConnection *connection);

#endif							/* SLUICE_CONNECTIONS_H */
