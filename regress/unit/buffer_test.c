/*
 * buffer_test.c
 *		A buffer grows to its limit and not beyond, and stays as it is when it has failed.
 */
#include <stdint.h>

#include "buffer.h"
#include "tap.h"

static void
test_growth(void)
{
	SluiceBuffer buffer = {0};
	bool		same = true;

	for (int i = 0; i < 100000; i++)
		sluice_buffer_append_char(&buffer, (char) (i % 251));
	for (int i = 0; i < 100000; i++)
		same = same && buffer.data[i] == (char) (i % 251);
	ok(buffer.length == 100000 && same, "100000 characters appended one by one are all there");
	ok(buffer.capacity >= buffer.length && buffer.capacity <= 2 * buffer.length, "capacity is at most doubled");
	sluice_buffer_reset(&buffer);
	ok(buffer.length == 0 && buffer.capacity > 0, "reset keeps the memory");
	sluice_buffer_append_text(&buffer, "abc");
	sluice_buffer_append(&buffer, "defg", 4);
	sluice_buffer_append(&buffer, NULL, 0);
	ok(buffer.length == 7 && memcmp(buffer.data, "abcdefg", 7) == 0, "text and bytes are appended after a reset");
	sluice_buffer_free(&buffer);
	ok(buffer.data == NULL && buffer.length == 0 && buffer.capacity == 0, "free leaves an empty buffer");
}

static void
test_limit(void)
{
	SluiceBuffer buffer = {.limit = 10};

	sluice_buffer_append(&buffer, "0123456789", 10);
	ok(buffer.length == 10 && !buffer.failed, "the limit itself fits");
	sluice_buffer_append_char(&buffer, 'x');
	ok(buffer.length == 10 && buffer.failed && buffer.over_limit, "one more fails and tells that it was the limit");
	sluice_buffer_reset(&buffer);
	sluice_buffer_append(&buffer, "0123", 4);
	ok(!sluice_buffer_reserve(&buffer, SIZE_MAX), "a reserve that would overflow fails");
	ok(buffer.length == 4 && memcmp(buffer.data, "0123", 4) == 0, "what was there before a failure is there still");
	sluice_buffer_append(&buffer, "4", 1);
	ok(buffer.length == 4, "a failed buffer takes nothing more, though there would be room");
	sluice_buffer_free(&buffer);
	ok(buffer.limit == 10 && !buffer.failed, "free keeps the limit");

	memset(&buffer, 0, sizeof(buffer));
	ok(!sluice_buffer_reserve(&buffer, SLUICE_BUFFER_LIMIT + 1), "without a limit of its own a buffer has the general one");
	sluice_buffer_free(&buffer);
}

int
main(void)
{
	test_growth();
	test_limit();
	return finish();
}
