/*
 * fault.h
 *		For a test that goes through faults in processes of its own (fault.c).
 */
#ifndef SLUICE_TESTS_FAULT_H
#define SLUICE_TESTS_FAULT_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What fault.so offers; NULL in a process without it. */
typedef struct Fault
{
	void		(*arm) (int on);
	long		(*hits) (void);
	void		(*set) (long n);
} Fault;

static inline Fault
fault_find(void)
{
	Fault		fault;

	fault.arm = (void (*) (int)) dlsym(RTLD_DEFAULT, "sluice_fault_arm");
	fault.hits = (long (*) (void)) dlsym(RTLD_DEFAULT, "sluice_fault_hits");
	fault.set = (void (*) (long)) dlsym(RTLD_DEFAULT, "sluice_fault_set");
	return fault;
}

/* The name of a file beside this program. */
static inline void
beside_program(const char *name, char path[1024])
{
	ssize_t		length = readlink("/proc/self/exe", path, 900);

	path[length > 0 ? length : 0] = '\0';
	snprintf(strrchr(path, '/') + 1, 100, "%s", name);
}

/*
 * This program again, with a library before it (or two, by a space), a variable set,
 * and an argument; returns its status as waitpid() has it.
 */
static inline int
run_with(const char *library, const char *variable, const char *value, const char *argument)
{
	char		paths[2048];
	char		path[1024];
	char		first[64];
	const char *second = strchr(library, ' ');
	int			status = -1;
	pid_t		child;

	fflush(stdout);
	snprintf(first, sizeof(first), "%.*s", second != NULL ? (int) (second - library) : 63, library);
	beside_program(first, path);
	snprintf(paths, sizeof(paths), "%s", path);
	if (second != NULL)
	{
		beside_program(second + 1, path);
		snprintf(paths + strlen(paths), sizeof(paths) - strlen(paths), ":%s", path);
	}
	child = fork();
	if (child == 0)
	{
		setenv("LD_PRELOAD", paths, 1);
		setenv(variable, value, 1);
		execl("/proc/self/exe", "test", argument, (char *) NULL);
		_exit(127);
	}
	waitpid(child, &status, 0);
	return status;
}

#endif							/* SLUICE_TESTS_FAULT_H */
