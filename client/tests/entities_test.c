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

static bool
waits(void *argument, uint64_t sequence)
{
	return sequence > *(const uint64_t *) argument;
}

int
main(void)
{
	SluiceEntities entities = {.count = 0};
	char		name[20];
	bool		good = true;
	uint64_t	settled;

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
	settled = 10 + MANY + 4000;
	sluice_entities_sweep(&entities, waits, &settled);
	ok(entities.count == 1000 && set(&entities, "e4001", MANY * 3) == 10 + MANY + 4001 && set(&entities, "e1", MANY * 3) == 0,
	   "what does not wait any more is forgotten");
	settled = MANY * 4;
	for (uint64_t i = 1; i < 1999 - 1001; i++)
	{
		snprintf(name, sizeof(name), "f%llu", (unsigned long long) i);
		set(&entities, name, 10);
	}
	sluice_entities_sweep(&entities, waits, &settled);
	ok(entities.count == 1998, "but nothing is looked at before there are twice as many");
	set(&entities, "g", 10);
	set(&entities, "h", 10);
	sluice_entities_sweep(&entities, waits, &settled);
	ok(entities.count == 0, "then it is");
	sluice_entities_free(&entities);
	ok(entities.count == 0 && entities.buckets == NULL, "nothing is left");
	return done_testing();
}
