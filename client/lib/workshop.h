/*
 * workshop.h
 *		A directory in which a new data.mdb is written, until it takes the old one's place.
 */
#ifndef SLUICE_LIB_WORKSHOP_H
#define SLUICE_LIB_WORKSHOP_H

#include <stdbool.h>

/* Room for the path of anything in it. */
#define SLUICE_WORKSHOP_PATH_MAX 4400

extern bool sluice_workshop_exists(const char *path);
extern void sluice_workshop_remove(const char *workshop);

/* The data.mdb of the directory `from`, as it is now, into a new workshop; nobody writes to it meanwhile.  ERROR_DISK: see errno. */
extern int sluice_workshop_copy(const char *from, const char *workshop);

/* ... is `to` then, in the same directory, whose path is `parent`; durably.  ERROR_DISK: see errno. */
extern int sluice_workshop_rename(const char *parent, const char *from, const char *to);

/* The workshop's data.mdb is the directory's then, durably.  On ERROR_DISK (see errno) it may be, or not. */
extern int sluice_workshop_take_place(const char *workshop, const char *directory);

#endif							/* SLUICE_LIB_WORKSHOP_H */
