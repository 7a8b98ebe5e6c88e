/*
 * subscription.h
 *		The messages of Subscribe and Unsubscribe, as bytes.
 *
 * What is sent is made by protobuf-c.  What comes is walked by hand: it may be
 * anything, and is checked as a whole before a row of it is handed out.
 */
#ifndef SLUICE_LIB_SUBSCRIPTION_H
#define SLUICE_LIB_SUBSCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../extension/wire.h"
#include "settings.h"

/* Acknowledge.redriven in one message. */
#define SLUICE_SUBSCRIPTION_REDRIVEN_MAX 1000

/* Nack.reason is cut to so many bytes. */
#define SLUICE_SUBSCRIPTION_REASON_MAX 1000

/* No message that is sent is longer. */
#define SLUICE_SUBSCRIPTION_MAX (12 * 1024)

typedef enum SluiceReplyKind
{
	SLUICE_REPLY_NONE = 0,
	SLUICE_REPLY_START,
	SLUICE_REPLY_ACKNOWLEDGE,
	SLUICE_REPLY_NACK
} SluiceReplyKind;

/* What the consumer says about rows. */
typedef struct SluiceReply
{
	SluiceReplyKind kind;
	uint64_t	epoch;
	int64_t		offset;			/* acknowledge, nack */
	bool		has_token;		/* start */
	bool		accept_fork;
	sluice_token token;
	int64_t		redrive;		/* nack */
	char		reason[SLUICE_SUBSCRIPTION_REASON_MAX + 1];
	int64_t		redriven[SLUICE_SUBSCRIPTION_REDRIVEN_MAX]; /* acknowledge */
	size_t		nredriven;
} SluiceReply;

/* These return the length.  resume: go on behind it instead of where the settings say; NULL: none. */
extern size_t sluice_subscription_write_subscribe(uint8_t out[SLUICE_SUBSCRIPTION_MAX], const SluiceSettings *settings,
												  const int64_t *resume);
extern size_t sluice_subscription_write_reply(uint8_t out[SLUICE_SUBSCRIPTION_MAX], const SluiceReply *reply);
extern size_t sluice_subscription_write_unsubscribe(uint8_t out[SLUICE_SUBSCRIPTION_MAX], const SluiceSettings *settings,
													bool drop);

typedef enum SluiceResponseKind
{
	SLUICE_RESPONSE_NONE = 0,	/* none that we know */
	SLUICE_RESPONSE_STANDBY,
	SLUICE_RESPONSE_ACTIVE,
	SLUICE_RESPONSE_ROWS,
	SLUICE_RESPONSE_CAUGHT_UP
} SluiceResponseKind;

typedef struct SluiceResponse
{
	SluiceResponseKind kind;
	uint64_t	epoch;			/* all but standby */
	int64_t		offset;			/* active: the position; caught_up */
	int64_t		previous;		/* rows */
	sluice_token token;			/* active, rows */
	unsigned	guarantee;		/* active */
	unsigned	encoding;
	SluiceWire	rows;			/* the message that has them */
	int64_t		last;			/* rows: the last offset of those that are no redrive, or previous */
	size_t		nrows;
} SluiceResponse;

/* False: it is no SubscribeResponse, or not such a one.  What response points to is in bytes. */
extern bool sluice_subscription_read(const uint8_t *bytes, size_t length, SluiceResponse *response);

/* The next row, in a message that was read before: payload, redrive, attempts and offset.  False: there are no more. */
extern bool sluice_subscription_next_row(SluiceWire *rows, sluice_row *row);

#endif							/* SLUICE_LIB_SUBSCRIPTION_H */
