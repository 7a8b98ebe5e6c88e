/*
 * consignment.c
 *		The records of one batch of Publish, with the message that they came in.
 */
#include "consignment.h"

#include <stdlib.h>

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
	free(consignment->records);
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
	consignment->records = calloc(consignment->nrecords, sizeof(SluiceRecord));
	return consignment->records != NULL;
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
