/*
 * store_registry.c
 *		The directories whose stores this process has open.
 *
 * LMDB's locks are those of fcntl(): they belong to the process, and go as soon as it
 * closes any descriptor of lock.mdb.  Whoever only looked at a buffer that is open in the same process
 * would take its locks away, and the next process would make lock.mdb anew under it.
 *
 * A directory is known by device and inode, whatever path leads to it.  A child has none of its
 * parent's locks and does not count its parent's stores.
 */
#include "store_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sluice.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static SluiceStore *registered;

/* Lock held. */
static bool
is_open_here(const SluiceStoreIdentity *identity)
{
	for (const SluiceStore *store = registered; store != NULL; store = store->next_registered)
	{
		if (store->identity.device == identity->device && store->identity.inode == identity->inode &&
			store->identity.process == identity->process)
			return true;
	}
	return false;
}

int
sluice_store_register(SluiceStore *store)
{
	struct stat status;
	bool		open_here;

	if (stat(store->directory, &status) != 0)
		return sluice_store_fail(store, false, SLUICE_ERROR_DISK, "could not look at \"%s\": %s", store->directory, strerror(errno));
	store->identity = (SluiceStoreIdentity) {status.st_dev, status.st_ino, getpid()};
	pthread_mutex_lock(&registry_lock);
	open_here = is_open_here(&store->identity);
	if (!open_here)
	{
		store->next_registered = registered;
		registered = store;
		store->is_registered = true;
	}
	pthread_mutex_unlock(&registry_lock);
	return open_here ? sluice_store_fail(store, false, SLUICE_ERROR_LOCKED, "the buffer \"%s\" is in use by this process",
										 store->directory) : SLUICE_OK;
}

void
sluice_store_unregister(SluiceStore *store)
{
	SluiceStore **link = &registered;

	if (!store->is_registered)
		return;
	pthread_mutex_lock(&registry_lock);
	while (*link != store)
		link = &(*link)->next_registered;
	*link = store->next_registered;
	pthread_mutex_unlock(&registry_lock);
	store->is_registered = false;
}
