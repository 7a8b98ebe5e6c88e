/*
 * fault.c
 *		Lets the n-th allocation, write or sync of a process fail (LD_PRELOAD).
 *
 *	SLUICE_FAULT=kind:n[:error[:count]]
 *		kind	memory		malloc, calloc, realloc, posix_memalign, memalign, strdup
 *				write		write, pwrite, pwritev, writev, posix_fallocate
 *				sync		fsync, fdatasync, msync
 *				file		open (for writing, or of a directory), rename, unlink, mkdir, ftruncate
 *				disk		write, sync and file together
 *		n		the first call that fails, from 1; 0: none
 *		error	ENOMEM, EIO, ENOSPC, or a number; without it ENOMEM for memory, EIO for the others
 *		count	so many calls fail one after the other; without it one; "all": all from the n-th on
 *	SLUICE_FAULT_COUNT=path
 *		At exit the number of calls of that kind is written there (also when none failed).
 *
 * Two more errors, of writes: "short" writes half of what was to be written, and
 * tells so; "late" writes all of it and then tells EIO, as a disk can that fails a
 * synchronous write (of several calls that fail only the first one does so).
 *
 * Counted is what goes to regular files and directories (anything but /proc, /dev and
 * pipes, sockets), and memory after sluice_fault_arm(1) was called, which a scenario finds with
 * dlsym(RTLD_DEFAULT, "sluice_fault_arm"); before, or after sluice_fault_arm(0), nothing is
 * counted and nothing fails.  sluice_fault_hits() tells how many calls failed, sluice_fault_set(n)
 * begins to count anew, with another n.  All calls of all threads count.
 *
 * The scenario goes through n = 1, 2, 3, ... until no call failed any more:
 * then every call has failed once.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

extern void sluice_fault_arm(int on);
extern long sluice_fault_hits(void);
extern void sluice_fault_set(long n);

#define MEMORY 1
#define WRITE 2
#define SYNC 4
#define FILES 8

static int	kinds;
static long first;
static long count = 1;
static int	error_number;
static bool short_write;
static bool late_write;
static atomic_int armed;
static atomic_long calls;
static atomic_long hits;

static int
error_of(const char *name)
{
	if (strcmp(name, "ENOMEM") == 0)
		return ENOMEM;
	if (strcmp(name, "ENOSPC") == 0)
		return ENOSPC;
	if (strcmp(name, "EIO") == 0 || strcmp(name, "short") == 0 || strcmp(name, "late") == 0)
		return EIO;
	return atoi(name);
}

__attribute__((constructor)) static void
read_environment(void)
{
	const char *text = getenv("SLUICE_FAULT");
	char		kind[16] = "";
	char		error[16] = "";
	char		number[16] = "";

	if (text == NULL || sscanf(text, "%15[^:]:%ld:%15[^:]:%15s", kind, &first, error, number) < 2)
		return;
	kinds = strcmp(kind, "memory") == 0 ? MEMORY : strcmp(kind, "write") == 0 ? WRITE : strcmp(kind, "sync") == 0 ? SYNC :
		strcmp(kind, "file") == 0 ? FILES : WRITE | SYNC | FILES;
	error_number = error[0] != '\0' ? error_of(error) : kinds == MEMORY ? ENOMEM : EIO;
	short_write = strcmp(error, "short") == 0;
	late_write = strcmp(error, "late") == 0;
	if (number[0] != '\0')
		count = strcmp(number, "all") == 0 ? INT32_MAX : atol(number);
}

__attribute__((destructor)) static void
write_count(void)
{
	const char *path = getenv("SLUICE_FAULT_COUNT");
	FILE	   *file;

	atomic_store(&armed, 0);
	if (path == NULL || (file = fopen(path, "w")) == NULL)
		return;
	fprintf(file, "%ld\n", atomic_load(&calls));
	fclose(file);
}

void
sluice_fault_arm(int on)
{
	atomic_store(&armed, on);
}

long
sluice_fault_hits(void)
{
	return atomic_load(&hits);
}

void
sluice_fault_set(long n)
{
	first = n;
	atomic_store(&calls, 0);
	atomic_store(&hits, 0);
}

/* Is it this call's turn? */
static bool
fails(int kind)
{
	long		call;

	if (!(kinds & kind) || !atomic_load_explicit(&armed, memory_order_relaxed))
		return false;
	call = atomic_fetch_add(&calls, 1) + 1;
	if (first == 0 || call < first || call - first >= count)
		return false;
	atomic_fetch_add(&hits, 1);
	errno = error_number;
	return true;
}

static bool
is_file(int fd)
{
	struct stat status;
	int			before = errno;
	bool		file = fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));

	errno = before;
	return file;
}

#define NEXT(name) \
	static __typeof__(&name) next; \
	if (next == NULL) \
		next = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

