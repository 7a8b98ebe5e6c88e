/*
 * buffer.h
 *		A growing run of bytes, plain C.
 *
 * malloc'ed, never shrinking, refusing to grow past its limit: so a length
 * that came over the wire cannot make us allocate without bound.  Once an
 * append has failed the buffer is marked failed and stays as it is; callers
 * may check once at the end.
 */
#ifndef SLUICE_BUFFER_H
#define SLUICE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct SluiceBuffer
{
	char	   *data;
	size_t		length;
	size_t		capacity;
	size_t		limit;			/* of length; 0 = SLUICE_BUFFER_LIMIT */
	bool		failed;			/* out of memory, or over the limit */
	bool		over_limit;		/* failed, and it was the limit */
} SluiceBuffer;

#define SLUICE_BUFFER_LIMIT ((size_t) 1 << 30)

extern bool sluice_buffer_reserve(SluiceBuffer *buffer, size_t more);
extern void sluice_buffer_append(SluiceBuffer *buffer, const void *data, size_t length);
extern void sluice_buffer_append_text(SluiceBuffer *buffer, const char *text);
extern void sluice_buffer_append_char(SluiceBuffer *buffer, char c);
extern void sluice_buffer_reset(SluiceBuffer *buffer);	/* keeps the memory */
extern void sluice_buffer_free(SluiceBuffer *buffer);

#endif							/* SLUICE_BUFFER_H */
