/* channel_end: what the end of a call means. */
#include "channel_end.h"

#include "tap.h"

static SluiceEnding
means(int status, const char *reason)
{
	SluiceChannelEnd end = {.status = status};

	strcpy(end.reason, reason);
	return sluice_channel_end_means(&end);
}

static uint64_t
sequence(const char *digits)
{
	SluiceChannelEnd end = {.last_sequence = 5};

	sluice_channel_end_set_sequence(&end, digits, strlen(digits));
	return end.last_sequence;
}

static void
is_told(int status, SluiceShown shown, const char *message, const char *expected)
{
	SluiceChannelEnd end = {.status = status, .shown = shown};
	char		text[200];

	strcpy(end.message, message);
	sluice_channel_end_describe(&end, text, sizeof(text));
	is_bytes(text, strlen(text), expected, expected);
}

int
main(void)
{
	static const int soft[] = {0, 1, 2, 3, 4, 6, 8, 9, 10, 11, 13, 14, 15, 99};
	static const int hard[] = {5, 7, 12, 16};
	SluiceChannelEnd end = {0};
	bool		good = true;
	char		text[400];

	for (size_t i = 0; i < sizeof(soft) / sizeof(soft[0]); i++)
		good = good && means(soft[i], "") == SLUICE_ENDING_AGAIN;
	ok(good, "codes that may be better soon");
	for (size_t i = 0; i < sizeof(hard) / sizeof(hard[0]); i++)
		good = good && means(hard[i], "") == SLUICE_ENDING_REFUSED;
	ok(good, "codes that somebody has to do something about");
	ok(means(9, "FENCED") == SLUICE_ENDING_FENCED && means(9, "FORKED") == SLUICE_ENDING_FORKED &&
	   means(9, "STREAM_REPLACED") == SLUICE_ENDING_REPLACED && means(3, "HOLE") == SLUICE_ENDING_HOLE && means(14, "RECONNECT") == SLUICE_ENDING_RECONNECT, "reasons");
	ok(means(10, "SUPERSEDED") == SLUICE_ENDING_AGAIN && means(11, "TOO_LARGE") == SLUICE_ENDING_AGAIN &&
	   means(3, "MALFORMED") == SLUICE_ENDING_AGAIN && means(9, "fenced") == SLUICE_ENDING_AGAIN, "reasons to try again");

	ok(sequence("0") == 0 && sequence("17") == 17 && sequence("9000000000000000000") == 9000000000000000000u, "sequences");
	ok(sequence("") == 0 && sequence("-1") == 0 && sequence("1 ") == 0 && sequence("9223372036854775808") == 0 &&
	   sequence("111111111111111111111111111") == 0, "what is no sequence");

	end = (SluiceChannelEnd) {.status = 13};
	sluice_channel_end_describe(&end, text, sizeof(text));
	is_bytes(text, strlen(text), "the server ended the call with status 13", "an end without words");
	end.status = 0;
	sluice_channel_end_describe(&end, text, sizeof(text));
	is_bytes(text, strlen(text), "the server ended the call", "a good one");
	is_told(16, SLUICE_SHOWN_NOTHING, "no", "login failed: no (no user was given)");
	is_told(16, SLUICE_SHOWN_USER, "no", "login failed: no (no password was found)");
	is_told(16, SLUICE_SHOWN_PASSWORD, "no", "login failed: no");
	is_told(16, SLUICE_SHOWN_PASSWORD, "", "login failed");
	is_told(7, SLUICE_SHOWN_PASSWORD, "permission denied for table t", "not permitted: permission denied for table t");
	is_told(7, SLUICE_SHOWN_PASSWORD, "", "not permitted");
	strcpy(end.message, "no");
	sluice_channel_end_describe(&end, text, sizeof(text));
	is_bytes(text, strlen(text), "no", "the server's words");

	sluice_channel_end_set_message(&end, "a\nb\x1b[31m\x7f", 9);
	is_bytes(end.message, strlen(end.message), "a b [31m ", "one line, nothing for the terminal");
	memset(text, 'x', sizeof(text));
	sluice_channel_end_set_message(&end, text, sizeof(text));
	ok(strlen(end.message) == sizeof(end.message) - 1, "a long one is cut");
	memcpy(text + sizeof(end.message) - 2, "\xc3\xa9", 2);
	sluice_channel_end_set_message(&end, text, sizeof(text));
	ok(strlen(end.message) == sizeof(end.message) - 2, "not in the middle of a character");
	sluice_channel_end_set_message(&end, text, 0);
	ok(end.message[0] == '\0', "an empty one");
	return done_testing();
}
