/* input_protobuf: messages behind their lengths. */
#include "feed.h"

#define PROTOBUF &sluice_input_protobuf

int
main(void)
{
	static char large[1100];
	SluiceInput *input;
	SluiceInputRecord record;
	size_t		used;

	feeds(PROTOBUF, NULL, "", "END", "nothing");
	feeds(PROTOBUF, NULL, "\3abc\1\n\2xy", "1:-=abc|2:-=\n|3:-=xy|END", "messages are counted");
	feeds(PROTOBUF, NULL, "\xEF\xBB\xBF", "ERROR 1: the input ends within a message",
		  "a byte-order mark is none");
	feeds(PROTOBUF, NULL, "\1a\3ab", "1:-=a|ERROR 2: the input ends within a message", "half a message");
	feeds(PROTOBUF, NULL, "\1a\x83", "1:-=a|ERROR 2: the input ends within a message", "half a length");
	feeds(PROTOBUF, NULL, "\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80",
		  "ERROR 1: not a length-delimited message: its length is no varint", "a length without an end");

	memset(large, 'x', sizeof(large));
	memcpy(large, "\xE8\x07", 2);
	large[1002] = '\0';
	ok(strlen(feed(PROTOBUF, NULL, 1000, large, 33)) == 1000 + 5 + 3, "a message as large as the largest record");
	large[0] = '\xE9';
	feeds(PROTOBUF, NULL, large, "ERROR 1: the message is larger than the largest record (1000 bytes)", "one byte more");

	input = sluice_input_create(PROTOBUF, NULL, 100);
	ok(sluice_input_next(input, "\0\2a\0z", 5, false, &used, &record) == SLUICE_INPUT_RECORD && used == 1 &&
	   record.payload_length == 0, "an empty message");
	ok(sluice_input_next(input, "\2a\0z", 4, false, &used, &record) == SLUICE_INPUT_RECORD && used == 3 &&
	   record.payload_length == 2 && memcmp(record.payload, "a", 2) == 0, "a zero byte");
	sluice_input_free(input);
	ok(sluice_input_format("protobuf") == PROTOBUF, "by its name");
	return done_testing();
}
