/*
 * channel_end.h
 *		How a call ended, and what that means for the next one.
 */
#ifndef SLUICE_LIB_CHANNEL_END_H
#define SLUICE_LIB_CHANNEL_END_H

#include <stddef.h>
#include <stdint.h>

/* How we told who we are; a client certificate aside. */
typedef enum SluiceShown
{
	SLUICE_SHOWN_NOTHING,
	SLUICE_SHOWN_USER,			/* without a password */
	SLUICE_SHOWN_PASSWORD
} SluiceShown;

typedef struct SluiceChannelEnd
{
	int			status;			/* gRPC's code */
	int64_t		pushback;		/* how long to stay away: a hint as in backoff.h */
	SluiceShown shown;
	char		reason[32];		/* sluice-reason of the trailing metadata, "" = none */
	uint64_t	last_sequence;	/* sluice-last-sequence, 0 = none */
	char		message[200];	/* the server's, or the transport's; "" = none */
} SluiceChannelEnd;

/* What to do now. */
typedef enum SluiceEnding
{
	SLUICE_ENDING_AGAIN,		/* connect again, with backoff */
	SLUICE_ENDING_RECONNECT,	/* RECONNECT: nothing is wrong, connect again soon */
	SLUICE_ENDING_REFUSED,		/* somebody must do something first: try rarely */
	SLUICE_ENDING_REPLACED,		/* STREAM_REPLACED */
	SLUICE_ENDING_HOLE,			/* HOLE */
	SLUICE_ENDING_VIOLATION,	/* the server broke the protocol (never told by the server) */
	SLUICE_ENDING_FENCED,
	SLUICE_ENDING_FORKED
} SluiceEnding;

extern SluiceEnding sluice_channel_end_means(const SluiceChannelEnd *end);

/* Fills message with text of any origin: one line of printable characters. */
extern void sluice_channel_end_set_message(SluiceChannelEnd *end, const void *text, size_t length);

/* A sentence: what the server said, or that it said nothing. */
extern void sluice_channel_end_describe(const SluiceChannelEnd *end, char *text, size_t size);

/* Decimal digits; anything else is none. */
extern void sluice_channel_end_set_sequence(SluiceChannelEnd *end, const void *digits, size_t length);

#endif							/* SLUICE_LIB_CHANNEL_END_H */
