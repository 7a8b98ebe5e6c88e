/*
 * format_memory_test.c
 *		Every allocation fails once, in bind and in decode: the failure is
 *		returned as 53200, nothing leaks, and the next payload is decoded.
 *
 * Linked with --wrap for malloc and its kin.
 */
#include "everything_columns.h"
#include "protobuf_case.h"

extern void *__real_malloc(size_t size);
extern void *__real_calloc(size_t n, size_t size);
extern void *__real_realloc(void *data, size_t size);
extern void *__wrap_malloc(size_t size);
extern void *__wrap_calloc(size_t n, size_t size);
extern void *__wrap_realloc(void *data, size_t size);

static long countdown = -1;		/* the allocation that fails, counted from 0; -1: none */
static bool failed;

static bool
fails(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	failed = true;
	return true;
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *data, size_t size)
{
	return fails() ? NULL : __real_realloc(data, size);
}

/* Bind with the n-th allocation failing.  False: there were fewer, and it succeeded. */
static bool
bind_fails(const SluiceFormatOptions *options, const SluiceColumn *columns, int ncolumns, long n, int *nwrong)
{
	SluiceFormatError error;
	SluiceFormat *format;

	failed = false;
	countdown = n;
	format = sluice_format_bind(options, columns, ncolumns, &error);
	countdown = -1;
	/* protobuf-c does not tell why it could not unpack a set */
	if (failed ? (format != NULL || (strcmp(error.sqlstate, "53200") != 0 && strcmp(error.sqlstate, "22023") != 0)) : format == NULL)
		(*nwrong)++;
	sluice_format_free(format);
	return failed;
}

static bool
decode_fails(const SluiceFormatOptions *options, const SluiceColumn *columns, int ncolumns,
			 const char *payload, size_t length, long n, int *nwrong)
{
	SluiceFormatError error;
	SluiceFormat *format = sluice_format_bind(options, columns, ncolumns, &error);
	SluiceValue *values = calloc((size_t) ncolumns, sizeof(SluiceValue));
	bool		decoded;

	failed = false;
	countdown = n;
	decoded = sluice_format_decode(format, (const uint8_t *) payload, length, values, &error);
	countdown = -1;
	if (decoded == failed || (failed && strcmp(error.sqlstate, "53200") != 0))
		(*nwrong)++;
	if (!sluice_format_decode(format, (const uint8_t *) payload, length, values, &error))
		(*nwrong)++;
	free(values);
	sluice_format_free(format);
	return failed;
}

static void
test_format(const SluiceFormatOptions *options, const SluiceColumn *columns, int ncolumns,
			const char *payload, size_t length, const char *name)
{
	int			nwrong = 0;
	long		n = 0;

	while (bind_fails(options, columns, ncolumns, n, &nwrong))
		n++;
	ok(n > 5 && nwrong == 0, "%s: each of %ld allocations of bind failed once (%d wrong)", name, n, nwrong);
	n = 0;
	while (decode_fails(options, columns, ncolumns, payload, length, n, &nwrong))
		n++;
	ok(n > 0 && nwrong == 0, "%s: each of %ld allocations of decode failed once (%d wrong)", name, n, nwrong);
}

int
main(void)
{
	SluiceFormatOptions options = EVERYTHING;
	SluiceFormatOptions json = {.format = SLUICE_FORMAT_JSON,.overflow_column = -1};
	SluiceColumn columns[2] = {
		column_of("t", SLUICE_COLUMN_TEXT, "text"), column_of("a", SLUICE_COLUMN_TEXT, "text")
	};
	const char *object = "{\"\\u0074\":\"\\n\",\"a\":[\"\\t\",\"x\"]}";
	SluiceBuffer long_text = {0};
	size_t		length;
	char	   *exact;

	columns[1].is_array = true;
	for (int i = 0; i < 500; i++)
	{
		put_int(&wire, 40, i);
		put_text(&deeper, 3, "label");
		put_message(&inner, 4, &deeper);
	}
	put_message(&wire, 60, &inner);
	exact = take_exact(&length);
	test_format(&options, everything_columns, NEVERYTHING, exact, length, "protobuf");
	free(exact);
	sluice_buffer_append_text(&long_text, object);
	test_format(&json, columns, 2, long_text.data, long_text.length, "json");
	sluice_buffer_free(&long_text);
	free_payloads();
	return finish();
}
