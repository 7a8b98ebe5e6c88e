/*
 * buffer_directory.h
 *		Directories of buffers for the tests: made, removed, copied.
 */
#ifndef SLUICE_TESTS_BUFFER_DIRECTORY_H
#define SLUICE_TESTS_BUFFER_DIRECTORY_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new one, below TMPDIR, or in memory (no test waits for a disk), or in /tmp; the test removes it. */
static inline void
directory_make(char path[256])
{
	const char *parent = getenv("TMPDIR");

	if (parent == NULL)
		parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(path, 256, "%s/sluice-test-XXXXXX", parent);
	if (mkdtemp(path) == NULL)
	{
		perror(path);
		exit(2);
	}
}

static inline int
directory_remove_entry(const char *path, const struct stat *status, int flag, struct FTW *position)
{
	(void) status;
	(void) flag;
	(void) position;
	return remove(path);
}

/* With all that is in it. */
static inline void
directory_remove(const char *path)
{
	nftw(path, directory_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* How many names in it begin so. */
static inline int
directory_count(const char *path, const char *prefix)
{
	DIR		   *directory = opendir(path);
	struct dirent *entry;
	int			count = 0;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
		count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	if (directory != NULL)
		closedir(directory);
	return count;
}

/* A whole file; the caller frees it. */
static inline char *
file_read(const char *directory, const char *name, size_t *size)
{
	char		path[1024];
	FILE	   *file;
	char	   *bytes;
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "rb");
	if (file == NULL || fstat(fileno(file), &status) != 0)
	{
		perror(path);
		exit(2);
	}
	*size = (size_t) status.st_size;
	bytes = malloc(*size + 1);
	if (bytes == NULL || fread(bytes, 1, *size, file) != *size)
		exit(2);
	fclose(file);
	return bytes;
}

static inline void
file_write(const char *directory, const char *name, const char *bytes, size_t size)
{
	char		path[1024];
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
	{
		perror(path);
		exit(2);
	}
}

#endif							/* SLUICE_TESTS_BUFFER_DIRECTORY_H */
