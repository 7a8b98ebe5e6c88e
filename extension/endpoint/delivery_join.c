/*
 * delivery_join.c
 *		A call of Subscribe begins: its stream, its subscription; and Unsubscribe.
 */
#include "postgres.h"

#include "delivery_internal.h"

#include "access.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "worker_transaction.h"

typedef enum JoinResult
{
	JOIN_DONE,
	JOIN_REFUSED,
	JOIN_BUSY					/* somebody else makes or changes it */
} JoinResult;

typedef struct Joining
{
	SluiceSender *sender;
	const SluiceWish *wish;
	JoinResult	result;
	SluiceRefusal refusal;
	SluiceSource *source;		/* joined, and to be left where it is refused */
	SluiceEncoding encoding;
	bool		durable;
	uint64		endings;		/* before it was looked up */
	SluiceSubscription row;
} Joining;

static void
refuse(Joining *joining, SluiceRefusal refusal)
{
	joining->result = JOIN_REFUSED;
	joining->refusal = refusal;
}

/* In the server's encoding; what is not UTF-8 is no name of anything. */
static char *
server_name(const char *utf8)
{
	return pg_verify_mbstr(PG_UTF8, utf8, strlen(utf8), true) ? pg_any_to_server(utf8, strlen(utf8), PG_UTF8) : pstrdup("?");
}

/* ---- what there is ---- */

static SluiceStream *
find_stream(Joining *joining, bool found)
{
	char	   *name = server_name(joining->sender->stream);
	SluiceStream *stream = found ? sluice_stream_by_id(joining->row.stream_id) : sluice_stream_by_name(name);

	if (stream == NULL && found)
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_NOT_FOUND, "DROPPED", "the stream of subscription \"%s\" was dropped",
												joining->row.name));
	else if (stream == NULL && *name == '\0')
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_NOT_FOUND, NULL, "there is no default stream: name one"));
	else if (stream == NULL)
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_NOT_FOUND, NULL,
												"stream \"%s\" does not exist: make it with sluice.create_stream()", name));
	else if (found && *name != '\0' && strcmp(name, stream->name) != 0)
	{
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_INVALID_ARGUMENT, "MISMATCH",
												"subscription \"%s\" is of stream \"%s\", not of \"%s\"", joining->row.name, stream->name, name));
		return NULL;
	}
	return stream;
}

static bool
guarantee_fits(Joining *joining)
{
	uint8		wanted = joining->wish->guarantee;

	if (wanted == SLUICE_GUARANTEE_UNSPECIFIED || (wanted == SLUICE_AT_MOST_ONCE) == joining->row.at_most_once)
		return true;
	refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_INVALID_ARGUMENT, "MISMATCH", "subscription \"%s\" is %s", joining->row.name,
											joining->row.at_most_once ? "at_most_once" : "at_least_once"));
	return false;
}

/* Its rows can be handed out, and in this encoding. */
static bool
prepare_source(Joining *joining, SluiceStream *stream)
{
	SluiceSourceState state;
	SluiceReading *reading;
	char	   *why;

	joining->source = sluice_source_join(stream->id);
	sluice_source_soil(joining->source);
	state = sluice_source_look(joining->source, 0, &why);
	if (state != SLUICE_SOURCE_READY)
	{
		refuse(joining, sluice_delivery_not_ready(state, why));
		return false;
	}
	reading = sluice_source_reading(joining->source, joining->sender->role, joining->wish->encoding, &why);
	if (reading == NULL)
	{
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_FAILED_PRECONDITION, "NOT_SUBSCRIBABLE", "%s", why));
		return false;
	}
	joining->encoding = sluice_reading_encoding(reading);
	return true;
}

/* The client's role may read the table, and have the subscription. */
static bool
is_allowed(Joining *joining, const SluiceStream *stream, bool found)
{
	Oid			role = joining->sender->role;
	char	   *why;

	if (!OidIsValid(role))
		return true;
	if (found && !sluice_subscription_permits(&joining->row, role))
	{
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_PERMISSION_DENIED, NULL, "must be owner of subscription \"%s\"", joining->row.name));
		return false;
	}
	why = sluice_access_select_refusal(role, stream->target);
	if (why != NULL)
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_PERMISSION_DENIED, NULL, "%s", why));
	return why == NULL;
}

