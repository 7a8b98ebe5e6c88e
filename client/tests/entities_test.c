/*
 * entities_test.c
 *		The newest record of each entity.
 */
#include "tap.h"

#include <stdio.h>

#include "entities.h"

#define MANY 5000

static uint64_t
set(SluiceEntities *entities, const char *name, uint64_t sequence)
{
	uint64_t	before = 99;

	return sluice_entities_set(entities, name, strlen(name), sequence, &before) ? before : UINT64_MAX;
}

int
main(void)
{
	SluiceEntities entities = {.count = 0};
	char		name[20];
	bool		good = true;

	ok(set(&entities, "a", 1) == 0 && set(&entities, "ab", 2) == 0, "an entity is new once");
	ok(set(&entities, "a", 3) == 1 && set(&entities, "ab", 4) == 2, "the one before is told");
	ok(set(&entities, "a", 2) == 2 && set(&entities, "a", 5) == 3, "one that comes late is the older one");
	for (uint64_t i = 1; i <= MANY; i++)
	{
		snprintf(name, sizeof(name), "e%llu", (unsigned long long) i);
		good = good && set(&entities, name, 10 + i) == 0;
	}
	for (uint64_t i = 1; i <= MANY; i++)
	{
		snprintf(name, sizeof(name), "e%llu", (unsigned long long) i);
		good = good && set(&entities, name, 10 + MANY + i) == 10 + i;
	}
	ok(good && entities.count == MANY + 2, "among many, too");
	sluice_entities_sweep(&entities, 10 + MANY + 4000, MANY);
	ok(entities.count == MANY + 2, "nothing is forgotten while much waits");
	sluice_entities_sweep(&entities, 10 + MANY + 4000, 1000);
	ok(entities.count == 1000 && set(&entities, "e4001", MANY * 3) == 10 + MANY + 4001 && set(&entities, "e1", MANY * 3) == 0,
	   "what is settled is, where it is most of it");
	sluice_entities_free(&entities);
	ok(entities.count == 0 && entities.buckets == NULL, "nothing is left");
	return done_testing();
}
