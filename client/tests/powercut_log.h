/*
 * powercut_log.h
 *		What the recorder (powercut.c) writes and the test (powercut.h) reads: heads, each with its bytes behind it.
 */
#ifndef SLUICE_TESTS_POWERCUT_LOG_H
#define SLUICE_TESTS_POWERCUT_LOG_H

#include <stdint.h>

typedef enum PowercutKind
{
	POWERCUT_CREATE = 1,		/* bytes: path; file: its number */
	POWERCUT_MKDIR,				/* bytes: path */
	POWERCUT_RENAME,			/* bytes: path, NUL, path */
	POWERCUT_UNLINK,			/* bytes: path */
	POWERCUT_WRITE,				/* bytes: data; offset, synced */
	POWERCUT_TRUNCATE,			/* offset: the new size */
	POWERCUT_SYNC,				/* of a file */
	POWERCUT_SYNC_DIRECTORY,	/* bytes: path, "" the directory itself */
	POWERCUT_MARK				/* offset: the number given */
} PowercutKind;

typedef struct PowercutEvent
{
	uint32_t	kind;
	int32_t		file;
	uint64_t	offset;
	uint32_t	length;			/* of the bytes behind it */
	uint32_t	synced;			/* O_SYNC, O_DSYNC */
} PowercutEvent;

#endif							/* SLUICE_TESTS_POWERCUT_LOG_H */
