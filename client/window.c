/*
 * window.c
 *		The records that are sent and not acknowledged.
 *
 * One list in the order of sending, and a hash table by key.  A bucket chains
 * different keys; records of the same key hang behind the oldest of them
 * (twin, last_twin), so that ten thousand records of one key are still found
 * at once.
 */
#include "window.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Mixes eight bytes at a time; keys are the user's own, nobody else can choose collisions. */
static uint64_t
hash_key(const void *key, size_t length)
{
	const uint8_t *p = key;
	uint64_t	hash = 0x9E3779B97F4A7C15ull ^ length;
	uint64_t	word;

	for (; length > 0; p += sizeof(word))
	{
		size_t		n = length < sizeof(word) ? length : sizeof(word);

		word = 0;
		memcpy(&word, p, n);
		hash = (hash ^ word) * 0xFF51AFD7ED558CCDull;
		hash ^= hash >> 32;
		length -= n;
	}
	return hash;
}

static const uint8_t *
key_of(const SluiceClientRecord *record)
{
	return record->message + record->key_offset;
}

SluiceWindow *
sluice_window_create(size_t max_count, size_t max_bytes)
{
	SluiceWindow *window = sluice_memory_get_zeroed(sizeof(SluiceWindow));
	size_t		nbuckets = 16;

	while (nbuckets < max_count)
		nbuckets *= 2;
	window->max_count = max_count;
	window->max_bytes = max_bytes;
	window->mask = nbuckets - 1;
	window->buckets = sluice_memory_get_zeroed(nbuckets * sizeof(SluiceClientRecord *));
	return window;
}

void
sluice_window_free(SluiceWindow *window)
{
	while (window->first != NULL)
	{
		SluiceClientRecord *record = window->first;

		window->first = record->next;
		free(record);
	}
	free(window->buckets);
	free(window);
}

bool
sluice_window_has_room(const SluiceWindow *window, size_t bytes)
{
	if (window->count == 0)
		return true;
	return window->count < window->max_count &&
		window->bytes < window->max_bytes && window->max_bytes - window->bytes >= bytes;
}

/* The place that points to the oldest record of the key, or to NULL at the end of its chain. */
static SluiceClientRecord **
find(SluiceWindow *window, uint64_t hash, const void *key, size_t length)
{
	SluiceClientRecord **place = &window->buckets[hash & window->mask];

	while (*place != NULL)
	{
		const SluiceClientRecord *record = *place;

		if (record->hash == hash && record->key_length == length && memcmp(key_of(record), key, length) == 0)
			break;
		place = &(*place)->chain;
	}
	return place;
}

void
sluice_window_add(SluiceWindow *window, SluiceClientRecord *record)
{
	SluiceClientRecord **place;

	record->hash = hash_key(key_of(record), record->key_length);
	record->chain = NULL;
	record->twin = NULL;
	record->last_twin = record;
	place = find(window, record->hash, key_of(record), record->key_length);
	if (*place != NULL)
	{
		(*place)->last_twin->twin = record;
		(*place)->last_twin = record;
	}
	else
		*place = record;

	record->order = window->added++;
	record->next = NULL;
	record->previous = window->last;
	if (window->last != NULL)
		window->last->next = record;
	else
		window->first = record;
	window->last = record;
	window->count++;
	window->bytes += record->length;
}

SluiceClientRecord *
sluice_window_next_unsent(SluiceWindow *window)
{
	SluiceClientRecord *record = window->unsent;

	if (record != NULL)
	{
		window->unsent = record->next;
		window->nunsent--;
	}
	return record;
}

void
sluice_window_rewind(SluiceWindow *window)
{
	window->unsent = window->first;
	window->nunsent = window->count;
}

/* The unsent ones are the end of the list, and the list is in the order of adding. */
static bool
is_unsent(const SluiceWindow *window, const SluiceClientRecord *record)
{
	return window->unsent != NULL && record->order >= window->unsent->order;
}

SluiceClientRecord *
sluice_window_answer(SluiceWindow *window, const void *key, size_t key_length)
{
	SluiceClientRecord **place = find(window, hash_key(key, key_length), key, key_length);
	SluiceClientRecord *record = *place;

	if (record == NULL || is_unsent(window, record))
		return NULL;

	if (record->twin != NULL)
	{
		record->twin->chain = record->chain;
		record->twin->last_twin = record->last_twin;
		*place = record->twin;
	}
	else
		*place = record->chain;

	if (record->previous != NULL)
		record->previous->next = record->next;
	else
		window->first = record->next;
	if (record->next != NULL)
		record->next->previous = record->previous;
	else
		window->last = record->previous;
	window->count--;
	window->bytes -= record->length;
	record->next = NULL;
	return record;
}
