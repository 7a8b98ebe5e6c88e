/*
 * error.c
 *		An error with a sentence for people, on its way up.
 */
#include "error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

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
