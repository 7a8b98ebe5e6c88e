/*
 * buffer.c
 *		A growing run of bytes, plain C.
 */
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

#define FIRST_CAPACITY 256

/*
 * Make room for "more" bytes after length.  The arithmetic never overflows:
 * length is at most the limit, and "more" is compared with what is left of it.
 */
bool
sluice_buffer_reserve(SluiceBuffer *buffer, size_t more)
{
	size_t		limit = buffer->limit > 0 ? buffer->limit : SLUICE_BUFFER_LIMIT;
	size_t		capacity = buffer->capacity;
	char	   *data;

	if (buffer->failed)
		return false;
	if (more <= capacity - buffer->length)
		return true;
	if (buffer->length > limit || more > limit - buffer->length)
	{
		buffer->failed = true;
		buffer->over_limit = true;
		return false;
	}
	if (capacity < FIRST_CAPACITY)
		capacity = FIRST_CAPACITY < limit ? FIRST_CAPACITY : limit;
	while (capacity < buffer->length + more)
		capacity = capacity > limit / 2 ? limit : capacity * 2;
	data = realloc(buffer->data, capacity);
	if (data == NULL)
	{
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

void
sluice_buffer_append(SluiceBuffer *buffer, const void *data, size_t length)
{
	if (length == 0 || !sluice_buffer_reserve(buffer, length))
		return;
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
}

void
sluice_buffer_append_text(SluiceBuffer *buffer, const char *text)
{
	sluice_buffer_append(buffer, text, strlen(text));
}

void
sluice_buffer_append_char(SluiceBuffer *buffer, char c)
{
	if (!sluice_buffer_reserve(buffer, 1))
		return;
	buffer->data[buffer->length++] = c;
}

/* Empty again, and no longer failed; the memory is kept for the next use. */
void
sluice_buffer_reset(SluiceBuffer *buffer)
{
	buffer->length = 0;
	buffer->failed = false;
	buffer->over_limit = false;
}

void
sluice_buffer_free(SluiceBuffer *buffer)
{
	size_t		limit = buffer->limit;

	free(buffer->data);
	memset(buffer, 0, sizeof(SluiceBuffer));
	buffer->limit = limit;
}
