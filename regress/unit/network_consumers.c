/*
 * network_consumers.c
 *		Consumers as the main thread has them, by script.
 *
 * The first message is Active with the epoch 7.  Each advance is answered with
 * a CaughtUp of its epoch and offset (a Start: its token's; a Nack: negative).
 * What else happens is said by the names:
 *
 *	stream unknown...	is refused
 *	stream held...		opens, or is unsubscribed, after the command release
 *	refused				is refused with a reason
 *	torn				is refused when it pulls
 *	dumb				nothing is said about it; nor, with the name "dumb pull", about its pulls
 *	rows N SIZE			gets so many messages with a row of that size
 *	lazy...				its advances are taken after the command release
 *	...sticky...		it is forgotten after the command release
 *	absent				cannot be unsubscribed
 *
 * An advance of the epoch 666 is refused, of 667 nothing is said; the offset 999999 is taken and then a
 * pull is refused.  The end of a consumer is told in a line "left ...".
 */
#include "network_consumers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "sluice.pb-c.h"

#define EPOCH 7
#define NOT_FOUND 5
#define INVALID_ARGUMENT 3
#define ABORTED 10
#define OUT_OF_RANGE 11

typedef struct Reply
{
	STAILQ_ENTRY(Reply) link;
	uint8_t    *message;
	size_t		length;
} Reply;

typedef struct Consumer
{
	LIST_ENTRY(Consumer) link;
	const SluiceWish *wish;
	STAILQ_HEAD(ReplyList, Reply) replies;
	SluiceConsumerRecord *pulls;
	int			npulls;
	long		rows;			/* messages to come */
	long		size;
	int64_t		offset;
	bool		ended;			/* the next pull is refused */
} Consumer;

static LIST_HEAD(ConsumerList, Consumer) consumers = LIST_HEAD_INITIALIZER(consumers);
static SluiceConsumerRecord *kept;	/* in their order */
static unsigned long messages;		/* given away */
static unsigned long advances;		/* taken */

static bool
begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void
deliver(SluiceNetwork *network, SluiceConsumerRecord *record, SluiceVerdict verdict)
{
	SluiceRecord *delivered = &record->record;

	delivered->verdict = verdict;
	sluice_network_deliver(network, &delivered, 1);
}

static void
refuse(SluiceNetwork *network, SluiceConsumerRecord *record, int status, const char *reason, const char *message)
{
	SluiceRefusal *refusal = calloc(1, sizeof(SluiceRefusal));

	if (refusal == NULL)
		abort();
	refusal->status = status;
	refusal->reason = reason;
	snprintf(refusal->message, sizeof(refusal->message), "%s", message);
	record->record.refusal = refusal;
	deliver(network, record, SLUICE_REFUSED);
}

static void
keep(SluiceConsumerRecord *record)
{
	SluiceConsumerRecord **last = &kept;

	while (*last != NULL)
		last = &(*last)->next;
	record->next = NULL;
	*last = record;
}

/* ---- messages ---- */

static Reply *
pack(const Sluice__V1__SubscribeResponse *response)
{
	Reply	   *reply = malloc(sizeof(Reply));

	if (reply == NULL)
		abort();
	reply->length = sluice__v1__subscribe_response__get_packed_size(response);
	reply->message = malloc(reply->length);
	if (reply->message == NULL)
		abort();
	sluice__v1__subscribe_response__pack(response, reply->message);
	return reply;
}

static Reply *
active(void)
{
	Sluice__V1__SubscribeResponse response = SLUICE__V1__SUBSCRIBE_RESPONSE__INIT;
	Sluice__V1__Active active = SLUICE__V1__ACTIVE__INIT;

	active.epoch = EPOCH;
	response.response_case = SLUICE__V1__SUBSCRIBE_RESPONSE__RESPONSE_ACTIVE;
	response.active = &active;
	return pack(&response);
}

static Reply *
caught_up(uint64_t epoch, int64_t offset)
{
	Sluice__V1__SubscribeResponse response = SLUICE__V1__SUBSCRIBE_RESPONSE__INIT;
	Sluice__V1__CaughtUp caught_up = SLUICE__V1__CAUGHT_UP__INIT;

	caught_up.epoch = epoch;
	caught_up.offset = offset;
	response.response_case = SLUICE__V1__SUBSCRIBE_RESPONSE__RESPONSE_CAUGHT_UP;
	response.caught_up = &caught_up;
	return pack(&response);
}

