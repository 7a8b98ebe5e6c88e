/*
 * error.c
 *		An error with a sentence for people, on its way up.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>

#include "../sluice.h"

int
sluice_error_set(SluiceError *error, int code, const char *format, ...)
{
	va_list		arguments;

	if (error == NULL)
		return code;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	return code;
}

int
sluice_error_tell(int code, const char *text, char *message, size_t message_size)
{
	if (message != NULL && message_size > 0)
		snprintf(message, message_size, "%s", *text != '\0' ? text : sluice_error_text(code));
	return code;
}
