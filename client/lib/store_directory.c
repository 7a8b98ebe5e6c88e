/*
 * store_directory.c
 *		The files around LMDB's: the directory, its lock, what is replaced and what is set aside.
 *
 * data.mdb never grows from nothing in its place: it is made complete and synced
 * under another name, then renamed, then the directory is synced.  LMDB's lock.mdb
 * has the number of the last transaction of its data.mdb and goes with it, or
 * another process that has it mapped would hand that number on to the new one.
 */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../sluice.h"

#define SET_ASIDE_TRIES 100

void
sluice_store_path(const SluiceStore *store, const char *name, char path[SLUICE_STORE_PATH_MAX])
{
	snprintf(path, SLUICE_STORE_PATH_MAX, "%s/%s", store->directory, name);
}

static int
fail_path(SluiceStore *store, const char *what, const char *path)
{
	return sluice_store_fail(store, false, errno == ENOMEM ? SLUICE_ERROR_MEMORY : SLUICE_ERROR_DISK,
							 "could not %s \"%s\": %s", what, path, strerror(errno));
}

static int
sync_directory(SluiceStore *store, const char *path)
{
	int			fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			rc = SLUICE_OK;

	if (fd < 0)
		return fail_path(store, "open", path);
	if (fsync(fd) != 0)
		rc = fail_path(store, "sync", path);
	close(fd);
	return rc;
}

int
sluice_store_directory_sync(SluiceStore *store)
{
	int			rc = sync_directory(store, store->directory);

	store->rename_unsynced = rc != SLUICE_OK && store->rename_unsynced;
	return rc;
}

/* Of lock.mdb: LMDB's header and its table of readers, as it is by default. */
#define LOCK_SIZE 8192

int
sluice_store_directory_make(SluiceStore *store)
{
	char		path[SLUICE_STORE_PATH_MAX];
	bool		made = mkdir(store->directory, 0700) == 0;
	int			rc;

	if (!made && errno == ENOENT)
		return sluice_store_fail(store, false, SLUICE_ERROR_DISK,
								 "could not create directory \"%s\": the directory above it is not there", store->directory);
	if (!made && errno != EEXIST)
		return fail_path(store, "create directory", store->directory);
	sluice_store_path(store, "data.mdb", path);
	if (!made && access(path, F_OK) == 0)
		return SLUICE_OK;

	/* Also where another process made it: it may have been killed before this. */
	sluice_store_path(store, "..", path);
	rc = sync_directory(store, path);
	if (rc != SLUICE_OK && made)
		rmdir(store->directory);
	return rc;
}

int
sluice_store_directory_lock(SluiceStore *store)
{
	char		path[SLUICE_STORE_PATH_MAX];

	sluice_store_path(store, "owner", path);
	store->owner = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->owner < 0)
		return fail_path(store, "open", path);
	if (flock(store->owner, LOCK_EX | LOCK_NB) == 0)
		return SLUICE_OK;
	if (errno == EWOULDBLOCK)
		return sluice_store_fail(store, false, SLUICE_ERROR_LOCKED, "the buffer \"%s\" is in use by another process",
								 store->directory);
	return fail_path(store, "lock", path);
}

/*
 * LMDB stores into its mapping of lock.mdb, which it makes as a file of holes: where the disk is full that
 * would be a SIGBUS.  So it finds one that has its blocks.  One that has them is left alone: others may have it
 * mapped.  Who only reads a read-only file system has none.
 */
int
sluice_store_directory_make_lock(SluiceStore *store, bool read_only)
{
	char		path[SLUICE_STORE_PATH_MAX];
	struct stat status;
	int			fd;
	int			rc = 0;

	sluice_store_path(store, "lock.mdb", path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return read_only && errno == EROFS ? SLUICE_OK : fail_path(store, "open", path);
	if (fstat(fd, &status) != 0 || status.st_size < LOCK_SIZE || status.st_blocks * 512 < LOCK_SIZE)
		rc = posix_fallocate(fd, 0, LOCK_SIZE);
	close(fd);
	if (rc == 0)
		return SLUICE_OK;
	errno = rc;
	return fail_path(store, "allocate", path);
}

/* Without anything in it, it is what an interrupted creation by other means left. */
int
sluice_store_directory_look(SluiceStore *store, bool *there)
{
	char		path[SLUICE_STORE_PATH_MAX];
	struct stat status;

	sluice_store_path(store, "data.mdb", path);
	*there = false;
	if (stat(path, &status) != 0)
		return errno == ENOENT || errno == ENOTDIR ? SLUICE_OK : fail_path(store, "look at", path);
	*there = status.st_size > 0;
	return SLUICE_OK;
}

int
sluice_store_directory_remove(SluiceStore *store, const char *name)
{
	char		path[SLUICE_STORE_PATH_MAX];

	sluice_store_path(store, name, path);
	return unlink(path) == 0 || errno == ENOENT ? SLUICE_OK : fail_path(store, "remove", path);
}

int
sluice_store_directory_replace(SluiceStore *store, const char *name, bool *renamed)
{
	char		from[SLUICE_STORE_PATH_MAX];
	char		to[SLUICE_STORE_PATH_MAX];
	int			rc = sluice_store_directory_remove(store, "lock.mdb");

	*renamed = false;
	if (rc != SLUICE_OK)
		return rc;
	sluice_store_path(store, name, from);
	sluice_store_path(store, "data.mdb", to);
	if (rename(from, to) != 0)
		return fail_path(store, "rename", from);
	*renamed = true;
	store->rename_unsynced = true;
	return sluice_store_directory_sync(store);
}

/* A directory that did not exist before: the time, and a number where two came within a second. */
static int
make_aside(SluiceStore *store, char *path)
{
	char		name[SLUICE_STORE_NAME_MAX];
	time_t		now = time(NULL);
	struct tm	utc;

	gmtime_r(&now, &utc);
	for (int try = 1; try <= SET_ASIDE_TRIES; try++)
	{
		size_t		length = strftime(name, sizeof(name), "damaged-%Y%m%dT%H%M%S", &utc);

		if (try > 1)
			snprintf(name + length, sizeof(name) - length, "-%d", try);
		sluice_store_path(store, name, path);
		if (mkdir(path, 0700) == 0)
			return SLUICE_OK;
		if (errno != EEXIST)
			break;
	}
	return fail_path(store, "create directory", path);
}

int
sluice_store_directory_set_aside(SluiceStore *store, char *path, size_t path_size)
{
	char		aside[SLUICE_STORE_PATH_MAX];
	char		from[SLUICE_STORE_PATH_MAX];
	char		to[SLUICE_STORE_PATH_MAX + SLUICE_STORE_NAME_MAX];
	int			rc = sluice_store_directory_remove(store, "lock.mdb");

	if (rc == SLUICE_OK)
		rc = make_aside(store, aside);
	if (rc != SLUICE_OK)
		return rc;

	/* The directory must be there for good before the file is in it. */
	rc = sluice_store_directory_sync(store);
	sluice_store_path(store, "data.mdb", from);
	snprintf(to, sizeof(to), "%s/data.mdb", aside);
	if (rc == SLUICE_OK && rename(from, to) != 0)
		rc = fail_path(store, "set aside", from);
	if (rc != SLUICE_OK)
	{
		rmdir(aside);
		return rc;
	}
	snprintf(path, path_size, "%s", aside);
	rc = sync_directory(store, aside);
	return rc == SLUICE_OK ? sluice_store_directory_sync(store) : rc;
}
