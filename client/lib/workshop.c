/*
 * workshop.c
 *		A directory in which a new data.mdb is written, until it takes the old one's place.
 */
#include "workshop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sluice.h"
#include "store_internal.h"

bool
sluice_workshop_exists(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0;
}

void
sluice_workshop_remove(const char *workshop)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "owner", SLUICE_STORE_NEW_FILE, SLUICE_STORE_COMPACT_FILE};
	char		path[SLUICE_WORKSHOP_PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		snprintf(path, sizeof(path), "%s/%s", workshop, names[i]);
		unlink(path);
	}
	rmdir(workshop);
}

static int
sync_directory(const char *directory)
{
	int			fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int			rc = fd >= 0 ? fsync(fd) : -1;
	int			before = errno;

	if (fd >= 0)
		close(fd);
	errno = before;
	return rc == 0 ? SLUICE_OK : SLUICE_ERROR_DISK;
}

static bool
write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0)
	{
		ssize_t		n = write(fd, bytes, length);

		if (n <= 0)
		{
			errno = n == 0 ? ENOSPC : errno;
			return false;
		}
		bytes += n;
		length -= (size_t) n;
	}
	return true;
}

static bool
copy_bytes(int from, int to)
{
	char		bytes[16384];
	ssize_t		n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0)
	{
		if (!write_all(to, bytes, (size_t) n))
			return false;
	}
	return n == 0 && fsync(to) == 0;
}

int
sluice_workshop_copy(const char *from, const char *workshop)
{
	char		path[SLUICE_WORKSHOP_PATH_MAX];
	int			in;
	int			out = -1;
	bool		good;
	int			before;

	snprintf(path, sizeof(path), "%s/data.mdb", from);
	in = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/data.mdb", workshop);
	if (in >= 0 && mkdir(workshop, 0700) == 0)
		out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	good = out >= 0 && copy_bytes(in, out);
	before = errno;
	if (out >= 0)
		close(out);
	if (in >= 0)
		close(in);
	errno = before;
	return good ? sync_directory(workshop) : SLUICE_ERROR_DISK;
}

int
sluice_workshop_rename(const char *parent, const char *from, const char *to)
{
	return rename(from, to) == 0 ? sync_directory(parent) : SLUICE_ERROR_DISK;
}

int
sluice_workshop_take_place(const char *workshop, const char *directory)
{
	char		from[SLUICE_WORKSHOP_PATH_MAX];
	char		to[SLUICE_WORKSHOP_PATH_MAX];

	/* Numbers of transactions in it are the old file's. */
	snprintf(from, sizeof(from), "%s/lock.mdb", directory);
	if (unlink(from) != 0 && errno != ENOENT)
		return SLUICE_ERROR_DISK;
	snprintf(from, sizeof(from), "%s/data.mdb", workshop);
	snprintf(to, sizeof(to), "%s/data.mdb", directory);
	if (rename(from, to) != 0 || sync_directory(directory) != SLUICE_OK)
		return SLUICE_ERROR_DISK;
	return sync_directory(workshop);
}
