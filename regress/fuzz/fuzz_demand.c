/*
 * fuzz_demand.c
 *		libFuzzer: the requests of Subscribe and Unsubscribe, hand-walked.
 *
 * The first byte chooses which of the two the rest is.  What was accepted is
 * within its bounds, and its text is text; where protobuf-c reads the request
 * too, it must read the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/demand.h"
#include "sluice.pb-c.h"
#include "utf8.h"
#include "wire.h"

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds)
{
	if (!holds)
		abort();
}

static void
check_text(const char *text, size_t size)
{
	size_t		length = strnlen(text, size);

	check(length < size && sluice_utf8_valid((const uint8_t *) text, length, true));
}

/* Bits beyond the 64th, which we drop, make a bool true for protobuf-c. */
static void
check_bool(bool ours, protobuf_c_boolean reference)
{
	check(reference || !ours);
}

static void
fuzz_subscribe(const SluiceDemand *demand, const Sluice__V1__SubscribeRequest *reference)
{
	SluiceWish	wish;
	SluiceDemandStream stream;
	const char *error = NULL;

	if (!sluice_demand_subscribe(demand, &wish, &stream, &error))
	{
		check(error != NULL && error[0] != '\0');
		return;
	}
	check_text(wish.subscription, sizeof(wish.subscription));
	check_text(wish.client, sizeof(wish.client));
	check(wish.from <= SLUICE_FROM_TIME && wish.guarantee <= SLUICE_AT_MOST_ONCE && wish.encoding <= 3);
	check(wish.max_in_flight >= 1 && wish.max_in_flight <= SLUICE_IN_FLIGHT_MAX);
	check(stream.length == 0 || ((const uint8_t *) stream.name >= demand->body &&
								 (const uint8_t *) stream.name + stream.length <= demand->body + demand->length));
	if (reference != NULL)
	{
		const Sluice__V1__Subscribe *subscribe = reference->subscribe;

		check(strcmp(subscribe->subscription, wish.subscription) == 0);
		check(memcmp(subscribe->stream, stream.name, strnlen(subscribe->stream, stream.length)) == 0);
		check((int) subscribe->from == wish.from && (int) subscribe->guarantee == wish.guarantee &&
			  (int) subscribe->encoding == wish.encoding);
		check(subscribe->after_offset == wish.after_offset && subscribe->since == wish.since);
		check(subscribe->max_in_flight == wish.max_in_flight || subscribe->max_in_flight == 0 ||
			  subscribe->max_in_flight > SLUICE_IN_FLIGHT_MAX);
		check_bool(wish.create, subscribe->create);
		check_bool(wish.wants_start, subscribe->wants_start);
	}
}

/* Field 2 in a Start: with more than one, protobuf-c merges where we take the last. */
static int
count_tokens(const SluiceDemand *demand)
{
	SluiceWire	wire = {demand->body, demand->body + demand->length};
	uint32_t	number;
	uint32_t	type;
	int			n = 0;

	while (wire.at < wire.end && sluice_wire_tag(&wire, &number, &type) && sluice_wire_skip(&wire, number, type))
		n += number == 2;
	return n;
}

static void
compare_start(const SluiceDemand *demand, const SluiceAdvance *advance, const Sluice__V1__Start *start)
{
	const SluiceToken *token = &advance->token;

	check(start->epoch == advance->epoch && (start->token != NULL) == advance->has_token);
	check_bool(advance->accept_fork, start->accept_fork);
	if (start->token == NULL || count_tokens(demand) != 1)
		return;
	check(start->token->stream_uid.len == SLUICE_UID_SIZE && memcmp(start->token->stream_uid.data, token->stream_uid, SLUICE_UID_SIZE) == 0);
	check(start->token->system_identifier == token->system_identifier && start->token->timeline == token->timeline &&
		  start->token->lsn == token->lsn && start->token->offset == token->offset);
}

