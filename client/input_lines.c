/*
 * input_lines.c
 *		Lines: the bytes of each, without its newline, are a payload.
 *
 * Nothing is interpreted: a carriage return belongs to the line, an empty line
 * is an empty payload.
 */
#include "input.h"

static SluiceInputResult
next_record(SluiceInput *input, const char *bytes, size_t length, bool at_end,
			size_t *used, SluiceInputRecord *record)
{
	SluiceInputResult result;

	result = sluice_input_next_line(input, bytes, length, at_end, used, &record->payload_length);
	if (result != SLUICE_INPUT_RECORD)
		return result;
	record->payload = bytes;
	record->line = input->line++;
	return result;
}

const SluiceInputFormat sluice_input_lines = {"lines", false, next_record, NULL};