/* ---- where it begins ---- */

static bool
offset_at(Joining *joining, int64 *position)
{
	SluiceReading *reading;
	char	   *why;

	reading = sluice_source_reading(joining->source, joining->sender->role, joining->wish->encoding, &why);
	if (!sluice_reading_offset_at(reading, joining->wish->since, position))
	{
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_FAILED_PRECONDITION, "NOT_SUBSCRIBABLE",
												"the stream keeps no time of receipt: name a column for received_at in its envelope_columns"));
		return false;
	}
	return true;
}

static bool
first_position(Joining *joining, int64 *position)
{
	const SluiceWish *wish = joining->wish;

	*position = 0;
	switch ((SluiceStartFrom) wish->from)
	{
		case SLUICE_FROM_UNSPECIFIED:
		case SLUICE_FROM_EARLIEST:
			break;
		case SLUICE_FROM_LATEST:
			*position = Max(joining->source->state.last_value, 0);
			break;
		case SLUICE_FROM_OFFSET:
			*position = wish->after_offset;
			break;
		case SLUICE_FROM_TIME:
			return offset_at(joining, position);
	}
	return true;
}

static void
make_subscription(Joining *joining, const char *name, SluiceStream *stream)
{
	int64		position;

	if (!first_position(joining, &position))
		return;
	if (!sluice_subscription_create(name, stream->id, position, joining->wish->guarantee == SLUICE_AT_MOST_ONCE, joining->sender->role,
									&joining->row))
		joining->result = JOIN_BUSY;
}

/* ---- joining ---- */

static void
join_durable(Joining *joining, const char *name)
{
	bool		found = sluice_subscription_find(name, &joining->row);
	SluiceStream *stream;

	if (!found && !joining->wish->create)
	{
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_NOT_FOUND, NULL,
												"subscription \"%s\" does not exist: make it with sluice.create_subscription()", name));
		return;
	}
	stream = find_stream(joining, found);
	if (stream == NULL || !is_allowed(joining, stream, found) || (found && !guarantee_fits(joining)) || !prepare_source(joining, stream))
		return;
	if (!found)
		make_subscription(joining, name, stream);
}

static void
join_ephemeral(Joining *joining)
{
	SluiceStream *stream = find_stream(joining, false);

	if (stream != NULL && is_allowed(joining, stream, false) && prepare_source(joining, stream))
		(void) first_position(joining, &joining->row.position);
}

static void
join_step(void *argument)
{
	Joining    *joining = argument;

	joining->result = JOIN_DONE;
	if (!sluice_worker_installation_settle())
		refuse(joining, sluice_delivery_refusal(SLUICE_STATUS_UNAVAILABLE, NULL, "extension pg_sluice was dropped: try again"));
	else if (joining->durable)
		join_durable(joining, server_name(joining->wish->subscription));
	else
		join_ephemeral(joining);
}

static void
add_subscriber(SluiceDelivery *delivery, const Joining *joining)
{
	SluiceSubscriber *subscriber = MemoryContextAllocZero(TopMemoryContext, sizeof(*subscriber));

	subscriber->delivery = delivery;
	subscriber->sender = joining->sender;
	subscriber->source = joining->source;
	subscriber->encoding = joining->encoding;
	subscriber->durable = joining->durable;
	subscriber->row = joining->row;
	subscriber->slot = -1;
	subscriber->endings = joining->endings;
	joining->sender->consumer = subscriber;
	joining->sender->stream_id = joining->source->stream_id;
	dlist_push_tail(&delivery->subscribers, &subscriber->node);
	delivery->count++;
}

