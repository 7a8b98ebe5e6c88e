/*
 * text.h
 *		Bytes that grow.  The owner bounds the length.
 */
#ifndef SLUICE_TEXT_H
#define SLUICE_TEXT_H

#include <stddef.h>

typedef struct SluiceText
{
	char	   *bytes;			/* not NUL-terminated; NULL while nothing was ever appended */
	size_t		length;
	size_t		capacity;
} SluiceText;

extern void sluice_text_append(SluiceText *text, const char *bytes, size_t length);
extern void sluice_text_append_byte(SluiceText *text, char byte);
extern void sluice_text_free(SluiceText *text);

/* Is this UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing above U+10FFFF? */
extern int	sluice_text_is_utf8(const char *bytes, size_t length);

#endif							/* SLUICE_TEXT_H */
