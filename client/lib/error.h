/*
 * error.h
 *		An error with a sentence for people, on its way up.
 */
#ifndef SLUICE_LIB_ERROR_H
#define SLUICE_LIB_ERROR_H

#include <stddef.h>

typedef struct SluiceError
{
	char		text[256];
} SluiceError;

/* Sets the text (error may be NULL) and returns code. */
extern int sluice_error_set(SluiceError *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What a public call returns and tells: code, and the text, or the code's own sentence where that is empty. */
extern int sluice_error_tell(int code, const char *text, char *message, size_t message_size);

#endif							/* SLUICE_LIB_ERROR_H */
