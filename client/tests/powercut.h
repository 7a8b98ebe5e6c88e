/*
 * powercut.h
 *		Directories as a power cut leaves them, built from the log of powercut.c.
 *
 * What counts as on disk: of a file, what was written before its last fsync or
 * fdatasync (or through a descriptor with O_DSYNC); of names (created, renamed,
 * removed), what was done before the last fsync of their directory.  Of the
 * rest a cut takes all, some, or nothing: writes one by one at random, names from
 * the last one back.
 *
 *	Powercut	log;
 *	powercut_read(&log, path);
 *	for (size_t n = 0; n <= log.nevents; n++)
 *		powercut_build(&log, n, POWERCUT_RANDOM, seed, directory);	... open it, compare with powercut_mark(&log, n)
 */
#ifndef SLUICE_TESTS_POWERCUT_H
#define SLUICE_TESTS_POWERCUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "powercut_log.h"

#define POWERCUT_FILES 256
#define POWERCUT_NAMES 64
#define POWERCUT_DEPTH 4

typedef enum PowercutRest
{
	POWERCUT_NOTHING,			/* of what was not synced is there */
	POWERCUT_RANDOM,
	POWERCUT_ALL				/* as after the death of the process */
} PowercutRest;

typedef struct Powercut
{
	uint8_t    *bytes;			/* the whole log */
	const PowercutEvent **events;
	size_t		nevents;
} Powercut;

typedef struct PowercutFile
{
	uint8_t    *bytes;
	size_t		size;
	size_t		synced;			/* writes to it before this event are on disk */
} PowercutFile;

typedef struct PowercutName
{
	char		path[256];
	int			file;			/* 0: unused, -1: a directory */
} PowercutName;

typedef struct PowercutImage
{
	PowercutFile files[POWERCUT_FILES];
	PowercutName names[POWERCUT_NAMES];
} PowercutImage;

static inline void
powercut_read(Powercut *log, const char *path)
{
	FILE	   *file = fopen(path, "rb");
	struct stat status;
	size_t		at = 0;

	if (file == NULL || fstat(fileno(file), &status) != 0)
		exit(2);
	log->bytes = malloc((size_t) status.st_size + 1);
	log->events = calloc((size_t) status.st_size / sizeof(PowercutEvent) + 1, sizeof(log->events[0]));
	log->nevents = 0;
	if (log->bytes == NULL || log->events == NULL ||
		fread(log->bytes, 1, (size_t) status.st_size, file) != (size_t) status.st_size)
		exit(2);
	fclose(file);

	/* A head lies at any address: a copy of it, and behind that where its bytes are. */
	while (at + sizeof(PowercutEvent) <= (size_t) status.st_size)
	{
		PowercutEvent *event = malloc(sizeof(PowercutEvent) + sizeof(uint8_t *));
		uint8_t    *behind = log->bytes + at + sizeof(PowercutEvent);

		if (event == NULL)
			exit(2);
		memcpy(event, log->bytes + at, sizeof(*event));
		memcpy(event + 1, &behind, sizeof(behind));
		log->events[log->nevents++] = event;
		at += sizeof(PowercutEvent) + event->length;
	}
}

static inline void
powercut_free(Powercut *log)
{
	for (size_t i = 0; i < log->nevents; i++)
		free((void *) log->events[i]);
	free(log->events);
	free(log->bytes);
}

static inline const uint8_t *
powercut_bytes(const PowercutEvent *event)
{
	const uint8_t *bytes;

	memcpy(&bytes, event + 1, sizeof(bytes));
	return bytes;
}

/* The last number that was marked before event n; 0: none. */
static inline uint64_t
powercut_mark(const Powercut *log, size_t n)
{
	while (n-- > 0)
		if (log->events[n]->kind == POWERCUT_MARK)
			return log->events[n]->offset;
	return 0;
}

static inline void
powercut_resize(PowercutFile *file, size_t size)
{
	uint8_t    *bytes = realloc(file->bytes, size + 1);

	if (bytes == NULL)
		exit(2);
	if (size > file->size)
		memset(bytes + file->size, 0, size - file->size);
	file->bytes = bytes;
	file->size = size;
}

static inline void
powercut_apply_data(PowercutImage *image, const PowercutEvent *event)
{
	PowercutFile *file = &image->files[event->file];

	if (event->kind == POWERCUT_TRUNCATE)
	{
		powercut_resize(file, event->offset);
		return;
	}
	if (event->offset + event->length > file->size)
		powercut_resize(file, event->offset + event->length);
	memcpy(file->bytes + event->offset, powercut_bytes(event), event->length);
}

static inline PowercutName *
powercut_name(PowercutImage *image, const char *path, bool make)
{
	PowercutName *unused = NULL;

	for (int i = 0; i < POWERCUT_NAMES; i++)
	{
		if (image->names[i].file != 0 && strcmp(image->names[i].path, path) == 0)
			return &image->names[i];
		if (image->names[i].file == 0)
			unused = &image->names[i];
	}
	if (!make)
		return NULL;
	if (unused == NULL)
		exit(2);
	snprintf(unused->path, sizeof(unused->path), "%s", path);
	return unused;
}

