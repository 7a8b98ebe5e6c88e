/* input_lines: bytes between newlines. */
#include "feed.h"

#define LINES &sluice_input_lines

int
main(void)
{
	char		text[1100];
	SluiceInput *input;
	SluiceInputRecord record;
	size_t		used;

	feeds(LINES, NULL, "", "END", "nothing");
	feeds(LINES, NULL, "a\nb", "1:-=a|2:-=b|END", "no newline at the end");
	feeds(LINES, NULL, "a\r\n\n b \n", "1:-=a\r|2:-=|3:-= b |END", "nothing is interpreted, an empty line is a record");
	feeds(LINES, NULL, "\xEF\xBB\xBFx\n", "1:-=\xEF\xBB\xBFx|END", "also not a byte-order mark");

	input = sluice_input_create(LINES, NULL, 100);
	ok(sluice_input_next(input, "a\0b\nc", 5, false, &used, &record) == SLUICE_INPUT_RECORD && used == 4 &&
	   record.payload_length == 3 && memcmp(record.payload, "a\0b", 3) == 0, "a zero byte");
	ok(sluice_input_next(input, "c", 1, false, &used, &record) == SLUICE_INPUT_MORE && used == 0, "the rest waits");
	sluice_input_free(input);

	memset(text, 'x', sizeof(text));
	text[1000] = '\n';
	text[1002] = '\0';
	ok(strlen(feed(LINES, NULL, 1000, text, 33)) == 1000 + 5 + 6 + 3, "a line as long as the largest record");
	text[1000] = 'x';
	text[1001] = '\0';
	feeds(LINES, NULL, text, "ERROR 1: the line is longer than the largest record (1000 bytes)", "one byte more");

	ok(sluice_input_format("lines") == LINES && sluice_input_format("csv") != NULL &&
	   sluice_input_format("ndjson") != NULL && sluice_input_format("xml") == NULL, "formats have names");
	return done_testing();
}
