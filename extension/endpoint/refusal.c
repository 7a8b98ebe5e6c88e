/*
 * refusal.c
 *		Telling the network thread that a call cannot go on.
 */
#include "postgres.h"

#include "refusal.h"

#include "mb/pg_wchar.h"

/* The first record of a run without a verdict: what is settled before it stays settled. */
static SluiceRecord *
first_pending(SluiceRecord *first)
{
	for (uint32 i = 0; i < first->run; i++)
		if (first[i].verdict == SLUICE_PENDING)
			return &first[i];
	return first;
}

/* The refusal is freed by the network thread, so it is malloc's. */
void
sluice_refuse_for(SluiceNetwork *network, SluiceRecord *record, const SluiceRefusal *refusal)
{
	SluiceRecord *pending = first_pending(record);
	SluiceRefusal *copy = malloc(sizeof(SluiceRefusal));

	if (copy == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	*copy = *refusal;
	free(pending->refusal);
	pending->refusal = copy;
	pending->verdict = SLUICE_REFUSED;
	sluice_network_deliver(network, &record, 1);
}

void
sluice_refuse(SluiceNetwork *network, SluiceRecord *record, int status, const char *message)
{
	SluiceRefusal refusal = {.status = status};
	int			length = pg_encoding_mbcliplen(PG_UTF8, message, strlen(message),
											   sizeof(refusal.message) - 1);

	memcpy(refusal.message, message, length);
	sluice_refuse_for(network, record, &refusal);
}
