/*
 * json_walk.h
 *		Walking JSON text by hand: RFC 8259, no leniency.
 *
 * Values are validated whole as they are passed (grammar, UTF-8, escapes,
 * surrogate pairs, depth), without recursion and without memory: what comes
 * out are slices of the text.
 */
#ifndef SLUICE_JSON_WALK_H
#define SLUICE_JSON_WALK_H

#include "format.h"

/* Objects and arrays within each other, the outermost included. */
#define SLUICE_JSON_DEPTH 128

typedef enum SluiceJsonType
{
	SLUICE_JSON_NULL,
	SLUICE_JSON_FALSE,
	SLUICE_JSON_TRUE,
	SLUICE_JSON_NUMBER,
	SLUICE_JSON_STRING,
	SLUICE_JSON_ARRAY,
	SLUICE_JSON_OBJECT
} SluiceJsonType;

typedef struct SluiceJsonSlice
{
	const char *data;			/* of a string, too: with its quotes */
	uint32_t	length;
	uint8_t		type;			/* SluiceJsonType */
	bool		escaped;		/* a backslash is in it */
	bool		nul;			/* \u0000 is in it */
} SluiceJsonSlice;

typedef struct SluiceJsonWalk
{
	const char *start;
	const char *at;
	const char *end;
	SluiceFormatError *error;
} SluiceJsonWalk;

extern void sluice_json_walk_start(SluiceJsonWalk *walk, const void *text, size_t length, SluiceFormatError *error);

/* Pass white space, then one value that lies "depth" levels deep. */
extern bool sluice_json_walk_value(SluiceJsonWalk *walk, int depth, SluiceJsonSlice *slice);

/*
 * An object or array: enter passes its opening bracket.  next passes the comma
 * and tells with *more whether a member or element follows; where none does, the
 * closing bracket is passed.  A member's name and its colon are passed by name.
 */
extern bool sluice_json_walk_enter(SluiceJsonWalk *walk, char opening);
extern bool sluice_json_walk_next(SluiceJsonWalk *walk, char closing, bool first, bool *more);
extern bool sluice_json_walk_name(SluiceJsonWalk *walk, SluiceJsonSlice *name);

/* Only white space may follow. */
extern bool sluice_json_walk_end(SluiceJsonWalk *walk);

/* The text of a string's slice, which has passed sluice_json_walk_value, appended to out. */
extern void sluice_json_walk_unescape(const SluiceJsonSlice *slice, SluiceBuffer *out);

/* "object", "string" ...: for messages */
extern const char *sluice_json_walk_type_name(uint8_t type);

#endif							/* SLUICE_JSON_WALK_H */
