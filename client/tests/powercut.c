/*
 * powercut.c
 *		Records what a process writes below a directory, and when it syncs (LD_PRELOAD).
 *
 *	SLUICE_POWERCUT=directory:log
 *		directory	an empty one, without symbolic links in its path; a buffer is made in it
 *		log			file that the events are appended to (powercut_log.h)
 *
 * Recorded are open (that creates or truncates), write, pwrite, writev, pwritev,
 * ftruncate, rename, unlink, rmdir, mkdir, fsync, fdatasync, and opens with O_SYNC or O_DSYNC.
 * Not recorded is what is written through a mapping (it is never synced here: a
 * power cut takes it).  All calls are made one after the other, in the order of the log.  One process.
 *
 * sluice_powercut_mark(number), found with dlsym(RTLD_DEFAULT, "sluice_powercut_mark"),
 * puts a number into the log: what was promised by then.
 *
 * From the log powercut.h builds the directory as a power cut after any event can leave it:
 * what was synced, and of what was not synced nothing, something, or all.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "powercut_log.h"

#define FDS 1024
#define NAMES 256

extern void sluice_powercut_mark(uint64_t number);

typedef struct Open
{
	int			file;			/* 0: not recorded; -1: a directory */
	bool		synced;
	char		path[256];		/* of a directory */
} Open;

typedef struct Name
{
	char		path[256];		/* "": unused */
	int			file;
} Name;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char directory[PATH_MAX];
static size_t directory_length;
static int	log_fd = -1;
static Open opens[FDS];
static Name names[NAMES];
static int	files;

#define NEXT(name) \
	static __typeof__(&name) next; \
	if (next == NULL) \
		next = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

static ssize_t
next_write(int fd, const void *bytes, size_t length)
{
	NEXT(write);
	return next(fd, bytes, length);
}

static int
next_open(const char *path, int flags, mode_t mode)
{
	NEXT(open);
	return next(path, flags, mode);
}

