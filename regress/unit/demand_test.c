/*
 * demand_test.c
 *		Requests of Subscribe and Unsubscribe as clients may send them.
 *
 * Requests are written by protobuf-c, or by hand where no client would write
 * them, and read from memory that ends where they end.
 */
#include <stdlib.h>

#include "endpoint/demand.h"
#include "sluice.pb-c.h"
#include "tap.h"
#include "wire_writer.h"

/* A copy whose end a sanitizer knows. */
static uint8_t *
exact(const SluiceBuffer *request)
{
	uint8_t    *copy = malloc(request->length > 0 ? request->length : 1);

	if (request->length > 0)
		memcpy(copy, request->data, request->length);
	return copy;
}

/* ---- Subscribe ---- */

/* "" where it is accepted; body is emptied. */
static const char *
read_subscribe(SluiceBuffer *body, SluiceWish *wish, char *stream, size_t size)
{
	SluiceBuffer request = {0};
	SluiceDemand demand;
	SluiceDemandStream name;
	const char *error = "";
	uint8_t    *bytes;

	put_message(&request, 1, body);
	bytes = exact(&request);
	memset(wish, 0xff, sizeof(*wish));
	if (sluice_demand_parse(bytes, request.length, &demand, &error) && demand.kind == SLUICE_DEMAND_SUBSCRIBE &&
		sluice_demand_subscribe(&demand, wish, &name, &error))
		snprintf(stream, size, "%.*s", (int) name.length, name.name);
	free(bytes);
	sluice_buffer_free(&request);
	return error;
}

static const char *
read_wish(SluiceBuffer *body, SluiceWish *wish)
{
	char		stream[64];

	return read_subscribe(body, wish, stream, sizeof(stream));
}

static void
subscribes(void)
{
	Sluice__V1__Subscribe subscribe = SLUICE__V1__SUBSCRIBE__INIT;
	SluiceBuffer body = {0};
	SluiceWish	wish;
	uint8_t		packed[512];
	char		stream[64] = "";

	is_text(read_subscribe(&body, &wish, stream, sizeof(stream)), "", "a Subscribe without anything");
	ok(stream[0] == '\0' && wish.subscription[0] == '\0' && wish.client[0] == '\0' && !wish.create && !wish.wants_start &&
	   wish.from == SLUICE_FROM_UNSPECIFIED && wish.guarantee == SLUICE_GUARANTEE_UNSPECIFIED && wish.encoding == 0 &&
	   wish.after_offset == 0 && wish.since == 0 && !wish.drop && wish.max_in_flight == SLUICE_IN_FLIGHT_DEFAULT, "asks for what is usual");

	subscribe.stream = "readings";
	subscribe.subscription = "mailer";
	subscribe.create = subscribe.wants_start = 1;
	subscribe.from = SLUICE__V1__START_FROM__FROM_TIME;
	subscribe.after_offset = INT64_MIN;
	subscribe.since = INT64_MAX;
	subscribe.guarantee = SLUICE__V1__GUARANTEE__AT_MOST_ONCE;
	subscribe.encoding = SLUICE__V1__ENCODING__ENCODING_BYTES;
	subscribe.max_in_flight = 7;
	subscribe.client = "agent 1.0";
	sluice_buffer_append(&body, packed, sluice__v1__subscribe__pack(&subscribe, packed));
	put_text(&body, 77, "of a later version");
	is_text(read_subscribe(&body, &wish, stream, sizeof(stream)), "", "a Subscribe with all it can have, and more");
	is_text(stream, "readings", "its stream");
	is_text(wish.subscription, "mailer", "its subscription");
	is_text(wish.client, "agent 1.0", "its client");
	ok(wish.create && wish.wants_start && wish.from == SLUICE_FROM_TIME && wish.guarantee == SLUICE_AT_MOST_ONCE && wish.encoding == 3 &&
	   wish.after_offset == INT64_MIN && wish.since == INT64_MAX && wish.max_in_flight == 7, "its numbers");

	put_int(&body, 9, UINT32_MAX);
	ok(read_wish(&body, &wish)[0] == '\0' && wish.max_in_flight == SLUICE_IN_FLIGHT_MAX, "the server takes less than is wished");
	put_int(&body, 9, SLUICE_IN_FLIGHT_MAX);
	ok(read_wish(&body, &wish)[0] == '\0' && wish.max_in_flight == SLUICE_IN_FLIGHT_MAX, "or as much");
	put_text(&body, 2, "one");
	put_text(&body, 2, "two");
	ok(read_wish(&body, &wish)[0] == '\0' && strcmp(wish.subscription, "two") == 0, "of a field that comes twice the last counts");
	sluice_buffer_free(&body);
}

