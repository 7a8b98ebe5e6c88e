/*
 * allocation.h
 *		Lets the n-th allocation of the objects that are linked with this fail.
 */
#ifndef SLUICE_TESTS_ALLOCATION_H
#define SLUICE_TESTS_ALLOCATION_H

#include <stdbool.h>

/* The n-th one from now, from 1; 0: none. */
extern void allocation_fail(long n);

/* Has it come to that? */
extern bool allocation_failed(void);

#endif							/* SLUICE_TESTS_ALLOCATION_H */
