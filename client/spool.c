/*
 * spool.c
 *		The directory of a run's buffer: the user's, or a private one for this run.
 */
#include "spool.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define NAME "sluice-send-XXXXXX"

/* Where temporary files are. */
static const char *
parent(void)
{
	const char *directory = getenv("TMPDIR");

	return directory != NULL && *directory != '\0' ? directory : "/tmp";
}

bool
sluice_spool_open(SluiceSpool *spool, const char *directory)
{
	const char *where = directory != NULL ? directory : parent();
	size_t		size = strlen(where) + sizeof("/" NAME);

	spool->is_private = directory == NULL;
	spool->directory = sluice_memory_get(size);
	snprintf(spool->directory, size, "%s%s", where, spool->is_private ? "/" NAME : "");
	if (!spool->is_private || mkdtemp(spool->directory) != NULL)
		return true;
	free(spool->directory);
	spool->directory = NULL;
	return false;
}

static int
remove_entry(const char *path, const struct stat *status, int kind, struct FTW *position)
{
	(void) status;
	(void) kind;
	(void) position;
	remove(path);
	return 0;
}

void
sluice_spool_close(SluiceSpool *spool, bool keep)
{
	if (spool->is_private && !keep)
		nftw(spool->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(spool->directory);
	spool->directory = NULL;
}
