/*
 * store_pages.h
 *		LMDB's pages, looked at before LMDB trusts them.
 *
 * LMDB reads its file through a mapping and believes what is in it: a page
 * that a disk gave back wrong, or a file cut short, ends the process with a
 * signal.  So every page in use is read here first, with pread(), and what LMDB relies on is checked.
 */
#ifndef SLUICE_LIB_STORE_PAGES_H
#define SLUICE_LIB_STORE_PAGES_H

#include <stddef.h>

#include "error.h"

/* The newer one of the two meta pages. */
typedef struct SluicePagesMeta
{
	size_t		transaction;
	size_t		page_size;
	size_t		map_size;		/* that the file asks for; at least what it needs */
} SluicePagesMeta;

/* ERROR_DAMAGED, ERROR_VERSION, ERROR_DISK. */
extern int sluice_pages_meta(int fd, SluicePagesMeta *meta, SluiceError *error);

/*
 * Walk everything as of this transaction, which nobody must overwrite
 * meanwhile: LMDB must hold it (a reading transaction), or nobody write.
 * leaked: pages that nothing accounts for.
 */
extern int sluice_pages_check(int fd, size_t transaction, size_t *leaked, SluiceError *error);

/* Make `transaction` the newer one again where the one after it was written by a commit that failed. */
extern int sluice_pages_roll_back(int fd, size_t transaction, SluiceError *error);

#endif							/* SLUICE_LIB_STORE_PAGES_H */
