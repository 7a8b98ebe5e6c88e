/*
 * consumer.h
 *		A call of Subscribe, as network thread and main thread hand it to each other.
 *
 * Plain C: both worlds include it.  What goes through the rings are records of
 * the kinds below; each begins a struct of its own (SluiceConsumerRecord) and is
 * the network thread's memory, which the main thread has between arrival and
 * outcome, as with all records.
 *
 *	SLUICE_SUBSCRIBE	first, once: what is wanted is in the sender's wish.  Comes back at
 *						once with SLUICE_OPENED, or with SLUICE_REFUSED and nothing else follows.
 *	SLUICE_PULL			after OPENED, at most SLUICE_PULLS of them at a time: there is room for
 *						one more message.  The main thread keeps it until it has one, and gives it back with
 *						SLUICE_MESSAGE (message, message_length: a serialized SubscribeResponse, malloc'ed, the network
 *						thread's from then on), with SLUICE_REFUSED (the call ends), or with SLUICE_PENDING
 *						(nothing: after SLUICE_LEAVE).
 *	SLUICE_ADVANCE		a Start, Acknowledge or Nack, in advance.  Comes back when it was taken
 *						(SLUICE_OPENED), in their order, or with SLUICE_REFUSED.
 *	SLUICE_LEAVE		last, once after OPENED: the client half-closed (graceful) or is gone.  The main
 *						thread gives all pulls back first, and this one when it has forgotten the call.
 *	SLUICE_UNSUBSCRIBE	a call of Unsubscribe, in the sender's wish; comes back with SLUICE_OPENED or SLUICE_REFUSED.
 */
#ifndef SLUICE_CONSUMER_H
#define SLUICE_CONSUMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../record.h"

#define SLUICE_PULLS 2

/* Of a message: rows are added until it has so much.  A message costs 200 us whatever is in it; all messages of calls that stand still are memory. */
#define SLUICE_MESSAGE_BYTES (128 * 1024)

#define SLUICE_WISH_NAME_SIZE 801	/* 200 characters of UTF-8, NUL */
#define SLUICE_WISH_CLIENT_SIZE 64

#define SLUICE_IN_FLIGHT_DEFAULT 10000
#define SLUICE_IN_FLIGHT_MAX 65536

/* sluice.v1.StartFrom */
typedef enum SluiceStartFrom
{
	SLUICE_FROM_UNSPECIFIED = 0,
	SLUICE_FROM_EARLIEST,
	SLUICE_FROM_LATEST,
	SLUICE_FROM_OFFSET,
	SLUICE_FROM_TIME
} SluiceStartFrom;

/* sluice.v1.Guarantee */
typedef enum SluiceGuarantee
{
	SLUICE_GUARANTEE_UNSPECIFIED = 0,
	SLUICE_AT_LEAST_ONCE,
	SLUICE_AT_MOST_ONCE
} SluiceGuarantee;

/* A Subscribe, or an Unsubscribe.  The network thread's memory, constant once it was handed over. */
typedef struct SluiceWish
{
	char		subscription[SLUICE_WISH_NAME_SIZE];	/* UTF-8; "": ephemeral */
	char		client[SLUICE_WISH_CLIENT_SIZE];
	bool		create;
	bool		wants_start;
	uint8_t		from;			/* SluiceStartFrom */
	uint8_t		guarantee;		/* SluiceGuarantee */
	uint8_t		encoding;		/* sluice.v1.Encoding */
	uint32_t	max_in_flight;	/* 1 to SLUICE_IN_FLIGHT_MAX */
	int64_t		after_offset;
	int64_t		since;

	/* Unsubscribe: */
	uint64_t	epoch;
	bool		drop;
	bool		dropped;		/* the answer: the main thread's */
} SluiceWish;

typedef struct SluiceToken
{
	uint8_t		stream_uid[SLUICE_UID_SIZE];
	uint64_t	system_identifier;
	uint32_t	timeline;
	uint64_t	lsn;
	int64_t		offset;
} SluiceToken;

typedef enum SluiceAdvanceKind
{
	SLUICE_ADVANCE_START,
	SLUICE_ADVANCE_ACKNOWLEDGE,
	SLUICE_ADVANCE_NACK
} SluiceAdvanceKind;

/* Acknowledge.redriven takes no more in one message. */
#define SLUICE_ADVANCE_REDRIVEN_MAX 1000

#define SLUICE_NACK_REASON_SIZE 1001

typedef struct SluiceAdvance
{
	SluiceAdvanceKind kind;
	uint64_t	epoch;
	int64_t		offset;			/* acknowledge, nack */
	bool		has_token;		/* start */
	bool		accept_fork;	/* start */
	SluiceToken token;			/* start */
	int64_t		redrive;		/* nack */
	int64_t    *redriven;		/* acknowledge; behind the struct, in the same memory */
	uint32_t	nredriven;
	char	   *reason;			/* nack: UTF-8, NUL-terminated, at most SLUICE_NACK_REASON_SIZE; behind the struct; or NULL */
} SluiceAdvance;

typedef struct SluiceConsumerRecord
{
	SluiceRecord record;		/* first, for the casts; kind tells which of the following is there */
	struct SluiceConsumerRecord *next;	/* the main thread's, while it has the record */
	SluiceAdvance *advance;		/* SLUICE_ADVANCE: the network thread's malloc */
	bool		graceful;		/* SLUICE_LEAVE */
	uint8_t    *message;		/* SLUICE_PULL, coming back */
	size_t		message_length;
	uint32_t	message_rows;	/* for the counters */
} SluiceConsumerRecord;

#endif							/* SLUICE_CONSUMER_H */
