/*
 * connection.c
 *		One call of IngestData at a time, over gRPC.
 *
 * Every call has a channel of its own: a new attempt then means a new TCP
 * connection and a new name look-up, at the moment that our backoff chose, not
 * at one that the channel's own backoff allows.
 *
 * A call is a handful of batches, each with its own tag.  The status batch is
 * started first and completes last; a failed send or an absent answer only
 * marks the call as broken, the reason comes with the status.  The call is
 * over when all batches have come back.
 *
 * A message sent with "more" stays in gRPC's buffer until a later one without
 * it, or until 64 KiB have come together: one write to the socket for hundreds
 * of records.  Nothing but a later send brings such a message out, which is why
 * sluice_connection_send() asks for certainty.
 */
#ifdef POSTGRES_H
#error "the network side does not see PostgreSQL"
#endif

#include "connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "backoff.h"
#include "clock.h"
#include "lib/channel_credentials.h"
#include "lib/handshake.h"
#include "memory.h"
#include "received.h"
#include "sluice.h"
#include "transport.h"
#include "wake.h"

#define METHOD "/ingestion.IngestionService/IngestData"

/* A peer that is silent for so long is asked, and given up when it does not answer. */
#define KEEPALIVE_TIME_MS 10000
#define KEEPALIVE_TIMEOUT_MS 5000

#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_MAX_LENGTH 65536
#define RECEIVE_WINDOW 1048576

typedef enum Tag
{
	TAG_WAKE = 1,
	TAG_STATUS,
	TAG_METADATA,
	TAG_ANSWER,
	TAG_SENT,
	TAG_FINISHED
} Tag;

struct SluiceConnection
{
	SluiceAttempts *attempts;
	grpc_completion_queue *queue;
	SluiceWake	wake;

	/* The present call, if any. */
	grpc_channel *channel;
	grpc_call  *call;
	int			in_flight;		/* batches */
	bool		broken;			/* nothing can be sent any more */
	bool		sending;
	bool		finished;		/* half-closed by us */
	grpc_metadata_array initial_metadata;
	grpc_metadata_array trailing_metadata;
	grpc_byte_buffer *incoming;
	grpc_status_code status;
	grpc_slice	status_details;

	SluiceReceived answer;		/* that the owner may look at */

	SluiceCallEnd end;
};

SluiceConnection *
sluice_connection_create(SluiceAttempts *attempts)
{
	SluiceConnection *connection = sluice_memory_get_zeroed(sizeof(SluiceConnection));

	sluice_transport_quiet();
	grpc_init();
	connection->attempts = attempts;
	connection->queue = grpc_completion_queue_create_for_next(NULL);
	sluice_wake_init(&connection->wake, connection->queue, (void *) (intptr_t) TAG_WAKE);
	return connection;
}

void
sluice_connection_free(SluiceConnection *connection)
{
	sluice_received_drop(&connection->answer);
	sluice_wake_release(&connection->wake);
	grpc_completion_queue_shutdown(connection->queue);
	while (grpc_completion_queue_next(connection->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
		   GRPC_QUEUE_SHUTDOWN)
		continue;
	grpc_completion_queue_destroy(connection->queue);
	grpc_shutdown();
	free(connection);
}

/* A batch that gRPC does not accept never comes back: the call cannot be used any more. */
static bool
start_batch(SluiceConnection *connection, const grpc_op *ops, size_t nops, Tag tag)
{
	grpc_call_error error = grpc_call_start_batch(connection->call, ops, nops, (void *) (intptr_t) tag, NULL);

	if (error != GRPC_CALL_OK)
	{
		connection->broken = true;
		grpc_call_cancel_with_status(connection->call, GRPC_STATUS_INTERNAL,
									 grpc_call_error_to_string(error), NULL);
		return false;
	}
	connection->in_flight++;
	return true;
}

static void
receive_answer(SluiceConnection *connection)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_MESSAGE;
	op.data.recv_message.recv_message = &connection->incoming;
	start_batch(connection, &op, 1, TAG_ANSWER);
}