static void
names_are_bounded(void)
{
	static const char message[] = "the name of a subscription is not valid: it has at most 200 characters, in UTF-8";
	SluiceBuffer body = {0};
	SluiceWish	wish;
	char		text[1000];

	memset(text, 'x', sizeof(text));
	put_bytes(&body, 2, text, 200);
	ok(read_wish(&body, &wish)[0] == '\0' && strlen(wish.subscription) == 200, "a name of 200 letters");
	put_bytes(&body, 2, text, 201);
	is_text(read_wish(&body, &wish), message, "one of 201");
	put_bytes(&body, 2, text, 1000);
	is_text(read_wish(&body, &wish), message, "one of 1000");
	for (int i = 0; i < 201; i++)
		memcpy(text + 4 * i, "\xf0\x9f\x9a\xb0", 4);
	put_bytes(&body, 2, text, 800);
	ok(read_wish(&body, &wish)[0] == '\0' && strlen(wish.subscription) == 800, "200 characters of 4 bytes");
	put_bytes(&body, 2, text, 804);
	is_text(read_wish(&body, &wish), message, "201 of them");
	put_bytes(&body, 2, text, 799);
	is_text(read_wish(&body, &wish), message, "half a character");
	put_bytes(&body, 2, "a\0b", 3);
	is_text(read_wish(&body, &wish), message, "a NUL");
	put_bytes(&body, 2, "\xc3", 1);
	is_text(read_wish(&body, &wish), message, "a byte that is no character");
	sluice_buffer_free(&body);
}

static void
clients_are_clipped(void)
{
	SluiceBuffer body = {0};
	SluiceWish	wish;
	char		text[SLUICE_WISH_CLIENT_SIZE];

	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 2, "\xc3\xa4", 2);
	put_bytes(&body, 11, text, sizeof(text));
	ok(read_wish(&body, &wish)[0] == '\0' && strlen(wish.client) == sizeof(text) - 2, "a client's name is cut off between characters");
	put_bytes(&body, 11, "a\0b\xff\xc3", 5);
	ok(read_wish(&body, &wish)[0] == '\0' && strcmp(wish.client, "a?b??") == 0, "what is no character in it is not shown");
	sluice_buffer_free(&body);
}

static void
subscribes_may_be_malformed(void)
{
	static const char malformed[] = "message is not a sluice.v1.SubscribeRequest: its fields do not add up";
	SluiceBuffer body = {0};
	SluiceWish	wish;

	put_int(&body, 4, SLUICE_FROM_TIME + 1);
	is_text(read_wish(&body, &wish), "Subscribe.from is not known to this server", "a start of a later version");
	put_int(&body, 4, -1);
	is_text(read_wish(&body, &wish), "Subscribe.from is not known to this server", "none at all");
	put_int(&body, 7, SLUICE_AT_MOST_ONCE + 1);
	is_text(read_wish(&body, &wish), "Subscribe.guarantee is not known to this server", "a guarantee");
	put_int(&body, 8, 4);
	is_text(read_wish(&body, &wish), "Subscribe.encoding is not known to this server", "an encoding");
	put_int(&body, 2, 1);
	is_text(read_wish(&body, &wish), malformed, "a name that is a number");
	put_text(&body, 3, "yes");
	is_text(read_wish(&body, &wish), malformed, "a bool that is text");
	sluice_buffer_append(&body, "\x12\x05mail", 6);
	is_text(read_wish(&body, &wish), malformed, "a name that is longer than its message");
	sluice_buffer_append(&body, "\x0b", 1);
	is_text(read_wish(&body, &wish), malformed, "a group without an end");
	sluice_buffer_free(&body);
}

