/*
 * error.h
 *		An error with a sentence for people, on its way up.
 */
#ifndef SLUICE_LIB_ERROR_H
#define SLUICE_LIB_ERROR_H

typedef struct SluiceError
{
	char		text[256];
} SluiceError;

/* Sets the text (error may be NULL) and returns code. */
extern int sluice_error_set(SluiceError *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif							/* SLUICE_LIB_ERROR_H */