bool
sluice_delivery_join(SluiceDelivery *delivery, SluiceConsumerRecord *record)
{
	SluiceSender *sender = record->record.sender;
	Joining		joining = {.sender = sender,.wish = sender->wish,.durable = sender->wish->subscription[0] != '\0'};
	SluiceFailure failure;

	joining.endings = sluice_active_endings();
	if (atomic_load(&sender->gone))
		joining.refusal = sluice_delivery_refusal(SLUICE_STATUS_UNAVAILABLE, NULL, "the client has left");
	else if (!sluice_attempt(join_step, &joining, &failure))
	{
		delivery->suspects_drop = true;
		if (joining.source != NULL)
			sluice_source_leave(joining.source);
		/* A table or a row that somebody has locked. */
		if (failure.sqlstate == ERRCODE_LOCK_NOT_AVAILABLE)
			return false;
		ereport(LOG,
				(errcode(failure.sqlstate), errmsg("could not begin a subscription: %s", failure.message)));
		sluice_refuse(delivery->network, &record->record, SLUICE_STATUS_UNAVAILABLE,
					  psprintf("the subscription could not be looked up (SQLSTATE %s), open the call again", unpack_sql_state(failure.sqlstate)));
		return true;
	}
	else if (joining.result == JOIN_DONE)
	{
		add_subscriber(delivery, &joining);
		sluice_delivery_answer(delivery, record, SLUICE_OPENED);
		return true;
	}
	if (joining.source != NULL)
		sluice_source_leave(joining.source);
	if (joining.result == JOIN_BUSY)
		return false;
	sluice_refuse_for(delivery->network, &record->record, &joining.refusal);
	return true;
}

/* ---- Unsubscribe ---- */

typedef struct Leaving
{
	SluiceWish *wish;
	Oid			role;
	JoinResult	result;
	int32		id;
	bool		denied;
} Leaving;

static void
unsubscribe_step(void *argument)
{
	Leaving    *leaving = argument;
	SluiceSubscription row;
	char	   *name = server_name(leaving->wish->subscription);

	leaving->result = JOIN_REFUSED;
	if (!sluice_worker_installation_settle() || !sluice_subscription_find(name, &row))
		return;
	leaving->denied = OidIsValid(leaving->role) && !sluice_subscription_permits(&row, leaving->role);
	if (leaving->denied)
		return;
	leaving->id = row.id;
	leaving->result = JOIN_DONE;
	if (!leaving->wish->drop)
		return;
	leaving->result = JOIN_BUSY;
	if (sluice_subscription_lock_name(name, false) &&
		sluice_subscription_lock(row.id, false, &row) == SLUICE_SUBSCRIPTION_LOCKED)
	{
		sluice_subscription_drop(&row, "the subscription was dropped by its consumer");
		leaving->wish->dropped = true;
		leaving->result = JOIN_DONE;
	}
}

bool
sluice_delivery_unsubscribe(SluiceDelivery *delivery, SluiceConsumerRecord *record)
{
	Leaving		leaving = {.wish = record->record.sender->wish,.role = record->record.sender->role};
	SluiceFailure failure;

	if (!sluice_attempt(unsubscribe_step, &leaving, &failure))
	{
		delivery->suspects_drop = true;
		leaving.wish->dropped = false;
		sluice_refuse(delivery->network, &record->record, SLUICE_STATUS_UNAVAILABLE,
					  psprintf("the subscription could not be ended (SQLSTATE %s), try again", unpack_sql_state(failure.sqlstate)));
		return true;
	}
	if (leaving.result == JOIN_BUSY)
		return false;
	if (leaving.denied)
	{
		sluice_refuse(delivery->network, &record->record, SLUICE_STATUS_PERMISSION_DENIED, "must be owner of the subscription");
		return true;
	}
	if (leaving.result == JOIN_REFUSED)
	{
		sluice_refuse(delivery->network, &record->record, SLUICE_STATUS_NOT_FOUND, "there is no such subscription");
		return true;
	}
	(void) sluice_active_unsubscribe(leaving.id, leaving.wish->epoch);
	sluice_delivery_answer(delivery, record, SLUICE_OPENED);
	return true;
}