__attribute__((constructor)) static void
read_environment(void)
{
	const char *text = getenv("SLUICE_POWERCUT");
	const char *colon = text != NULL ? strchr(text, ':') : NULL;

	if (colon == NULL || (size_t) (colon - text) >= sizeof(directory))
		return;
	memcpy(directory, text, (size_t) (colon - text));
	directory_length = strlen(directory);
	log_fd = next_open(colon + 1, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void
record(PowercutEvent event, const void *bytes, size_t length)
{
	event.length = (uint32_t) length;
	if (next_write(log_fd, &event, sizeof(event)) != (ssize_t) sizeof(event) ||
		next_write(log_fd, bytes, length) != (ssize_t) length)
		abort();
}

/* The path inside of the directory, "" for itself; NULL: elsewhere. */
static const char *
inside(const char *path)
{
	if (log_fd < 0 || strncmp(path, directory, directory_length) != 0)
		return NULL;
	path += directory_length;
	return *path == '/' ? path + 1 : *path == '\0' ? path : NULL;
}

static Name *
find_name(const char *path)
{
	for (int i = 0; i < NAMES; i++)
		if (strcmp(names[i].path, path) == 0)
			return &names[i];
	return NULL;
}

static void
set_name(Name *name, const char *path, int file)
{
	if (name == NULL)
		abort();
	snprintf(name->path, sizeof(name->path), "%s", path);
	name->file = file;
}

static void
name_event(PowercutKind kind, const char *path, int file)
{
	record((PowercutEvent) {.kind = kind, .file = file}, path, strlen(path) + 1);
}

/* Lock held; fd was opened just now. */
static void
remember(int fd, int flags)
{
	char		link[64];
	char		path[PATH_MAX];
	ssize_t		length;
	const char *within;
	struct stat status;
	Name	   *name;

	if (fd < 0 || fd >= FDS)
		return;
	opens[fd].file = 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return;
	path[length] = '\0';
	within = inside(path);
	if (within == NULL || fstat(fd, &status) != 0)
		return;
	opens[fd].synced = (flags & O_DSYNC) != 0;
	if (S_ISDIR(status.st_mode))
	{
		opens[fd].file = -1;
		snprintf(opens[fd].path, sizeof(opens[fd].path), "%s", within);
		return;
	}
	name = find_name(within);
	if (name == NULL)
	{
		set_name(find_name(""), within, ++files);
		name_event(POWERCUT_CREATE, within, files);
		name = find_name(within);
	}
	else if (flags & O_TRUNC)
		record((PowercutEvent) {.kind = POWERCUT_TRUNCATE, .file = name->file}, "", 0);
	opens[fd].file = name->file;
}

int
open(const char *path, int flags, ...)
{
	va_list		arguments;
	mode_t		mode;
	int			fd;
	int			error;

	va_start(arguments, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	pthread_mutex_lock(&lock);
	fd = next_open(path, flags, mode);
	error = errno;
	remember(fd, flags);
	pthread_mutex_unlock(&lock);
	errno = error;
	return fd;
}

int			open64(const char *path, int flags, ...) __attribute__((alias("open")));

int
close(int fd)
{
	NEXT(close);
	if (fd >= 0 && fd < FDS)
		opens[fd].file = 0;
	return next(fd);
}

static int
file_of(int fd)
{
	return fd >= 0 && fd < FDS && log_fd >= 0 && opens[fd].file > 0 ? opens[fd].file : 0;
}

static void
written(int fd, const void *bytes, ssize_t length, off_t offset)
{
	if (length > 0)
		record((PowercutEvent) {.kind = POWERCUT_WRITE, .file = file_of(fd), .offset = (uint64_t) offset,
			.synced = opens[fd].synced}, bytes, (size_t) length);
}

ssize_t
pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	ssize_t		done;

	NEXT(pwrite);
	if (file_of(fd) == 0)
		return next(fd, bytes, length, offset);
	pthread_mutex_lock(&lock);
	done = next(fd, bytes, length, offset);
	written(fd, bytes, done, offset);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t		pwrite64(int fd, const void *bytes, size_t length, off64_t offset) __attribute__((alias("pwrite")));

static off_t
position(int fd)
{
	return fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
	off_t		offset;
	ssize_t		done;

	if (file_of(fd) == 0)
		return next_write(fd, bytes, length);
	pthread_mutex_lock(&lock);
	offset = position(fd);
	done = next_write(fd, bytes, length);
	written(fd, bytes, done, offset);
	pthread_mutex_unlock(&lock);
	return done;
}

/* Each part is an event: they need not reach the disk together. */
static void
written_parts(int fd, const struct iovec *vector, int members, ssize_t done, off_t offset)
{
	for (int i = 0; i < members && done > 0; i++)
	{
		ssize_t		part = (ssize_t) vector[i].iov_len < done ? (ssize_t) vector[i].iov_len : done;

		written(fd, vector[i].iov_base, part, offset);
		offset += part;
		done -= part;
	}
}

ssize_t
writev(int fd, const struct iovec *vector, int members)
{
	off_t		offset;
	ssize_t		done;

	NEXT(writev);
	if (file_of(fd) == 0)
		return next(fd, vector, members);
	pthread_mutex_lock(&lock);
	offset = position(fd);
	done = next(fd, vector, members);
	written_parts(fd, vector, members, done, offset);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t
pwritev(int fd, const struct iovec *vector, int members, off_t offset)
{
	ssize_t		done;

	NEXT(pwritev);
	if (file_of(fd) == 0)
		return next(fd, vector, members, offset);
	pthread_mutex_lock(&lock);
	done = next(fd, vector, members, offset);
	written_parts(fd, vector, members, done, offset);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t		pwritev64(int fd, const struct iovec *vector, int members, off64_t offset) __attribute__((alias("pwritev")));

int
ftruncate(int fd, off_t length)
{
	int			rc;

	NEXT(ftruncate);
	pthread_mutex_lock(&lock);
	rc = next(fd, length);
	if (rc == 0 && file_of(fd) > 0)
		record((PowercutEvent) {.kind = POWERCUT_TRUNCATE, .file = file_of(fd), .offset = (uint64_t) length}, "", 0);
	pthread_mutex_unlock(&lock);
	return rc;
}

int			ftruncate64(int fd, off64_t length) __attribute__((alias("ftruncate")));

/* In the log when it is done. */
static void
synced(int fd)
{
	if (file_of(fd) > 0)
		record((PowercutEvent) {.kind = POWERCUT_SYNC, .file = file_of(fd)}, "", 0);
	else if (log_fd >= 0 && fd >= 0 && fd < FDS && opens[fd].file < 0)
		name_event(POWERCUT_SYNC_DIRECTORY, opens[fd].path, 0);
}

int
fsync(int fd)
{
	int			rc;

	NEXT(fsync);
	pthread_mutex_lock(&lock);
	rc = next(fd);
	if (rc == 0)
		synced(fd);
	pthread_mutex_unlock(&lock);
	return rc;
}

int
fdatasync(int fd)
{
	int			rc;

	NEXT(fdatasync);
	pthread_mutex_lock(&lock);
	rc = next(fd);
	if (rc == 0)
		synced(fd);
	pthread_mutex_unlock(&lock);
	return rc;
}

static void
renamed(const char *from, const char *to)
{
	char		both[2 * PATH_MAX];
	int			length = snprintf(both, sizeof(both), "%s%c%s", from, '\0', to);
	Name	   *name = find_name(to);
	int			file;

	record((PowercutEvent) {.kind = POWERCUT_RENAME}, both, (size_t) length + 1);
	if (name != NULL)
		set_name(name, "", 0);
	name = find_name(from);
	if (name == NULL)
		return;
	file = name->file;
	set_name(name, to, file);
}

/* What is in a directory that was renamed goes with it. */
static void
renamed_above(const char *from, const char *to)
{
	size_t		length = strlen(from);
	char		path[sizeof(names[0].path)];

	for (int i = 0; i < NAMES; i++)
	{
		if (strncmp(names[i].path, from, length) != 0 || names[i].path[length] != '/')
			continue;
		if (snprintf(path, sizeof(path), "%s%s", to, names[i].path + length) >= (int) sizeof(path))
			abort();
		set_name(&names[i], path, names[i].file);
	}
}

int
rename(const char *from, const char *to)
{
	int			rc;

	NEXT(rename);
	pthread_mutex_lock(&lock);
	rc = next(from, to);
	if (rc == 0 && inside(from) != NULL && inside(to) != NULL)
	{
		renamed(inside(from), inside(to));
		renamed_above(inside(from), inside(to));
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

static void
removed(const char *path)
{
	Name	   *name = find_name(path);

	name_event(POWERCUT_UNLINK, path, 0);
	if (name != NULL)
		set_name(name, "", 0);
}

int
unlink(const char *path)
{
	int			rc;

	NEXT(unlink);
	pthread_mutex_lock(&lock);
	rc = next(path);
	if (rc == 0 && inside(path) != NULL)
		removed(inside(path));
	pthread_mutex_unlock(&lock);
	return rc;
}

int
rmdir(const char *path)
{
	int			rc;

	NEXT(rmdir);
	pthread_mutex_lock(&lock);
	rc = next(path);
	if (rc == 0 && inside(path) != NULL)
		removed(inside(path));
	pthread_mutex_unlock(&lock);
	return rc;
}

int
mkdir(const char *path, mode_t mode)
{
	int			rc;

	NEXT(mkdir);
	pthread_mutex_lock(&lock);
	rc = next(path, mode);
	if (rc == 0 && inside(path) != NULL)
		name_event(POWERCUT_MKDIR, inside(path), 0);
	pthread_mutex_unlock(&lock);
	return rc;
}

void
sluice_powercut_mark(uint64_t number)
{
	pthread_mutex_lock(&lock);
	if (log_fd >= 0)
		record((PowercutEvent) {.kind = POWERCUT_MARK, .offset = number}, "", 0);
	pthread_mutex_unlock(&lock);
}