/* ---- memory: glibc's own names, for dlsym itself takes memory ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t members, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void *memalign(size_t alignment, size_t size);

void *
malloc(size_t size)
{
	return fails(MEMORY) ? NULL : __libc_malloc(size);
}

void *
calloc(size_t members, size_t size)
{
	return fails(MEMORY) ? NULL : __libc_calloc(members, size);
}

void *
realloc(void *old, size_t size)
{
	return fails(MEMORY) ? NULL : __libc_realloc(old, size);
}

void *
memalign(size_t alignment, size_t size)
{
	return fails(MEMORY) ? NULL : __libc_memalign(alignment, size);
}

int
posix_memalign(void **result, size_t alignment, size_t size)
{
	if (fails(MEMORY))
		return ENOMEM;
	*result = __libc_memalign(alignment, size);
	return *result == NULL ? ENOMEM : 0;
}

/* ---- writing ---- */

/* Is this call to be done in spite of the error? */
static bool
is_late(void)
{
	return late_write && atomic_load(&hits) == 1;
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
	NEXT(write);
	if ((kinds & WRITE) && is_file(fd) && fails(WRITE))
	{
		if (is_late() && next(fd, bytes, length) < 0)
			return -1;
		errno = error_number;
		return short_write && length > 1 ? next(fd, bytes, length / 2) : -1;
	}
	return next(fd, bytes, length);
}

ssize_t
pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	NEXT(pwrite);
	if ((kinds & WRITE) && is_file(fd) && fails(WRITE))
	{
		if (is_late() && next(fd, bytes, length, offset) < 0)
			return -1;
		errno = error_number;
		return short_write && length > 1 ? next(fd, bytes, length / 2, offset) : -1;
	}
	return next(fd, bytes, length, offset);
}

ssize_t
writev(int fd, const struct iovec *vector, int members)
{
	NEXT(writev);
	if ((kinds & WRITE) && is_file(fd) && fails(WRITE))
	{
		if (is_late() && next(fd, vector, members) < 0)
			return -1;
		errno = error_number;
		return short_write && members > 1 ? next(fd, vector, members / 2) : -1;
	}
	return next(fd, vector, members);
}

ssize_t
pwritev(int fd, const struct iovec *vector, int members, off_t offset)
{
	NEXT(pwritev);
	if ((kinds & WRITE) && is_file(fd) && fails(WRITE))
	{
		if (is_late() && next(fd, vector, members, offset) < 0)
			return -1;
		errno = error_number;
		return short_write && members > 1 ? next(fd, vector, members / 2, offset) : -1;
	}
	return next(fd, vector, members, offset);
}

int
posix_fallocate(int fd, off_t offset, off_t length)
{
	NEXT(posix_fallocate);
	return fails(WRITE) ? error_number : next(fd, offset, length);
}

/* ---- syncing ---- */

int
fsync(int fd)
{
	NEXT(fsync);
	return fails(SYNC) ? -1 : next(fd);
}

int
fdatasync(int fd)
{
	NEXT(fdatasync);
	return fails(SYNC) ? -1 : next(fd);
}

int
msync(void *address, size_t length, int flags)
{
	NEXT(msync);
	return fails(SYNC) ? -1 : next(address, length, flags);
}

/* ---- files ---- */

static bool
is_counted_open(const char *path, int flags)
{
	return (flags & (O_WRONLY | O_RDWR | O_DIRECTORY)) != 0 && strncmp(path, "/proc/", 6) != 0 &&
		(strncmp(path, "/dev/", 5) != 0 || strncmp(path, "/dev/shm/", 9) == 0);
}

static int
open_or_fail(__typeof__(&open) next, const char *path, int flags, mode_t mode)
{
	if ((kinds & FILES) && is_counted_open(path, flags) && fails(FILES))
		return -1;
	return next(path, flags, mode);
}

#define MODE(flags, mode) \
	do { \
		va_list		arguments; \
		va_start(arguments, flags); \
		mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(arguments, mode_t) : 0; \
		va_end(arguments); \
	} while (0)

int
open(const char *path, int flags, ...)
{
	mode_t		mode;

	NEXT(open);
	MODE(flags, mode);
	return open_or_fail(next, path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	mode_t		mode;

	NEXT(open64);
	MODE(flags, mode);
	return open_or_fail(next, path, flags, mode);
}

int
rename(const char *from, const char *to)
{
	NEXT(rename);
	return fails(FILES) ? -1 : next(from, to);
}

int
unlink(const char *path)
{
	NEXT(unlink);
	return fails(FILES) ? -1 : next(path);
}

int
mkdir(const char *path, mode_t mode)
{
	NEXT(mkdir);
	return fails(FILES) ? -1 : next(path, mode);
}

int
ftruncate(int fd, off_t length)
{
	NEXT(ftruncate);
	return fails(FILES) ? -1 : next(fd, length);
}

/* What is compiled with large files has other names for the same calls. */
ssize_t		pwrite64(int fd, const void *bytes, size_t length, off64_t offset) __attribute__((alias("pwrite")));
ssize_t		pwritev64(int fd, const struct iovec *vector, int members, off64_t offset) __attribute__((alias("pwritev")));
int			ftruncate64(int fd, off64_t length) __attribute__((alias("ftruncate")));
int			posix_fallocate64(int fd, off64_t offset, off64_t length) __attribute__((alias("posix_fallocate")));
