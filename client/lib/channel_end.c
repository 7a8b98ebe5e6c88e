/*
 * channel_end.c
 *		How a call ended, and what that means for the next one.
 *
 * Only what the server itself says about the producer is final, and it says so
 * in metadata of its own, which no proxy makes up.  Codes that a wrong address or
 * a missing right bring are tried again rarely, everything else soon.
 */
#include "channel_end.h"

#include <stdio.h>
#include <string.h>

#include "quantity.h"

/* gRPC's codes that need somebody's hand. */
enum
{
	STATUS_NOT_FOUND = 5,
	STATUS_PERMISSION_DENIED = 7,
	STATUS_UNIMPLEMENTED = 12,
	STATUS_UNAUTHENTICATED = 16
};

SluiceEnding
sluice_channel_end_means(const SluiceChannelEnd *end)
{
	static const struct
	{
		const char *reason;
		SluiceEnding ending;
	}			reasons[] = {
		{"FENCED", SLUICE_ENDING_FENCED},
		{"FORKED", SLUICE_ENDING_FORKED},
		{"STREAM_REPLACED", SLUICE_ENDING_REPLACED},
		{"HOLE", SLUICE_ENDING_HOLE},
		{"RECONNECT", SLUICE_ENDING_RECONNECT}
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
	{
		if (strcmp(end->reason, reasons[i].reason) == 0)
			return reasons[i].ending;
	}
	switch (end->status)
	{
		case STATUS_NOT_FOUND:
		case STATUS_PERMISSION_DENIED:
		case STATUS_UNIMPLEMENTED:
		case STATUS_UNAUTHENTICATED:
			return SLUICE_ENDING_REFUSED;
		default:
			return SLUICE_ENDING_AGAIN;
	}
}

void
sluice_channel_end_set_message(SluiceChannelEnd *end, const void *text, size_t length)
{
	size_t		kept = length < sizeof(end->message) ? length : sizeof(end->message) - 1;

	memcpy(end->message, text, kept);
	/* Not in the middle of a character of UTF-8. */
	while (kept < length && kept > 0 && ((const unsigned char *) text)[kept] >> 6 == 2)
		kept--;
	end->message[kept] = '\0';
	for (size_t i = 0; i < kept; i++)
	{
		if ((unsigned char) end->message[i] < 0x20 || end->message[i] == 0x7F)
			end->message[i] = ' ';
	}
}

static void
describe_login(const SluiceChannelEnd *end, char *text, size_t size)
{
	static const char *const why[] = {
		[SLUICE_SHOWN_NOTHING] = " (no user was given)",
		[SLUICE_SHOWN_USER] = " (no password was found)",
		[SLUICE_SHOWN_PASSWORD] = ""
	};

	snprintf(text, size, "login failed%s%.160s%s", end->message[0] != '\0' ? ": " : "", end->message, why[end->shown]);
}

void
sluice_channel_end_describe(const SluiceChannelEnd *end, char *text, size_t size)
{
	if (end->status == STATUS_UNAUTHENTICATED)
		describe_login(end, text, size);
	else if (end->status == STATUS_PERMISSION_DENIED)
		snprintf(text, size, "not permitted%s%.180s", end->message[0] != '\0' ? ": " : "", end->message);
	else if (end->message[0] != '\0')
		snprintf(text, size, "%s", end->message);
	else if (end->status == 0)
		snprintf(text, size, "the server ended the call");
	else
		snprintf(text, size, "the server ended the call with status %d", end->status);
}

void
sluice_channel_end_set_sequence(SluiceChannelEnd *end, const void *digits, size_t length)
{
	char		text[24] = "";
	int64_t		sequence;

	end->last_sequence = 0;
	if (length >= sizeof(text))
		return;
	memcpy(text, digits, length);
	if (strspn(text, "0123456789") == length && sluice_quantity_read(text, SLUICE_UNITS_NONE, &sequence))
		end->last_sequence = (uint64_t) sequence;
}