static void
compare_acknowledge(const SluiceAdvance *advance, const Sluice__V1__Acknowledge *acknowledge)
{
	check(acknowledge->epoch == advance->epoch && acknowledge->offset == advance->offset);
	check(acknowledge->n_redriven == advance->nredriven);
	for (uint32_t i = 0; i < advance->nredriven; i++)
		check(acknowledge->redriven[i] == advance->redriven[i]);
}

static void
fuzz_advance(const SluiceDemand *demand, const Sluice__V1__SubscribeRequest *reference)
{
	const char *error = NULL;
	size_t		size = 0;
	SluiceAdvance *advance = sluice_demand_advance(demand, &size, &error);

	if (advance == NULL)
	{
		check(error != NULL && error[0] != '\0');
		return;
	}
	check(advance->nredriven <= SLUICE_ADVANCE_REDRIVEN_MAX && size <= sizeof(SluiceAdvance) + SLUICE_ADVANCE_REDRIVEN_MAX * sizeof(int64_t));
	if (advance->reason != NULL)
		check_text(advance->reason, SLUICE_NACK_REASON_SIZE);
	if (reference != NULL && advance->kind == SLUICE_ADVANCE_START)
		compare_start(demand, advance, reference->start);
	else if (reference != NULL && advance->kind == SLUICE_ADVANCE_ACKNOWLEDGE)
		compare_acknowledge(advance, reference->acknowledge);
	else if (reference != NULL)
		check(reference->nack->epoch == advance->epoch && reference->nack->offset == advance->offset &&
			  reference->nack->redrive == advance->redrive);
	free(advance);
}

static void
fuzz_unsubscribe(const uint8_t *data, size_t size)
{
	SluiceWish	wish;
	const char *error = NULL;
	Sluice__V1__UnsubscribeRequest *reference;

	if (!sluice_demand_unsubscribe(data, size, &wish, &error))
	{
		check(error != NULL && error[0] != '\0');
		return;
	}
	check_text(wish.subscription, sizeof(wish.subscription));
	check(wish.subscription[0] != '\0');
	reference = sluice__v1__unsubscribe_request__unpack(NULL, size, data);
	if (reference == NULL)
		return;
	check(strcmp(reference->subscription, wish.subscription) == 0 && reference->epoch == wish.epoch);
	check_bool(wish.drop, reference->drop);
	sluice__v1__unsubscribe_request__free_unpacked(reference, NULL);
}

/* Fields 1 to 4 in a message: with more than one, protobuf-c merges where we take the last. */
static int
count_requests(const uint8_t *data, size_t size)
{
	SluiceWire	wire = {data, data + size};
	uint32_t	number;
	uint32_t	type;
	int			n = 0;

	while (wire.at < wire.end && sluice_wire_tag(&wire, &number, &type) && sluice_wire_skip(&wire, number, type))
		n += number <= SLUICE_DEMAND_NACK;
	return n;
}

static void
fuzz_request(const uint8_t *data, size_t size)
{
	SluiceDemand demand;
	Sluice__V1__SubscribeRequest *reference = NULL;
	const Sluice__V1__SubscribeRequest *same = NULL;
	const char *error = NULL;

	if (!sluice_demand_parse(data, size, &demand, &error))
	{
		check(error != NULL && error[0] != '\0');
		return;
	}
	if (count_requests(data, size) == 1)
		reference = sluice__v1__subscribe_request__unpack(NULL, size, data);
	if (reference != NULL && (int) reference->request_case == (int) demand.kind)
		same = reference;
	if (demand.kind == SLUICE_DEMAND_SUBSCRIBE)
		fuzz_subscribe(&demand, same);
	else if (demand.kind != SLUICE_DEMAND_NONE)
		fuzz_advance(&demand, same);
	if (reference != NULL)
		sluice__v1__subscribe_request__free_unpacked(reference, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		fuzz_unsubscribe(data + 1, size - 1);
	else
		fuzz_request(data + 1, size - 1);
	return 0;
}