static Reply *
rows(int64_t offset, size_t size)
{
	Sluice__V1__SubscribeResponse response = SLUICE__V1__SUBSCRIBE_RESPONSE__INIT;
	Sluice__V1__Rows rows = SLUICE__V1__ROWS__INIT;
	Sluice__V1__Row row = SLUICE__V1__ROW__INIT;
	Sluice__V1__Row *all[] = {&row};
	Reply	   *reply;

	row.offset = offset;
	row.payload.data = calloc(1, size + 1);
	row.payload.len = size;
	rows.epoch = EPOCH;
	rows.previous = offset - 1;
	rows.n_rows = 1;
	rows.rows = all;
	response.response_case = SLUICE__V1__SUBSCRIBE_RESPONSE__RESPONSE_ROWS;
	response.rows = &rows;
	reply = pack(&response);
	free(row.payload.data);
	return reply;
}

static Reply *
next_reply(Consumer *consumer)
{
	Reply	   *reply = STAILQ_FIRST(&consumer->replies);

	if (reply != NULL)
	{
		STAILQ_REMOVE_HEAD(&consumer->replies, link);
		return reply;
	}
	if (consumer->rows == 0)
		return NULL;
	consumer->rows--;
	return rows(++consumer->offset, (size_t) consumer->size);
}

/* Each pull takes a message, as long as there are both. */
static void
give(SluiceNetwork *network, Consumer *consumer)
{
	while (consumer->pulls != NULL)
	{
		SluiceConsumerRecord *pull = consumer->pulls;
		Reply	   *reply = consumer->ended ? NULL : next_reply(consumer);

		if (reply == NULL && !consumer->ended)
			return;
		consumer->pulls = pull->next;
		consumer->npulls--;
		if (reply == NULL)
		{
			refuse(network, pull, ABORTED, "UNSUBSCRIBED", "the subscription was ended by Unsubscribe");
			continue;
		}
		pull->message = reply->message;
		pull->message_length = reply->length;
		pull->message_rows = 1;
		free(reply);
		messages++;
		deliver(network, pull, SLUICE_MESSAGE);
	}
}

/* ---- records ---- */

static void
open_consumer(SluiceNetwork *network, SluiceConsumerRecord *record)
{
	SluiceSender *sender = record->record.sender;
	Consumer   *consumer = calloc(1, sizeof(Consumer));
	Reply	   *reply;

	if (consumer == NULL)
		abort();
	consumer->wish = sender->wish;
	STAILQ_INIT(&consumer->replies);
	reply = active();
	STAILQ_INSERT_TAIL(&consumer->replies, reply, link);
	if (sscanf(sender->wish->subscription, "rows %ld %ld", &consumer->rows, &consumer->size) != 2)
		consumer->rows = 0;
	LIST_INSERT_HEAD(&consumers, consumer, link);
	sender->consumer = consumer;
	sender->stream_id = 1;
	deliver(network, record, SLUICE_OPENED);
}

static void
subscribe(SluiceNetwork *network, SluiceConsumerRecord *record)
{
	const SluiceSender *sender = record->record.sender;

	if (begins(sender->stream, "unknown"))
		refuse(network, record, NOT_FOUND, NULL, "no such stream: create it with sluice.create_stream");
	else if (strcmp(sender->wish->subscription, "refused") == 0)
		refuse(network, record, INVALID_ARGUMENT, "MISMATCH", "the subscription is another stream's");
	else if (strcmp(sender->wish->subscription, "dumb") == 0)
		deliver(network, record, SLUICE_PENDING);
	else if (begins(sender->stream, "held"))
		keep(record);
	else
		open_consumer(network, record);
}

static void
pull(SluiceNetwork *network, SluiceConsumerRecord *record)
{
	Consumer   *consumer = record->record.sender->consumer;
	SluiceConsumerRecord **last = &consumer->pulls;

	if (strcmp(consumer->wish->subscription, "torn") == 0)
	{
		refuse(network, record, OUT_OF_RANGE, "BEYOND_END", "the position is above all offsets given out");
		return;
	}
	if (strcmp(consumer->wish->subscription, "dumb pull") == 0)
	{
		deliver(network, record, SLUICE_PENDING);
		return;
	}
	while (*last != NULL)
		last = &(*last)->next;
	record->next = NULL;
	*last = record;
	consumer->npulls++;
	give(network, consumer);
}

