/*
 * call_end.c
 *		How a call of IngestData ended, and what that means for the next one.
 *
 * Only what the server says about the call itself is final.  Everything else,
 * the codes that a proxy or a dying server makes up among them, is tried again.
 */
#include "call_end.h"

#include <string.h>

/* gRPC's codes that the client has something to say about. */
enum
{
	STATUS_INVALID_ARGUMENT = 3,
	STATUS_NOT_FOUND = 5,
	STATUS_PERMISSION_DENIED = 7,
	STATUS_RESOURCE_EXHAUSTED = 8,
	STATUS_UNIMPLEMENTED = 12,
	STATUS_UNAUTHENTICATED = 16
};

bool
sluice_call_end_is_too_large(const SluiceCallEnd *end)
{
	/* gRPC has no code of its own for it: without these words of its library the server is only busy. */
	return end->status == STATUS_RESOURCE_EXHAUSTED && strstr(end->message, "larger than") != NULL;
}

bool
sluice_call_end_is_refusal(const SluiceCallEnd *end)
{
	switch (end->status)
	{
		case STATUS_INVALID_ARGUMENT:
		case STATUS_NOT_FOUND:
		case STATUS_PERMISSION_DENIED:
		case STATUS_UNAUTHENTICATED:
		case STATUS_UNIMPLEMENTED:
			return true;
		default:
			return sluice_call_end_is_too_large(end);
	}
}

bool
sluice_call_end_read_count(const uint8_t *digits, size_t ndigits, uint64_t *count)
{
	*count = 0;
	if (ndigits == 0 || ndigits > 18)
		return false;
	for (size_t i = 0; i < ndigits; i++)
	{
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		*count = *count * 10 + (uint64_t) (digits[i] - '0');
	}
	return true;
}
