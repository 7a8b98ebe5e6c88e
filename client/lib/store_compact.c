/*
 * store_compact.c
 *		Giving disk space back: a compact copy takes the place of data.mdb.
 *
 * Whatever fails before the rename leaves everything as it was; the copy, if any,
 * is removed now or when the store is opened next.  What fails after it is tried again before anything is written.
 */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../sluice.h"
#include "store_pages.h"

static int
copy_to(SluiceStore *store, const char *path, size_t *transaction)
{
	SluicePagesMeta meta = {0};
	SluiceError error = {""};
	int			fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int			rc;

	if (fd < 0)
		return sluice_store_fail(store, false, SLUICE_ERROR_DISK, "could not create \"%s\": %s", path, strerror(errno));
	rc = mdb_env_copyfd2(store->env, fd, MDB_CP_COMPACT);
	if (rc == 0 && fsync(fd) != 0)
		rc = errno;
	if (rc != 0)
		rc = sluice_store_fail_lmdb(store, false, rc, "copy the buffer");
	else if ((rc = sluice_pages_meta(fd, &meta, &error)) != SLUICE_OK)
		sluice_store_fail(store, false, rc, "%s", error.text);
	if (close(fd) != 0 && rc == SLUICE_OK)
		rc = sluice_store_fail(store, false, SLUICE_ERROR_DISK, "could not write \"%s\": %s", path, strerror(errno));
	*transaction = meta.transaction;
	return rc;
}

static int
compact(SluiceStore *store)
{
	char		path[SLUICE_STORE_PATH_MAX];
	size_t		transaction = 0;
	bool		renamed = false;
	int			dead;
	int			rc = sluice_store_directory_remove(store, SLUICE_STORE_COMPACT_FILE);
	int			reopened;

	if (rc != SLUICE_OK)
		return rc;
	mdb_reader_check(store->env, &dead);
	sluice_store_path(store, SLUICE_STORE_COMPACT_FILE, path);
	rc = copy_to(store, path, &transaction);
	if (rc == SLUICE_OK)
	{
		sluice_store_close_env(store);
		rc = sluice_store_directory_replace(store, SLUICE_STORE_COMPACT_FILE, &renamed);
		if (renamed)
			store->committed = transaction;
		reopened = sluice_store_reopen(store);
		rc = rc == SLUICE_OK ? reopened : rc;
	}
	if (!renamed)
		unlink(path);
	return rc;
}

int
sluice_store_compact(SluiceStore *store)
{
	int			rc;

	if (store->writing != NULL || store->mode == SLUICE_STORE_INSPECT || store->mode == SLUICE_STORE_PEEK)
		return sluice_store_fail(store, false, SLUICE_ERROR_INVALID, "the buffer cannot be compacted now");
	if (pthread_rwlock_trywrlock(&store->env_lock) != 0)
		return sluice_store_fail(store, false, SLUICE_ERROR_LOCKED, "the buffer is being read and cannot be compacted now");
	rc = store->env == NULL ? sluice_store_reopen(store) : SLUICE_OK;
	if (rc == SLUICE_OK)
		rc = compact(store);
	pthread_rwlock_unlock(&store->env_lock);
	return rc;
}
