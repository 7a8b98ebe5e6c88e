/*
 * entities.h
 *		The newest record of each entity, for the option compact.
 */
#ifndef SLUICE_LIB_ENTITIES_H
#define SLUICE_LIB_ENTITIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SluiceEntity SluiceEntity;

typedef struct SluiceEntities
{
	SluiceEntity **buckets;
	size_t		size;			/* a power of two, or 0 */
	size_t		count;
	size_t		swept;			/* how many the last sweep left */
} SluiceEntities;

typedef bool (*SluiceEntityWaits) (void *argument, uint64_t sequence);

/*
 * There is this record of the entity; *before is the older one of it and of the newest so far (0: there was none).
 * False: out of memory, nothing changed.
 */
extern bool sluice_entities_set(SluiceEntities *entities, const char *name, size_t length, uint64_t sequence, uint64_t *before);

/*
 * Forget those whose record does not wait any more, once there are twice as many as the last time:
 * so entities are bounded by the records that wait, and each costs little.
 */
extern void sluice_entities_sweep(SluiceEntities *entities, SluiceEntityWaits waits, void *argument);
extern void sluice_entities_free(SluiceEntities *entities);

#endif							/* SLUICE_LIB_ENTITIES_H */
