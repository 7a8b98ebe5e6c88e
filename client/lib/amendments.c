/*
 * amendments.c
 *		What has to change in the store because records became gaps.
 */
#include "amendments.h"

#include <stdlib.h>
#include <string.h>

bool
sluice_amendments_reserve(SluiceAmendments *amendments, size_t more)
{
	size_t		size = amendments->size > 0 ? amendments->size : 64;
	SluiceAmendment *larger;

	if (amendments->count + more <= amendments->size)
		return true;
	while (size < amendments->count + more)
		size *= 2;
	larger = realloc(amendments->list, size * sizeof(SluiceAmendment));
	if (larger == NULL)
		return false;
	amendments->list = larger;
	amendments->size = size;
	return true;
}

static void
add(SluiceAmendments *amendments, SluiceAmendment amendment)
{
	amendments->list[amendments->count++] = amendment;
}

/* One record after the other, each with its gap that grows: looks back over that. */
void
sluice_amendments_drop(SluiceAmendments *amendments, uint64_t from, uint64_t to)
{
	for (size_t back = 1; back <= 2 && back <= amendments->count; back++)
	{
		SluiceAmendment *before = &amendments->list[amendments->count - back];

		if (before->kind == SLUICE_AMEND_DROP && before->to + 1 == from)
		{
			before->to = to;
			return;
		}
	}
	add(amendments, (SluiceAmendment) {.kind = SLUICE_AMEND_DROP, .from = from, .to = to});
}

void
sluice_amendments_erase(SluiceAmendments *amendments, uint64_t from)
{
	add(amendments, (SluiceAmendment) {.kind = SLUICE_AMEND_ERASE, .from = from});
}

void
sluice_amendments_write(SluiceAmendments *amendments, uint64_t from)
{
	for (size_t back = 1; back <= 2 && back <= amendments->count; back++)
	{
		SluiceAmendment *before = &amendments->list[amendments->count - back];

		if (before->kind == SLUICE_AMEND_WRITE && before->from == from)
			return;
	}
	add(amendments, (SluiceAmendment) {.kind = SLUICE_AMEND_WRITE, .from = from, .to = from});
}

void
sluice_amendments_free(SluiceAmendments *amendments)
{
	free(amendments->list);
	memset(amendments, 0, sizeof(*amendments));
}
