/*
 * store_meta.c
 *		The meta pages of LMDB's file.
 */
#include "store_pages.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sluice.h"
#include "store_format.h"

int
sluice_pages_read(int fd, void *bytes, size_t length, uint64_t offset, SluiceError *error)
{
	uint8_t    *out = bytes;

	while (length > 0)
	{
		ssize_t		got = pread(fd, out, length, (off_t) offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return sluice_error_set(error, SLUICE_ERROR_DISK, "could not read data.mdb: %s", strerror(errno));
		if (got == 0)
			return sluice_error_set(error, SLUICE_ERROR_DAMAGED, "data.mdb is cut short, at %llu bytes",
									(unsigned long long) offset);
		out += got;
		offset += (uint64_t) got;
		length -= (size_t) got;
	}
	return SLUICE_OK;
}

static bool
page_size_is_good(size_t size)
{
	return size >= PAGE_SIZE_MIN && size <= PAGE_SIZE_MAX && (size & (size - 1)) == 0;
}

static int
read_meta(int fd, uint64_t offset, size_t number, Meta *meta, SluiceError *error)
{
	uint8_t		bytes[HEAD_SIZE + sizeof(Meta)];
	PageHead	head;
	int			rc = sluice_pages_read(fd, bytes, sizeof(bytes), offset, error);

	if (rc != SLUICE_OK)
		return rc;
	memcpy(&head, bytes, HEAD_SIZE);
	memcpy(meta, bytes + HEAD_SIZE, sizeof(*meta));
	if (head.number != number || head.flags != PAGE_META || meta->magic != FILE_MAGIC)
		return sluice_error_set(error, SLUICE_ERROR_DAMAGED, "page %zu of data.mdb is no meta page", number);
	if (!page_size_is_good(meta->free.pad))
		return sluice_error_set(error, SLUICE_ERROR_DAMAGED, "meta page %zu of data.mdb has a bad page size", number);
	return SLUICE_OK;
}

int
sluice_pages_metas(int fd, Meta metas[2], SluiceError *error)
{
	int			rc = read_meta(fd, 0, 0, &metas[0], error);
	size_t		first, second;

	if (rc == SLUICE_OK)
		rc = read_meta(fd, metas[0].free.pad, 1, &metas[1], error);
	if (rc != SLUICE_OK)
		return rc;
	if (metas[0].version != metas[1].version || metas[0].free.pad != metas[1].free.pad)
		return sluice_error_set(error, SLUICE_ERROR_DAMAGED, "the meta pages of data.mdb contradict each other");
	if (metas[0].version != FILE_VERSION)
		return sluice_error_set(error, SLUICE_ERROR_VERSION, "data.mdb was written by another version of LMDB");
	first = metas[0].transaction;
	second = metas[1].transaction;
	if ((first & 1) != 0 || (second & 1) == 0 || (first != second + 1 && second != first + 1))
		return sluice_error_set(error, SLUICE_ERROR_DAMAGED, "the meta pages of data.mdb do not follow each other");
	return SLUICE_OK;
}

int
sluice_pages_last(int fd, const Meta *meta, uint64_t *file_size, SluiceError *error)
{
	struct stat status;
	size_t		page_size = meta->free.pad;

	if (fstat(fd, &status) != 0)
		return sluice_error_set(error, SLUICE_ERROR_DISK, "could not read data.mdb: %s", strerror(errno));
	*file_size = (uint64_t) status.st_size;
	if (meta->last_page < 1 || meta->last_page / (page_size / sizeof(size_t)) > *file_size / page_size)
		return sluice_error_set(error, SLUICE_ERROR_DAMAGED, "the meta page of data.mdb has a bad last page");
	return SLUICE_OK;
}

static const Meta *
newer_meta(const Meta metas[2])
{
	return metas[0].transaction > metas[1].transaction ? &metas[0] : &metas[1];
}

int
sluice_pages_meta(int fd, SluicePagesMeta *meta, SluiceError *error)
{
	Meta		metas[2];
	const Meta *newer;
	uint64_t	file_size;
	size_t		least;
	int			rc = sluice_pages_metas(fd, metas, error);

	if (rc != SLUICE_OK)
		return rc;
	newer = newer_meta(metas);
	if ((rc = sluice_pages_last(fd, newer, &file_size, error)) != SLUICE_OK)
		return rc;
	least = (newer->last_page + 1) * newer->free.pad;
	meta->transaction = newer->transaction;
	meta->page_size = newer->free.pad;
	meta->map_size = newer->map_size > least && newer->map_size <= MAP_SIZE_MAX ? newer->map_size : least;
	return SLUICE_OK;
}

/*
 * LMDB does the same when the write of a meta page fails: the page gets the
 * number of the transaction that was there before, so that the other one is newer.
 */
int
sluice_pages_roll_back(int fd, size_t transaction, SluiceError *error)
{
	Meta		metas[2];
	const Meta *newer;
	size_t		before = transaction - 1;
	off_t		offset;
	int			rc = sluice_pages_metas(fd, metas, error);

	if (rc != SLUICE_OK)
		return rc;
	newer = newer_meta(metas);
	if (newer->transaction == transaction)
		return SLUICE_OK;
	if (newer->transaction != transaction + 1 || transaction == 0)
		return sluice_error_set(error, SLUICE_ERROR_DAMAGED, "another process has written to data.mdb");
	offset = (off_t) ((newer == &metas[0] ? 0 : newer->free.pad) + HEAD_SIZE + offsetof(Meta, transaction));
	if (pwrite(fd, &before, sizeof(before), offset) != (ssize_t) sizeof(before) || fdatasync(fd) != 0)
		return sluice_error_set(error, SLUICE_ERROR_DISK, "could not write data.mdb: %s", strerror(errno));
	return SLUICE_OK;
}
