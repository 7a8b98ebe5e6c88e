/*
 * feed.h
 *		Feeds a text to an input in pieces of any size, for the unit tests.
 *
 * What comes out is one text: "line:key=payload" of each record ("line:key@entity=payload"
 * where it has one), "-" for no key, each followed by "|"; then "END" or "ERROR line: message".  Every
 * call gets a heap copy of exactly the bytes offered, so that a sanitizer
 * sees a read behind them.
 */
#ifndef SLUICE_FEED_H
#define SLUICE_FEED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "tap.h"

static char fed[65536];
static const char *feed_entity; /* the entity's column */

static inline void
feed_note(const SluiceInputRecord *record)
{
	size_t		n = strlen(fed);

	snprintf(fed + n, sizeof(fed) - n, "%llu:%.*s%s%.*s=%.*s|", (unsigned long long) record->line,
			 record->key != NULL ? (int) record->key_length : 1, record->key != NULL ? record->key : "-",
			 record->entity != NULL ? "@" : "", (int) record->entity_length, record->entity != NULL ? record->entity : "",
			 (int) record->payload_length, record->payload);
}

static inline const char *
feed(const SluiceInputFormat *format, const char *key, size_t max_record, const char *text, size_t piece)
{
	SluiceInput *input = sluice_input_create(format, key, max_record);
	size_t		total = strlen(text);
	size_t		start = 0;
	size_t		offered = 0;
	SluiceInputResult result = SLUICE_INPUT_MORE;

	sluice_input_want_entity(input, feed_entity);
	fed[0] = '\0';
	for (;;)
	{
		SluiceInputRecord record;
		size_t		length;
		size_t		used;
		char	   *copy;

		if (result == SLUICE_INPUT_MORE)
			offered = total - offered > piece ? offered + piece : total;
		length = offered - start;
		copy = malloc(length > 0 ? length : 1);
		memcpy(copy, text + start, length);
		result = sluice_input_next(input, copy, length, offered == total, &used, &record);
		if (result == SLUICE_INPUT_RECORD)
			feed_note(&record);
		free(copy);
		start += used;
		if (used > length)
			strcat(fed, "USED TOO MUCH");
		if (result == SLUICE_INPUT_END || result == SLUICE_INPUT_ERROR || used > length)
			break;
	}
	if (result == SLUICE_INPUT_END)
		strcat(fed, "END");
	else
		snprintf(fed + strlen(fed), 1024, "ERROR %llu: %s", (unsigned long long) sluice_input_line(input),
				 sluice_input_error(input));
	sluice_input_free(input);
	return fed;
}

/* The same whatever the pieces are. */
static inline void
feeds(const SluiceInputFormat *format, const char *key, const char *text, const char *expected, const char *name)
{
	static const size_t pieces[] = {1, 2, 3, 7, 100000};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		const char *got = feed(format, key, 1000, text, pieces[i]);

		if (strcmp(got, expected) != 0)
		{
			ok(false, name);
			printf("# in pieces of %zu\n# got      %s\n# expected %s\n", pieces[i], got, expected);
			return;
		}
	}
	ok(true, name);
}

#endif							/* SLUICE_FEED_H */
