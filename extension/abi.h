/*
 * abi.h
 *		The number that ties the endpoint to the light library.
 *
 * The postmaster keeps the light library that it loaded at its start; a worker
 * started after an upgrade of the package maps the new endpoint beside it.
 * The endpoint compares the number that it was compiled with to the one that the
 * light library in memory returns, before it touches anything else of it.
 *
 * Raise the number whenever something changes that both sides see: a function
 * exported with PGDLLEXPORT, a structure in shared memory, a record, a setting.
 */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include "postgres.h"

#define SLUICE_ABI 4

extern PGDLLEXPORT int sluice_abi(void);

#endif							/* SLUICE_ABI_H */
