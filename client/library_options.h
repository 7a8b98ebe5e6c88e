/*
 * library_options.h
 *		The options of commands that open a producer or a consumer: what is set of the library's.
 */
#ifndef SLUICE_LIBRARY_OPTIONS_H
#define SLUICE_LIBRARY_OPTIONS_H

#include "options.h"
#include "sluice.h"

typedef struct SluiceLibraryOptions
{
	const char *server;			/* NULL where it was not given, as the others */
	const char *stream;
	const char *buffer;
	const char *durability;
	SluiceOptionList set;		/* NAME=VALUE */
} SluiceLibraryOptions;

/* Rows of a command's table. */
#define SLUICE_SERVER_OPTION_ROWS(library) \
	{SLUICE_OPTION_TEXT, "server", 's', "HOST:PORT", &(library)->server, 0, 0, \
	"where, several separated by commas (default $SLUICE_SERVER or localhost:50051)", NULL}, \
	{SLUICE_OPTION_TEXT, "stream", 'S', "NAME", &(library)->stream, 0, 0, \
	"the stream (default: the server's default stream)", NULL}

#define SLUICE_SET_OPTION_ROW(library) \
	{SLUICE_OPTION_LIST, "set", 0, "NAME=VALUE", &(library)->set, 0, 0, \
	"set any option of libsluice; may be repeated (libsluice(3) lists them)", NULL}

#define SLUICE_LIBRARY_OPTION_ROWS(library) \
	SLUICE_SERVER_OPTION_ROWS(library), \
	{SLUICE_OPTION_TEXT, "buffer", 'b', "DIR", &(library)->buffer, 0, 0, \
	"directory of the durable buffer (default: a private one, for this run)", NULL}, \
	{SLUICE_OPTION_CHOICE, "durability", 0, "each|interval|none", &(library)->durability, 0, 0, \
	"when unacknowledged records are written to disk (default interval)", NULL}, \
	SLUICE_SET_OPTION_ROW(library)

/*
 * Options of the library from these, $SLUICE_SERVER and $SLUICE_PASSWORD; the buffer is the caller's to set.
 * NULL after it has told on stderr what is wrong.
 */
extern sluice_options *sluice_library_options_make(const SluiceLibraryOptions *library, const char *command);

#endif							/* SLUICE_LIBRARY_OPTIONS_H */