/* What is in a directory goes with it. */
static inline void
powercut_move_below(PowercutImage *image, const char *from, const char *to)
{
	size_t		length = strlen(from);
	char		path[sizeof(image->names[0].path)];

	for (int i = 0; i < POWERCUT_NAMES; i++)
	{
		PowercutName *name = &image->names[i];

		if (name->file == 0 || strncmp(name->path, from, length) != 0 || name->path[length] != '/')
			continue;
		if (snprintf(path, sizeof(path), "%s%s", to, name->path + length) >= (int) sizeof(path))
			exit(2);
		memcpy(name->path, path, sizeof(path));
	}
}

static inline void
powercut_apply_name(PowercutImage *image, const PowercutEvent *event)
{
	const char *path = (const char *) powercut_bytes(event);
	PowercutName *name = powercut_name(image, path, event->kind == POWERCUT_CREATE || event->kind == POWERCUT_MKDIR);

	if (event->kind == POWERCUT_CREATE)
		name->file = event->file;
	else if (event->kind == POWERCUT_MKDIR)
		name->file = -1;
	else if (name != NULL)
	{
		int			file = name->file;

		name->file = 0;
		if (event->kind != POWERCUT_RENAME)
			return;
		powercut_name(image, path + strlen(path) + 1, true)->file = file;
		powercut_move_below(image, path, path + strlen(path) + 1);
	}
}

static inline bool
powercut_is_name(const PowercutEvent *event)
{
	return event->kind >= POWERCUT_CREATE && event->kind <= POWERCUT_UNLINK;
}

static inline bool
powercut_is_in(const char *path, const char *directory)
{
	const char *slash = strrchr(path, '/');
	size_t		length = slash != NULL ? (size_t) (slash - path) : 0;

	return strlen(directory) == length && strncmp(path, directory, length) == 0;
}

/* Is the name on disk by a sync before event n?  A rename is by that of either directory. */
static inline bool
powercut_name_is_synced(const Powercut *log, size_t i, size_t n)
{
	const char *path = (const char *) powercut_bytes(log->events[i]);

	for (size_t j = i + 1; j < n; j++)
	{
		const char *directory = (const char *) powercut_bytes(log->events[j]);

		if (log->events[j]->kind == POWERCUT_SYNC_DIRECTORY &&
			(powercut_is_in(path, directory) ||
			 (log->events[i]->kind == POWERCUT_RENAME && powercut_is_in(path + strlen(path) + 1, directory))))
			return true;
	}
	return false;
}

static inline uint64_t
powercut_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *seed >> 33;
}

static inline void
powercut_apply(PowercutImage *image, const Powercut *log, size_t n, PowercutRest rest, uint64_t seed)
{
	bool		names_end = false;

	for (size_t i = 0; i < n; i++)
		if (log->events[i]->kind == POWERCUT_SYNC)
			image->files[log->events[i]->file].synced = i;
	for (size_t i = 0; i < n; i++)
	{
		const PowercutEvent *event = log->events[i];

		if (powercut_is_name(event))
		{
			if (powercut_name_is_synced(log, i, n))
				powercut_apply_name(image, event);
			else
			{
				names_end = names_end || rest == POWERCUT_NOTHING || (rest == POWERCUT_RANDOM && powercut_random(&seed) % 3 == 0);
				if (!names_end)
					powercut_apply_name(image, event);
			}
		}
		else if ((event->kind == POWERCUT_WRITE || event->kind == POWERCUT_TRUNCATE) &&
				 (i < image->files[event->file].synced || event->synced || rest == POWERCUT_ALL ||
				  (rest == POWERCUT_RANDOM && powercut_random(&seed) % 2 == 0)))
			powercut_apply_data(image, event);
	}
}

static inline void
powercut_write(const PowercutImage *image, const char *directory)
{
	char		path[1024];

	mkdir(directory, 0700);
	/* A directory may come before the one that it is in. */
	for (int pass = 0; pass < POWERCUT_DEPTH * POWERCUT_NAMES; pass++)
	{
		const PowercutName *name = &image->names[pass % POWERCUT_NAMES];

		if (name->file != -1)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, name->path);
		mkdir(path, 0700);
	}
	for (int i = 0; i < POWERCUT_NAMES; i++)
	{
		const PowercutFile *content = &image->files[image->names[i].file > 0 ? image->names[i].file : 0];
		FILE	   *file;

		if (image->names[i].file <= 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, image->names[i].path);

		/* Not there: the directory that it is in was lost. */
		file = fopen(path, "wb");
		if (file == NULL)
			continue;
		if (fwrite(content->bytes, 1, content->size, file) != content->size || fclose(file) != 0)
			exit(2);
	}
}

/* The directory (new, or empty) as it can be after a cut before event n. */
static inline void
powercut_build(const Powercut *log, size_t n, PowercutRest rest, uint64_t seed, const char *directory)
{
	PowercutImage *image = calloc(1, sizeof(*image));

	if (image == NULL)
		exit(2);
	powercut_apply(image, log, n, rest, seed);
	powercut_write(image, directory);
	for (int i = 0; i < POWERCUT_FILES; i++)
		free(image->files[i].bytes);
	free(image);
}

#endif							/* SLUICE_TESTS_POWERCUT_H */
