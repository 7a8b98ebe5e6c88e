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
	const char *user;
	bool		tls;
	bool		tls_given;
	const char *tls_ca;
	const char *tls_cert;
	const char *tls_key;
	const char *tls_name;
	SluiceOptionList set;		/* NAME=VALUE */
} SluiceLibraryOptions;

/* Rows of a command's table.  There is none for a password: every user of the machine sees a command line. */
#define SLUICE_CONNECTION_OPTION_ROWS(library) \
	{SLUICE_OPTION_TEXT, "server", 's', "HOST:PORT", &(library)->server, 0, 0, \
	"where, several separated by commas, or sluice://USER@HOST:PORT/STREAM (default $SLUICE_SERVER or localhost:50051)", NULL}, \
	{SLUICE_OPTION_TEXT, "user", 'U', "ROLE", &(library)->user, 0, 0, \
	"log in as this role; the password is $SLUICE_PASSWORD, $PGPASSWORD, or in ~/.pgpass", NULL}, \
	{SLUICE_OPTION_SWITCH, "tls", 0, NULL, &(library)->tls, 0, 0, \
	"encrypt, and check the server's certificate", &(library)->tls_given}, \
	{SLUICE_OPTION_TEXT, "tls-ca", 0, "FILE", &(library)->tls_ca, 0, 0, \
	"... the certificates that are trusted (default: the system's)", NULL}, \
	{SLUICE_OPTION_TEXT, "tls-cert", 0, "FILE", &(library)->tls_cert, 0, 0, "... this client's certificate", NULL}, \
	{SLUICE_OPTION_TEXT, "tls-key", 0, "FILE", &(library)->tls_key, 0, 0, "... and its key", NULL}, \
	{SLUICE_OPTION_TEXT, "tls-name", 0, "NAME", &(library)->tls_name, 0, 0, \
	"... the name in the server's certificate (default: the host's)", NULL}

#define SLUICE_SERVER_OPTION_ROWS(library) \
	SLUICE_CONNECTION_OPTION_ROWS(library), \
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

/* Writes the options that say where to and as who, with their values, as they are given to a command. */
extern void sluice_library_options_write(const SluiceLibraryOptions *library, char *text, size_t size);

/*
 * Options of the library: the server, from $SLUICE_SERVER where it is not given; $SLUICE_PASSWORD; --set; then the others,
 * each of which may change what the one before has set.  The buffer is the caller's to set.
 * NULL after it has told on stderr what is wrong.
 */
extern sluice_options *sluice_library_options_make(const SluiceLibraryOptions *library, const char *command);

#endif							/* SLUICE_LIBRARY_OPTIONS_H */
