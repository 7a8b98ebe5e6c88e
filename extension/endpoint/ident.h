/*
 * ident.h
 *		Which names of certificates may log in as which roles: pg_ident.conf.
 */
#ifndef SLUICE_IDENT_H
#define SLUICE_IDENT_H

#include "postgres.h"

/* Read the file anew; with a mistake in it that is logged, and what was read before stays. */
extern void sluice_ident_load(void);

/* May the owner of a certificate log in as the role?  map NULL: names are equal.  All in the server's encoding. */
extern bool sluice_ident_permits(const char *map, const char *role, const char *name);

#endif							/* SLUICE_IDENT_H */
