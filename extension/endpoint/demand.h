/*
 * demand.h
 *		SubscribeRequest, and Unsubscribe's messages (proto/sluice.proto), on the wire, by hand.
 *
 * Plain C without gRPC, so that it can be fuzzed.  What is taken of a request
 * is bounded, whatever its lengths say: names by their fields in SluiceWish,
 * an advance by SLUICE_ADVANCE_REDRIVEN_MAX and SLUICE_NACK_REASON_SIZE.
 *
 * All text that comes out is valid UTF-8 without a NUL.  A name that is not is
 * refused; in text that is shown only, what is no character becomes a question mark.
 */
#ifndef SLUICE_DEMAND_H
#define SLUICE_DEMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer.h"

typedef enum SluiceDemandKind
{
	SLUICE_DEMAND_NONE = 0,		/* a kind of request that this server does not know */
	SLUICE_DEMAND_SUBSCRIBE,
	SLUICE_DEMAND_START,
	SLUICE_DEMAND_ACKNOWLEDGE,
	SLUICE_DEMAND_NACK
} SluiceDemandKind;

/* A request: which one, and its bytes. */
typedef struct SluiceDemand
{
	SluiceDemandKind kind;
	const uint8_t *body;
	size_t		length;
} SluiceDemand;

/* The name of the stream as it was sent: what it is worth is not looked at.  A pointer into the bytes. */
typedef struct SluiceDemandStream
{
	const char *name;
	size_t		length;
} SluiceDemandStream;

/* False: *error says why these bytes are no SubscribeRequest. */
extern bool sluice_demand_parse(const uint8_t *data, size_t length, SluiceDemand *demand, const char **error);

/* A Subscribe.  False: *error says what is wrong with it. */
extern bool sluice_demand_subscribe(const SluiceDemand *demand, SluiceWish *wish,
									SluiceDemandStream *stream, const char **error);

/*
 * A Start, Acknowledge or Nack: malloc'ed, in one piece of *size bytes.  NULL:
 * *error says what is wrong with it; where that is NULL too, there was no memory.
 */
extern SluiceAdvance *sluice_demand_advance(const SluiceDemand *demand, size_t *size, const char **error);

/* An UnsubscribeRequest. */
extern bool sluice_demand_unsubscribe(const uint8_t *data, size_t length, SluiceWish *wish, const char **error);

/* An UnsubscribeResponse; returns its length. */
#define SLUICE_UNSUBSCRIBED_SIZE_MAX 2
extern size_t sluice_demand_unsubscribed(uint8_t *out, bool dropped);

#endif							/* SLUICE_DEMAND_H */
