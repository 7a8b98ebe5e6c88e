/*
 * input_protobuf.c
 *		Protobuf messages one behind the other, each behind its length (a varint).
 *
 * That is what writeDelimitedTo() of Java and C++ writes.  The messages are
 * not looked into.  What is counted as a line is a message.
 */
#include "input.h"

#define LENGTH_MAX 10			/* bytes of a varint */

/* The varint at the start of bytes: RECORD with its value and its size, MORE, or ERROR. */
static SluiceInputResult
read_length(SluiceInput *input, const char *bytes, size_t length, uint64_t *value, size_t *size)
{
	*value = 0;
	for (size_t i = 0; i < LENGTH_MAX && i < length; i++)
	{
		*value |= (uint64_t) ((unsigned char) bytes[i] & 0x7F) << (7 * i);
		if (((unsigned char) bytes[i] & 0x80) == 0)
		{
			*size = i + 1;
			return SLUICE_INPUT_RECORD;
		}
	}
	if (length < LENGTH_MAX)
		return SLUICE_INPUT_MORE;
	return sluice_input_fail(input, input->line, "not a length-delimited message: its length is no varint");
}

static SluiceInputResult
next_record(SluiceInput *input, const char *bytes, size_t length, bool at_end,
			size_t *used, SluiceInputRecord *record)
{
	uint64_t	message;
	size_t		head = 0;
	SluiceInputResult result;

	if (length == 0)
		return at_end ? SLUICE_INPUT_END : SLUICE_INPUT_MORE;
	result = read_length(input, bytes, length, &message, &head);
	if (result == SLUICE_INPUT_RECORD && message > input->max_record)
		return sluice_input_fail(input, input->line, "the message is larger than the largest record (%zu bytes)",
								 input->max_record);
	if (result == SLUICE_INPUT_RECORD && message > length - head)
		result = SLUICE_INPUT_MORE;
	if (result == SLUICE_INPUT_MORE && at_end)
		return sluice_input_fail(input, input->line, "the input ends within a message");
	if (result != SLUICE_INPUT_RECORD)
		return result;
	record->payload = bytes + head;
	record->payload_length = (size_t) message;
	record->line = input->line++;
	*used = head + (size_t) message;
	return SLUICE_INPUT_RECORD;
}

const SluiceInputFormat sluice_input_protobuf = {"protobuf", false, next_record, NULL};
