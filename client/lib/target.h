/*
 * target.h
 *		A target string: server, role, password, stream and options in one.
 *
 *	sluice://[user[:password]@][host[:port]][,host2[:port2]...][/stream][?option=value[&option=value...]]
 *
 * What stands for itself but has a meaning there (: / ? @ & % ,) is written %XX.
 */
#ifndef SLUICE_LIB_TARGET_H
#define SLUICE_LIB_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* Of these an option may be named in front of the "?", or as a parameter, once. */
#define SLUICE_TARGET_PAIRS_MAX 64

typedef struct SluiceTargetPair
{
	const char *name;			/* of an option: not looked at here */
	const char *value;
} SluiceTargetPair;

typedef struct SluiceTarget
{
	SluiceTargetPair pairs[SLUICE_TARGET_PAIRS_MAX];
	size_t		count;
	char	   *memory;			/* the strings */
	size_t		size;
} SluiceTarget;

/* Is this a target string, good or bad? */
extern bool sluice_target_is(const char *text);

/*
 * ERROR_OPTION, ERROR_MEMORY: nothing is to be released.  No error quotes what is in front of the
 * hosts, nor anything that could have been meant to be there.
 */
extern int sluice_target_read(const char *text, SluiceTarget *target, SluiceError *error);

/* Nothing of it stays in memory: there may be a password in it. */
extern void sluice_target_release(SluiceTarget *target);

#endif							/* SLUICE_LIB_TARGET_H */