/* ---- advances ---- */

/* What is read of it, as text, or why it is refused; body is emptied. */
static const char *
read_advance(uint32_t number, SluiceBuffer *body)
{
	static char text[256];
	SluiceBuffer request = {0};
	SluiceDemand demand;
	SluiceAdvance *advance = NULL;
	const char *error = "";
	uint8_t    *bytes;
	size_t		size = 0;
	int			n;

	put_message(&request, number, body);
	bytes = exact(&request);
	if (sluice_demand_parse(bytes, request.length, &demand, &error))
		advance = sluice_demand_advance(&demand, &size, &error);
	free(bytes);			/* nothing of it is needed any more */
	sluice_buffer_free(&request);
	if (advance == NULL)
		return error;
	n = snprintf(text, sizeof(text), "%d epoch %llu offset %lld", (int) advance->kind, (unsigned long long) advance->epoch,
				 (long long) advance->offset);
	if (advance->has_token)
		n += snprintf(text + n, sizeof(text) - n, " token %.16s %llu/%u/%llu/%lld", (const char *) advance->token.stream_uid,
					  (unsigned long long) advance->token.system_identifier, advance->token.timeline,
					  (unsigned long long) advance->token.lsn, (long long) advance->token.offset);
	if (advance->accept_fork)
		n += snprintf(text + n, sizeof(text) - n, " accept_fork");
	if (advance->redrive != 0)
		n += snprintf(text + n, sizeof(text) - n, " redrive %lld", (long long) advance->redrive);
	for (uint32_t i = 0; i < advance->nredriven && i < 3; i++)
		n += snprintf(text + n, sizeof(text) - n, " %lld", (long long) advance->redriven[i]);
	if (advance->nredriven > 3)
		n += snprintf(text + n, sizeof(text) - n, " and so on: %u", advance->nredriven);
	if (advance->reason != NULL && strlen(advance->reason) < 100)
		n += snprintf(text + n, sizeof(text) - n, " because %s", advance->reason);
	else if (advance->reason != NULL)
		n += snprintf(text + n, sizeof(text) - n, " because of %zu bytes", strlen(advance->reason));
	ok(size >= sizeof(SluiceAdvance) + advance->nredriven * sizeof(int64_t) && size <= sizeof(SluiceAdvance) + 8000, "its size: %zu", size);
	free(advance);
	return text;
}

static void
put_token(SluiceBuffer *body, const char *uid)
{
	SluiceBuffer token = {0};

	put_text(&token, 1, uid);
	put_fixed(&token, 2, UINT64_MAX, 8);
	put_int(&token, 3, 2);
	put_fixed(&token, 4, 3, 8);
	put_int(&token, 5, -4);
	put_message(body, 2, &token);
	sluice_buffer_free(&token);
}

static void
starts(void)
{
	SluiceBuffer body = {0};

	is_text(read_advance(2, &body), "0 epoch 0 offset 0", "a Start without anything");
	put_fixed(&body, 1, UINT64_MAX, 8);
	put_token(&body, "0123456789abcdef");
	put_int(&body, 3, 1);
	is_text(read_advance(2, &body),
			"0 epoch 18446744073709551615 offset 0 token 0123456789abcdef 18446744073709551615/2/3/-4 accept_fork", "one with a token");
	put_token(&body, "0123456789abcde");
	is_text(read_advance(2, &body), "Token.stream_uid does not have 16 bytes", "a stream_uid that is short");
	put_bytes(&body, 2, "", 0);
	is_text(read_advance(2, &body), "Token.stream_uid does not have 16 bytes", "a token without one");
	put_bytes(&body, 2, "\x08", 1);
	is_text(read_advance(2, &body), "message is not a sluice.v1.SubscribeRequest: its fields do not add up", "half a token");
	put_int(&body, 1, 5);
	is_text(read_advance(2, &body), "message is not a sluice.v1.SubscribeRequest: its fields do not add up", "an epoch that is not fixed");
	sluice_buffer_free(&body);
}

