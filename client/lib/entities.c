/*
 * entities.c
 *		The newest record of each entity, for the option compact: a hash table with chains.
 */
#include "entities.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_FIRST 256

struct SluiceEntity
{
	SluiceEntity *next;
	uint64_t	sequence;
	uint32_t	hash;
	uint32_t	length;
	char		name[];
};

/* FNV-1a. */
static uint32_t
hash_name(const char *name, size_t length)
{
	uint32_t	hash = 2166136261u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t) name[i]) * 16777619u;
	return hash;
}

static bool
grow(SluiceEntities *entities)
{
	size_t		size = entities->size > 0 ? entities->size * 2 : SIZE_FIRST;
	SluiceEntity **buckets = calloc(size, sizeof(SluiceEntity *));

	if (buckets == NULL)
		return false;
	for (size_t i = 0; i < entities->size; i++)
	{
		SluiceEntity *entity = entities->buckets[i];

		while (entity != NULL)
		{
			SluiceEntity *next = entity->next;

			entity->next = buckets[entity->hash & (size - 1)];
			buckets[entity->hash & (size - 1)] = entity;
			entity = next;
		}
	}
	free(entities->buckets);
	entities->buckets = buckets;
	entities->size = size;
	return true;
}

static SluiceEntity *
find(const SluiceEntities *entities, uint32_t hash, const char *name, size_t length)
{
	SluiceEntity *entity = entities->size > 0 ? entities->buckets[hash & (entities->size - 1)] : NULL;

	while (entity != NULL &&
		   (entity->hash != hash || entity->length != length || memcmp(entity->name, name, length) != 0))
		entity = entity->next;
	return entity;
}

static bool
add(SluiceEntities *entities, uint32_t hash, const char *name, size_t length, uint64_t sequence)
{
	SluiceEntity *entity;
	SluiceEntity **bucket;

	if (entities->count >= entities->size && !grow(entities) && entities->size == 0)
		return false;
	entity = malloc(sizeof(SluiceEntity) + length);
	if (entity == NULL)
		return false;
	bucket = &entities->buckets[hash & (entities->size - 1)];
	entity->next = *bucket;
	entity->sequence = sequence;
	entity->hash = hash;
	entity->length = (uint32_t) length;
	memcpy(entity->name, name, length);
	*bucket = entity;
	entities->count++;
	return true;
}

bool
sluice_entities_set(SluiceEntities *entities, const char *name, size_t length, uint64_t sequence, uint64_t *before)
{
	uint32_t	hash = hash_name(name, length);
	SluiceEntity *entity = find(entities, hash, name, length);

	*before = 0;
	if (entity == NULL)
		return add(entities, hash, name, length, sequence);
	*before = entity->sequence < sequence ? entity->sequence : sequence;
	if (entity->sequence < sequence)
		entity->sequence = sequence;
	return true;
}

void
sluice_entities_sweep(SluiceEntities *entities, SluiceEntityWaits waits, void *argument)
{
	if (entities->count < SIZE_FIRST || entities->count / 2 < entities->swept)
		return;
	for (size_t i = 0; i < entities->size; i++)
	{
		SluiceEntity **link = &entities->buckets[i];

		while (*link != NULL)
		{
			SluiceEntity *entity = *link;

			if (waits(argument, entity->sequence))
			{
				link = &entity->next;
				continue;
			}
			*link = entity->next;
			entities->count--;
			free(entity);
		}
	}
	entities->swept = entities->count;
}

void
sluice_entities_free(SluiceEntities *entities)
{
	for (size_t i = 0; i < entities->size; i++)
	{
		while (entities->buckets[i] != NULL)
		{
			SluiceEntity *entity = entities->buckets[i];

			entities->buckets[i] = entity->next;
			free(entity);
		}
	}
	free(entities->buckets);
	memset(entities, 0, sizeof(*entities));
}
