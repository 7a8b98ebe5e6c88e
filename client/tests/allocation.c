/*
 * allocation.c
 *		Lets the n-th allocation of the objects that are linked with this fail.
 *
 * For a program linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc: what shared
 * libraries allocate is not counted.  gRPC ends the process where it gets no
 * memory, so that fault.c, which fails everything, cannot be used with a publisher.
 */
#include "allocation.h"

#include <stdatomic.h>
#include <stdlib.h>

extern void *__real_malloc(size_t size);
extern void *__real_calloc(size_t count, size_t size);
extern void *__real_realloc(void *old, size_t size);
extern void *__wrap_malloc(size_t size);
extern void *__wrap_calloc(size_t count, size_t size);
extern void *__wrap_realloc(void *old, size_t size);

static atomic_long left;

void
allocation_fail(long n)
{
	atomic_store(&left, n);
}

bool
allocation_failed(void)
{
	return atomic_load(&left) <= 0;
}

static bool
fails(void)
{
	return atomic_load(&left) > 0 && atomic_fetch_sub(&left, 1) == 1;
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}