static void
acknowledgements(void)
{
	static const char too_many[] = "Acknowledge.redriven is not valid: it has at most 1000 numbers";
	SluiceBuffer body = {0};
	SluiceBuffer packed = {0};

	is_text(read_advance(3, &body), "1 epoch 0 offset 0", "an Acknowledge without anything");
	put_fixed(&body, 1, 7, 8);
	put_int(&body, 2, INT64_MAX);
	put_varint(&packed, 5);
	put_varint(&packed, 300);
	put_message(&body, 3, &packed);
	put_int(&body, 3, -6);
	is_text(read_advance(3, &body), "1 epoch 7 offset 9223372036854775807 5 300 -6", "one with redriven rows, packed and not");
	for (int i = 0; i < SLUICE_ADVANCE_REDRIVEN_MAX; i++)
		put_varint(&packed, i);
	put_message(&body, 3, &packed);
	is_text(read_advance(3, &body), "1 epoch 0 offset 0 0 1 2 and so on: 1000", "as many as there may be");
	for (int i = 0; i < SLUICE_ADVANCE_REDRIVEN_MAX + 1; i++)
		put_varint(&packed, i);
	put_message(&body, 3, &packed);
	is_text(read_advance(3, &body), too_many, "one more");
	for (int i = 0; i < SLUICE_ADVANCE_REDRIVEN_MAX + 1; i++)
		put_int(&body, 3, i);
	is_text(read_advance(3, &body), too_many, "one more that is not packed");
	put_bytes(&body, 3, "\x80", 1);
	is_text(read_advance(3, &body), too_many, "half a number");
	put_fixed(&body, 3, 1, 8);
	is_text(read_advance(3, &body), too_many, "one that is no number");
	put_text(&body, 2, "2");
	is_text(read_advance(3, &body), "message is not a sluice.v1.SubscribeRequest: its fields do not add up", "an offset that is text");
	sluice_buffer_free(&body);
	sluice_buffer_free(&packed);
}

static void
nacks(void)
{
	SluiceBuffer body = {0};
	char		text[4000];

	is_text(read_advance(4, &body), "2 epoch 0 offset 0", "a Nack without anything");
	put_fixed(&body, 1, 7, 8);
	put_int(&body, 2, 8);
	put_int(&body, 3, 9);
	put_text(&body, 4, "no such mailbox");
	is_text(read_advance(4, &body), "2 epoch 7 offset 8 redrive 9 because no such mailbox", "one with all it can have");
	put_bytes(&body, 4, "a\0b\xff", 4);
	is_text(read_advance(4, &body), "2 epoch 0 offset 0 because a?b?", "what is no text in a reason is not kept");
	memset(text, 'x', sizeof(text));
	put_bytes(&body, 4, text, 1000);
	is_text(read_advance(4, &body), "2 epoch 0 offset 0 because of 1000 bytes", "a reason of 1000 bytes");
	put_bytes(&body, 4, text, sizeof(text));
	is_text(read_advance(4, &body), "2 epoch 0 offset 0 because of 1000 bytes", "a longer one");
	memcpy(text + 998, "\xe2\x82\xac", 3);
	put_bytes(&body, 4, text, sizeof(text));
	is_text(read_advance(4, &body), "2 epoch 0 offset 0 because of 998 bytes", "it is cut off between characters");
	put_int(&body, 4, 1);
	is_text(read_advance(4, &body), "message is not a sluice.v1.SubscribeRequest: its fields do not add up", "a reason that is a number");
	sluice_buffer_free(&body);
}

/* ---- requests ---- */