static void
create_channel(SluiceConnection *connection, grpc_channel_credentials *credentials)
{
	const char *name = connection->attempts->settings->tls_name;
	grpc_arg	args[] = {
		sluice_transport_integer("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
		sluice_transport_integer("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
		sluice_transport_integer("grpc.keepalive_permit_without_calls", 1),
		sluice_transport_integer("grpc.http2.max_pings_without_data", 0),
		sluice_transport_integer("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),	/* so gRPC calls the connect timeout */
		sluice_transport_integer("grpc.enable_retries", 0),
		sluice_transport_integer("grpc.enable_http_proxy", 0),
		sluice_transport_integer("grpc.use_local_subchannel_pool", 1),
		sluice_transport_integer("grpc.http2.bdp_probe", 0),
		sluice_transport_integer("grpc.http2.lookahead_bytes", RECEIVE_WINDOW),
		sluice_transport_integer("grpc.max_receive_message_length", ANSWER_MAX_LENGTH),
		sluice_transport_string("grpc.primary_user_agent", "sluice/" SLUICE_VERSION),
		sluice_transport_string("grpc.ssl_target_name_override", name)
	};
	grpc_channel_args channel_args = {sizeof(args) / sizeof(args[0]), args};

	/* The name, which is last, only where there is one. */
	if (*name == '\0')
		channel_args.num_args--;
	connection->channel = grpc_channel_create(sluice_attempts_endpoint(connection->attempts)->target, credentials,
											  &channel_args);
}

static void
start_status_batch(SluiceConnection *connection)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	op.data.recv_status_on_client.trailing_metadata = &connection->trailing_metadata;
	op.data.recv_status_on_client.status = &connection->status;
	op.data.recv_status_on_client.status_details = &connection->status_details;
	start_batch(connection, &op, 1, TAG_STATUS);
}

static void
add_metadata(grpc_metadata *metadata, size_t *count, const char *key, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	metadata[*count].key = grpc_slice_from_static_string(key);
	metadata[*count].value = grpc_slice_from_copied_string(value);
	++*count;
}

static void
start_metadata_batch(SluiceConnection *connection, const char *authorization)
{
	grpc_op		ops[2];
	grpc_metadata metadata[2];
	size_t		count = 0;

	memset(ops, 0, sizeof(ops));
	memset(metadata, 0, sizeof(metadata));
	add_metadata(metadata, &count, "sluice-stream", connection->attempts->settings->stream);
	add_metadata(metadata, &count, "authorization", authorization);
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[0].data.send_initial_metadata.count = count;
	ops[0].data.send_initial_metadata.metadata = metadata;
	ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[1].data.recv_initial_metadata.recv_initial_metadata = &connection->initial_metadata;
	start_batch(connection, ops, 2, TAG_METADATA);
	for (size_t i = 0; i < count; i++)
		grpc_slice_unref(metadata[i].value);
}

static void
begin_call(SluiceConnection *connection, const char *authorization)
{
	connection->call = grpc_channel_create_call(connection->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
												connection->queue, grpc_slice_from_static_string(METHOD), NULL,
												gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	connection->in_flight = 0;
	connection->broken = false;
	connection->sending = false;
	connection->finished = false;
	connection->incoming = NULL;
	connection->status = GRPC_STATUS_UNKNOWN;
	connection->status_details = grpc_empty_slice();
	grpc_metadata_array_init(&connection->initial_metadata);
	grpc_metadata_array_init(&connection->trailing_metadata);

	start_status_batch(connection);
	start_metadata_batch(connection, authorization);
	receive_answer(connection);
}

bool
sluice_connection_open(SluiceConnection *connection, SluiceError *error)
{
	SluiceAttempts *attempts = connection->attempts;
	grpc_channel_credentials *credentials = sluice_channel_credentials(attempts->settings, error);
	char	   *authorization;
	bool		has_password;

	if (credentials == NULL)
		return false;
	if (sluice_channel_authorization(&attempts->passwords, sluice_attempts_endpoint(attempts), &authorization,
									 &has_password) != SLUICE_OK)
	{
		grpc_channel_credentials_release(credentials);
		sluice_error_set(error, SLUICE_ERROR_MEMORY, "out of memory");
		return false;
	}
	create_channel(connection, credentials);
	grpc_channel_credentials_release(credentials);
	begin_call(connection, authorization);
	sluice_passwords_forget(authorization);
	return true;
}

bool
sluice_connection_can_send(const SluiceConnection *connection)
{
	return connection->call != NULL && !connection->broken && !connection->sending && !connection->finished;
}

void
sluice_connection_send(SluiceConnection *connection, const uint8_t *bytes, size_t length, bool more)
{
	grpc_slice	slice = grpc_slice_from_copied_buffer((const char *) bytes, length);
	grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_op		op;

	grpc_slice_unref(slice);
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_MESSAGE;
	op.flags = more ? GRPC_WRITE_BUFFER_HINT : 0;
	op.data.send_message.send_message = message;
	connection->sending = start_batch(connection, &op, 1, TAG_SENT);
	grpc_byte_buffer_destroy(message);
}

void
sluice_connection_finish(SluiceConnection *connection)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	connection->finished = start_batch(connection, &op, 1, TAG_FINISHED);
}

void
sluice_connection_cancel(SluiceConnection *connection)
{
	connection->broken = true;
	if (connection->call != NULL)
		grpc_call_cancel(connection->call, NULL);
}

static SluiceConnectionEvent
on_wake(SluiceConnection *connection)
{
	sluice_wake_taken(&connection->wake);
	return SLUICE_CONNECTION_WOKEN;
}

static SluiceConnectionEvent
on_sent(SluiceConnection *connection, bool success)
{
	connection->sending = false;
	if (!success)
	{
		connection->broken = true;
		return SLUICE_CONNECTION_OTHER;
	}
	return SLUICE_CONNECTION_SENT;
}

static SluiceConnectionEvent
on_answer(SluiceConnection *connection)
{
	if (connection->incoming == NULL)
	{
		connection->broken = true;
		return SLUICE_CONNECTION_OTHER;
	}
	sluice_received_take(&connection->answer, connection->incoming);
	connection->incoming = NULL;
	receive_answer(connection);
	return SLUICE_CONNECTION_ANSWER;
}

static const grpc_slice *
trailing_value(const SluiceConnection *connection, const char *key)
{
	for (size_t i = 0; i < connection->trailing_metadata.count; i++)
	{
		const grpc_metadata *item = &connection->trailing_metadata.metadata[i];

		if (grpc_slice_str_cmp(item->key, key) == 0)
			return &item->value;
	}
	return NULL;
}

static bool
trailing_count(const SluiceConnection *connection, const char *key, uint64_t *count)
{
	const grpc_slice *value = trailing_value(connection, key);

	return value != NULL && sluice_call_end_read_count(GRPC_SLICE_START_PTR(*value), GRPC_SLICE_LENGTH(*value), count);
}

/* The status' own words, or what they mean. */
static void
take_words(SluiceConnection *connection)
{
	SluiceCallEnd *end = &connection->end;
	char		words[sizeof(end->message)];
	size_t		length = GRPC_SLICE_LENGTH(connection->status_details);

	if (length >= sizeof(words))
		length = sizeof(words) - 1;
	memcpy(words, GRPC_SLICE_START_PTR(connection->status_details), length);
	words[length] = '\0';
	if (connection->status != GRPC_STATUS_UNAVAILABLE ||
		!sluice_handshake_explain(words, connection->attempts->settings, end->message, sizeof(end->message)))
		memcpy(end->message, words, sizeof(words));
}

static SluiceConnectionEvent
on_status(SluiceConnection *connection)
{
	SluiceCallEnd *end = &connection->end;
	const grpc_slice *pushback = trailing_value(connection, "grpc-retry-pushback-ms");

	memset(end, 0, sizeof(*end));
	end->status = (int) connection->status;
	take_words(connection);
	if (pushback != NULL)
		end->pushback = sluice_backoff_read_hint(GRPC_SLICE_START_PTR(*pushback), GRPC_SLICE_LENGTH(*pushback));
	end->counted = trailing_count(connection, "sluice-stored", &end->stored) &&
		trailing_count(connection, "sluice-duplicates", &end->duplicates) &&
		trailing_count(connection, "sluice-dead-letters", &end->dead_letters);
	connection->broken = true;
	return SLUICE_CONNECTION_OTHER;
}

static void
release_call(SluiceConnection *connection)
{
	grpc_metadata_array_destroy(&connection->initial_metadata);
	grpc_metadata_array_destroy(&connection->trailing_metadata);
	grpc_slice_unref(connection->status_details);
	grpc_call_unref(connection->call);
	grpc_channel_destroy(connection->channel);
	connection->call = NULL;
	connection->channel = NULL;
}

static SluiceConnectionEvent
handle_batch(SluiceConnection *connection, Tag tag, bool success)
{
	connection->in_flight--;
	switch (tag)
	{
		case TAG_STATUS:
			return on_status(connection);
		case TAG_ANSWER:
			return on_answer(connection);
		case TAG_SENT:
			return on_sent(connection, success);
		case TAG_METADATA:
		case TAG_FINISHED:
		case TAG_WAKE:
			break;
	}
	return SLUICE_CONNECTION_OTHER;
}

SluiceConnectionEvent
sluice_connection_next(SluiceConnection *connection, int64_t deadline)
{
	grpc_event	event;

	sluice_received_drop(&connection->answer);
	if (connection->call != NULL && connection->in_flight == 0)
	{
		release_call(connection);
		return SLUICE_CONNECTION_ENDED;
	}
	event = grpc_completion_queue_next(connection->queue, sluice_transport_deadline(deadline), NULL);
	if (event.type != GRPC_OP_COMPLETE)
		return SLUICE_CONNECTION_TIMEOUT;
	if (event.tag == (void *) (intptr_t) TAG_WAKE)
		return on_wake(connection);
	return handle_batch(connection, (Tag) (intptr_t) event.tag, event.success != 0);
}

const uint8_t *
sluice_connection_answer(const SluiceConnection *connection, size_t *length)
{
	*length = connection->answer.length;
	return connection->answer.bytes;
}

const SluiceCallEnd *
sluice_connection_end(const SluiceConnection *connection)
{
	return &connection->end;
}

void
sluice_connection_wake(SluiceConnection *connection)
{
	sluice_wake_post(&connection->wake);
}