static void
advance(SluiceNetwork *network, SluiceConsumerRecord *record)
{
	Consumer   *consumer = record->record.sender->consumer;
	const SluiceAdvance *content = record->advance;
	int64_t		offset = content->offset;
	Reply	   *reply;

	advances++;
	if (consumer == NULL || content->epoch == 667)
	{
		deliver(network, record, SLUICE_PENDING);	/* it has left, or is not spoken of */
		return;
	}
	if (content->epoch == 666)
	{
		refuse(network, record, ABORTED, "STALE_EPOCH", "another consumer has taken over");
		return;
	}
	if (content->kind == SLUICE_ADVANCE_START)
		offset = content->token.offset;
	else if (content->kind == SLUICE_ADVANCE_NACK)
		offset = -offset;
	reply = caught_up(content->epoch, offset);
	STAILQ_INSERT_TAIL(&consumer->replies, reply, link);
	consumer->ended = consumer->ended || offset == 999999;
	deliver(network, record, SLUICE_OPENED);
	give(network, consumer);
}

static void
free_consumer(Consumer *consumer)
{
	Reply	   *reply;

	while ((reply = STAILQ_FIRST(&consumer->replies)) != NULL)
	{
		STAILQ_REMOVE_HEAD(&consumer->replies, link);
		free(reply->message);
		free(reply);
	}
	LIST_REMOVE(consumer, link);
	free(consumer);
}

static void
leave(SluiceNetwork *network, SluiceConsumerRecord *record)
{
	SluiceSender *sender = record->record.sender;
	Consumer   *consumer = sender->consumer;

	printf("left %s graceful=%d gone=%d pulls=%d\n", consumer->wish->subscription, record->graceful,
		   atomic_load(&sender->gone), consumer->npulls);
	while (consumer->pulls != NULL)
	{
		SluiceConsumerRecord *pull = consumer->pulls;

		consumer->pulls = pull->next;
		deliver(network, pull, SLUICE_PENDING);
	}
	free_consumer(consumer);
	sender->consumer = NULL;
	deliver(network, record, SLUICE_OPENED);
}

static void
unsubscribe(SluiceNetwork *network, SluiceConsumerRecord *record)
{
	SluiceWish *wish = record->record.sender->wish;

	if (strcmp(wish->subscription, "absent") == 0)
	{
		refuse(network, record, NOT_FOUND, NULL, "there is no such subscription");
		return;
	}
	wish->dropped = wish->drop;
	deliver(network, record, strcmp(wish->subscription, "dumb") == 0 ? SLUICE_PENDING : SLUICE_OPENED);
}

static void
take(SluiceNetwork *network, SluiceConsumerRecord *record)
{
	switch ((SluiceRecordKind) record->record.kind)
	{
		case SLUICE_SUBSCRIBE:
			open_consumer(network, record);
			break;
		case SLUICE_ADVANCE:
			advance(network, record);
			break;
		case SLUICE_LEAVE:
			leave(network, record);
			break;
		default:
			unsubscribe(network, record);
			break;
	}
}

void
network_consumers_take(SluiceNetwork *network, SluiceRecord *arrived)
{
	SluiceConsumerRecord *record = (SluiceConsumerRecord *) arrived;
	const char *name = arrived->sender->wish->subscription;

	if (arrived->kind == SLUICE_SUBSCRIBE)
		subscribe(network, record);
	else if (arrived->kind == SLUICE_PULL)
		pull(network, record);
	else if ((arrived->kind == SLUICE_ADVANCE && begins(name, "lazy")) ||
			 (arrived->kind == SLUICE_LEAVE && strstr(name, "sticky") != NULL) ||
			 (arrived->kind == SLUICE_UNSUBSCRIBE && begins(name, "held")))
		keep(record);
	else
		take(network, record);
}

void
network_consumers_release(SluiceNetwork *network)
{
	SluiceConsumerRecord *record;

	while ((record = kept) != NULL)
	{
		kept = record->next;
		take(network, record);
	}
}

void
network_consumers_print(void)
{
	int			n = 0;
	int			nkept = 0;
	int			ngone = 0;
	const Consumer *consumer;

	LIST_FOREACH(consumer, &consumers, link)
		n++;
	for (const SluiceConsumerRecord *record = kept; record != NULL; record = record->next)
	{
		nkept++;
		ngone += atomic_load(&record->record.sender->gone);
	}
	printf("consumers now=%d kept=%d gone=%d messages=%lu advances=%lu\n", n, nkept, ngone, messages, advances);
}

void
network_consumers_free(void)
{
	while (!LIST_EMPTY(&consumers))
		free_consumer(LIST_FIRST(&consumers));
}