static void
requests(void)
{
	SluiceDemand demand;
	const char *error = "";
	size_t		size;

	ok(sluice_demand_parse((const uint8_t *) "", 0, &demand, &error) && demand.kind == SLUICE_DEMAND_NONE, "an empty message asks for nothing");
	ok(sluice_demand_parse((const uint8_t *) "\x4a\x01x", 3, &demand, &error) && demand.kind == SLUICE_DEMAND_NONE,
	   "nor does a request of a later version");
	ok(sluice_demand_advance(&demand, &size, &error) == NULL && error != NULL, "which is no advance");
	ok(sluice_demand_parse((const uint8_t *) "\x0a\x00\x1a\x00", 4, &demand, &error) && demand.kind == SLUICE_DEMAND_ACKNOWLEDGE,
	   "of two kinds in one message the last one counts");
	ok(!sluice_demand_parse((const uint8_t *) "\x0a\x7fx", 3, &demand, &error), "a message that is cut off: %s", error);
	ok(!sluice_demand_parse((const uint8_t *) "\x4b", 1, &demand, &error), "a group without an end: %s", error);
	ok(!sluice_demand_parse((const uint8_t *) "\x07", 1, &demand, &error), "no tag: %s", error);
}

/* No prefix of a request is read beyond its end, and none is taken for the whole. */
static void
requests_may_end_anywhere(void)
{
	SluiceBuffer body = {0};
	SluiceBuffer request = {0};
	size_t		whole = 0;

	put_fixed(&body, 1, 7, 8);
	put_token(&body, "0123456789abcdef");
	put_message(&request, 2, &body);
	for (size_t length = 0; length <= request.length; length++)
	{
		SluiceBuffer part = {.data = request.data,.length = length};
		uint8_t    *bytes = exact(&part);
		SluiceDemand demand;
		const char *error;

		whole += sluice_demand_parse(bytes, length, &demand, &error) && demand.kind == SLUICE_DEMAND_START;
		free(bytes);
	}
	ok(whole == 1, "of all its prefixes only the whole request is a Start");
	sluice_buffer_free(&body);
	sluice_buffer_free(&request);
}

/* ---- Unsubscribe ---- */

static const char *
read_unsubscribe(SluiceBuffer *request, SluiceWish *wish)
{
	uint8_t    *bytes = exact(request);
	const char *error = "";

	memset(wish, 0xff, sizeof(*wish));
	(void) sluice_demand_unsubscribe(bytes, request->length, wish, &error);
	free(bytes);
	sluice_buffer_reset(request);
	return error;
}

static void
unsubscribes(void)
{
	SluiceBuffer request = {0};
	SluiceWish	wish;
	uint8_t		bytes[SLUICE_UNSUBSCRIBED_SIZE_MAX];
	Sluice__V1__UnsubscribeResponse *response;

	put_text(&request, 1, "mailer");
	ok(read_unsubscribe(&request, &wish)[0] == '\0' && strcmp(wish.subscription, "mailer") == 0 && wish.epoch == 0 && !wish.drop,
	   "an UnsubscribeRequest");
	put_text(&request, 1, "mailer");
	put_fixed(&request, 2, UINT64_MAX, 8);
	put_int(&request, 3, 1);
	put_int(&request, 4, 1);
	ok(read_unsubscribe(&request, &wish)[0] == '\0' && wish.epoch == UINT64_MAX && wish.drop && !wish.dropped, "with all it can have, and more");
	is_text(read_unsubscribe(&request, &wish), "UnsubscribeRequest has no subscription", "one without a name");
	put_text(&request, 1, "\xff");
	is_text(read_unsubscribe(&request, &wish), "the name of a subscription is not valid: it has at most 200 characters, in UTF-8",
			"one whose name is none");
	sluice_buffer_append(&request, "\x0a\x07mail", 6);
	is_text(read_unsubscribe(&request, &wish), "message is not a sluice.v1.UnsubscribeRequest: its fields do not add up",
			"one that is cut off");
	response = sluice__v1__unsubscribe_response__unpack(NULL, sluice_demand_unsubscribed(bytes, true), bytes);
	ok(response != NULL && response->dropped, "a response: it was dropped");
	sluice__v1__unsubscribe_response__free_unpacked(response, NULL);
	ok(sluice_demand_unsubscribed(bytes, false) == 0, "one that says nothing has no bytes");
	sluice_buffer_free(&request);
}

int
main(void)
{
	subscribes();
	names_are_bounded();
	clients_are_clipped();
	subscribes_may_be_malformed();
	starts();
	acknowledgements();
	nacks();
	requests();
	requests_may_end_anywhere();
	unsubscribes();
	return finish();
}
