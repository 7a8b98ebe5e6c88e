/*
 * parcel.c
 *		A record and the message it came in, in one allocation.
 */
#include "parcel.h"

#include <stdlib.h>
#include <string.h>

void
sluice_parcel_pool_init(SluiceParcelPool *pool, size_t idle_limit)
{
	for (int i = 0; i < SLUICE_PARCEL_LISTS; i++)
		TAILQ_INIT(&pool->idle[i]);
	pool->idle_bytes = 0;
	pool->idle_limit = idle_limit;
}

void
sluice_parcel_pool_free(SluiceParcelPool *pool)
{
	for (int i = 0; i < SLUICE_PARCEL_LISTS; i++)
	{
		SluiceParcel *parcel;

		while ((parcel = TAILQ_FIRST(&pool->idle[i])) != NULL)
		{
			TAILQ_REMOVE(&pool->idle[i], parcel, link);
			free(parcel);
		}
	}
	pool->idle_bytes = 0;
}

size_t
sluice_parcel_size(size_t message_length)
{
	return (sizeof(SluiceParcel) + message_length + SLUICE_PARCEL_STEP - 1)
		/ SLUICE_PARCEL_STEP * SLUICE_PARCEL_STEP;
}

SluiceParcel *
sluice_parcel_take(SluiceParcelPool *pool, size_t message_length)
{
	size_t		size = sluice_parcel_size(message_length);
	size_t		list = size / SLUICE_PARCEL_STEP;
	SluiceParcel *parcel = NULL;

	if (list < SLUICE_PARCEL_LISTS)
		parcel = TAILQ_FIRST(&pool->idle[list]);
	if (parcel != NULL)
	{
		TAILQ_REMOVE(&pool->idle[list], parcel, link);
		pool->idle_bytes -= size;
	}
	else
	{
		parcel = malloc(size);
		if (parcel == NULL)
			return NULL;
		parcel->size = size;
	}
	memset(&parcel->record, 0, sizeof(parcel->record));
	parcel->record.run = 1;
	return parcel;
}

void
sluice_parcel_give(SluiceParcelPool *pool, SluiceParcel *parcel)
{
	size_t		list = parcel->size / SLUICE_PARCEL_STEP;

	free(parcel->record.refusal);
	if (list < SLUICE_PARCEL_LISTS && pool->idle_bytes + parcel->size <= pool->idle_limit)
	{
		TAILQ_INSERT_HEAD(&pool->idle[list], parcel, link);
		pool->idle_bytes += parcel->size;
	}
	else
		free(parcel);
}

SluiceParcel *
sluice_parcel_of(SluiceRecord *record)
{
	return (SluiceParcel *) ((char *) record - offsetof(SluiceParcel, record));
}
