/*
 * refusal_message.c
 *		The message that a call is refused with.
 */
#include "postgres.h"

#include "refusal_message.h"

#include "mb/pg_wchar.h"

void
sluice_refusal_message(SluiceRefusal *refusal, const char *format, va_list args)
{
	char		message[1024];
	char	   *utf8;

	vsnprintf(message, sizeof(message), format, args);
	utf8 = pg_server_to_any(message, strlen(message), PG_UTF8);
	snprintf(refusal->message, sizeof(refusal->message), "%.*s",
			 pg_encoding_mbcliplen(PG_UTF8, utf8, strlen(utf8), sizeof(refusal->message) - 1), utf8);
}
