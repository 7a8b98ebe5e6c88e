/*
 * consignment.c
 *		The records of one batch of Publish, with the message that they came in.
 */
#include "consignment.h"

#include <stdlib.h>

/* The records of a consignment, in an allocation of their own: how many they are is known later than the message. */
typedef struct Contents
{
	SluiceConsignment *consignment;
	SluiceRecord records[];
} Contents;

static Contents *
contents_of(SluiceRecord *records)
{
	return (Contents *) ((char *) records - offsetof(Contents, records));
}

SluiceConsignment *
sluice_consignment_of(SluiceRecord *record)
{
	return contents_of(record)->consignment;
}

SluiceConsignment *
sluice_consignment_create(size_t length)
{
	SluiceConsignment *consignment = malloc(sizeof(SluiceConsignment) + length);

	if (consignment == NULL)
		return NULL;
	*consignment = (SluiceConsignment) {.length = length};
	return consignment;
}

void
sluice_consignment_free(SluiceConsignment *consignment)
{
	for (size_t i = 0; consignment->records != NULL && i < consignment->nrecords; i++)
		free(consignment->records[i].refusal);
	if (consignment->records != NULL)
		free(contents_of(consignment->records));
	free(consignment);
}

size_t
sluice_consignment_size(const SluiceConsignment *consignment)
{
	return sizeof(SluiceConsignment) + consignment->length + consignment->nrecords * sizeof(SluiceRecord);
}

bool
sluice_consignment_make_records(SluiceConsignment *consignment)
{
	Contents   *contents = calloc(1, sizeof(Contents) + consignment->nrecords * sizeof(SluiceRecord));

	if (contents == NULL)
		return false;
	contents->consignment = consignment;
	consignment->records = contents->records;
	/* cppcheck-suppress memleak ; contents_of() finds it by the records */
	return true;
}

static bool
is_settled(const SluiceRecord *record)
{
	switch ((SluiceVerdict) record->verdict)
	{
		case SLUICE_STORED:
		case SLUICE_DUPLICATE:
		case SLUICE_DEAD_LETTERED:
		case SLUICE_FILTERED:
		case SLUICE_DECLARED:
		case SLUICE_RESENT:
			return true;
		case SLUICE_PENDING:
		case SLUICE_OPENED:
		case SLUICE_MESSAGE:
		case SLUICE_REFUSED:
			break;
	}
	return false;
}

uint64_t
sluice_consignment_through(const SluiceConsignment *consignment, bool *complete, const SluiceRefusal **refusal)
{
	size_t		n = 0;

	*refusal = NULL;
	while (n < consignment->nrecords && is_settled(&consignment->records[n]))
		n++;
	*complete = n == consignment->nrecords;
	for (size_t i = n; i < consignment->nrecords && *refusal == NULL; i++)
		*refusal = consignment->records[i].refusal;
	return n > 0 ? consignment->records[n - 1].through : 0;
}
