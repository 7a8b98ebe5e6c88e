/*
 * channel.c
 *		One call at a time, over gRPC, with its events.
 *
 * Every call has a connection of its own: a new attempt then means a new TCP
 * connection, a new look-up of the name and the certificates as they are now, at
 * the moment that our backoff chose and not at one that gRPC's allows.
 *
 * A call is a handful of batches, each with its own tag.  The status batch is
 * started first and completes last; a failed send or an absent message only
 * marks the call as broken, the reason comes with the status.  The call is
 * over when all batches have come back.
 *
 * Messages are copied: gRPC calls a message sent when flow control let it pass,
 * and holds on to its bytes until the socket took them, which for a connection
 * that is being torn down is at a moment that nobody tells.
 */
#ifdef POSTGRES_H
#error "the network side does not see PostgreSQL"
#endif

#include "channel.h"

#include <stdlib.h>
#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>

#include "../backoff.h"
#include "../clock.h"
#include "../received.h"
#include "../transport.h"
#include "../wake.h"
#include "channel_credentials.h"
#include "handshake.h"

#define RECEIVE_WINDOW (256 << 10)

/* A name may stand for several addresses: so much of the connect timeout for each of them. */
#define CONNECT_TIMEOUT_SHARE 3

typedef enum Tag
{
	TAG_WAKE = 1,
	TAG_STATUS,
	TAG_METADATA,
	TAG_MESSAGE,
	TAG_SENT,
	TAG_FINISHED
} Tag;

struct SluiceChannel
{
	const SluiceSettings *settings;
	const char *method;
	int			max_message;	/* received */
	grpc_completion_queue *queue;
	SluiceWake	wake;

	/* The present call, if any. */
	grpc_channel *channel;
	grpc_call  *call;
	int			in_flight;		/* batches */
	bool		broken;			/* nothing can be sent any more */
	bool		sending;
	bool		receiving;
	bool		held;			/* no more messages for now */
	bool		received_all;
	bool		finished;		/* half-closed by us */
	grpc_metadata_array initial_metadata;
	grpc_metadata_array trailing_metadata;
	grpc_byte_buffer *incoming;
	grpc_status_code status;
	grpc_slice	status_details;

	SluiceReceived message;		/* that the owner may look at */
	bool		has_password;	/* this call */
	SluiceChannelEnd end;
};

SluiceChannel *
sluice_channel_create(const SluiceSettings *settings, const char *method, int max_message)
{
	SluiceChannel *channel = calloc(1, sizeof(SluiceChannel));

	if (channel == NULL)
		return NULL;
	sluice_transport_quiet();
	grpc_init();
	channel->settings = settings;
	channel->method = method;
	channel->max_message = max_message;
	channel->queue = grpc_completion_queue_create_for_next(NULL);
	sluice_wake_init(&channel->wake, channel->queue, (void *) (intptr_t) TAG_WAKE);
	return channel;
}

void
sluice_channel_free(SluiceChannel *channel)
{
	sluice_received_drop(&channel->message);
	sluice_wake_release(&channel->wake);
	grpc_completion_queue_shutdown(channel->queue);
	while (grpc_completion_queue_next(channel->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
		   GRPC_QUEUE_SHUTDOWN)
		continue;
	grpc_completion_queue_destroy(channel->queue);
	grpc_shutdown();
	free(channel);
}

/* ---- batches ---- */

/* A batch that gRPC does not accept never comes back: the call cannot be used any more. */
static bool
start_batch(SluiceChannel *channel, const grpc_op *ops, size_t nops, Tag tag)
{
	grpc_call_error error = grpc_call_start_batch(channel->call, ops, nops, (void *) (intptr_t) tag, NULL);

	if (error != GRPC_CALL_OK)
	{
		channel->broken = true;
		grpc_call_cancel_with_status(channel->call, GRPC_STATUS_INTERNAL,
									 grpc_call_error_to_string(error), NULL);
		return false;
	}
	channel->in_flight++;
	return true;
}

static void
start_message_batch(SluiceChannel *channel)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_MESSAGE;
	op.data.recv_message.recv_message = &channel->incoming;
	channel->receiving = start_batch(channel, &op, 1, TAG_MESSAGE);
}

static void
start_status_batch(SluiceChannel *channel)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	op.data.recv_status_on_client.trailing_metadata = &channel->trailing_metadata;
	op.data.recv_status_on_client.status = &channel->status;
	op.data.recv_status_on_client.status_details = &channel->status_details;
	start_batch(channel, &op, 1, TAG_STATUS);
}

static void
start_metadata_batch(SluiceChannel *channel, const char *authorization)
{
	grpc_op		ops[2];
	grpc_metadata basic;

	memset(ops, 0, sizeof(ops));
	memset(&basic, 0, sizeof(basic));
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	if (authorization != NULL)
	{
		basic.key = grpc_slice_from_static_string("authorization");
		basic.value = grpc_slice_from_copied_string(authorization);
		ops[0].data.send_initial_metadata.count = 1;
		ops[0].data.send_initial_metadata.metadata = &basic;
	}
	ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[1].data.recv_initial_metadata.recv_initial_metadata = &channel->initial_metadata;
	start_batch(channel, ops, 2, TAG_METADATA);
	if (authorization != NULL)
		grpc_slice_unref(basic.value);
}

/* ---- opening ---- */

static int
milliseconds(int64_t nanoseconds)
{
	int64_t		result = nanoseconds / SLUICE_MILLISECOND;

	return result < 1 ? 1 : result > INT32_MAX ? INT32_MAX : (int) result;
}

/* Whatever is wrong with the arguments comes as the status of the call. */
static void
create_grpc_channel(SluiceChannel *channel, const char *target, grpc_channel_credentials *credentials)
{
	const SluiceSettings *settings = channel->settings;
	grpc_arg	args[] = {
		sluice_transport_integer("grpc.keepalive_time_ms", milliseconds(settings->keepalive_time)),
		sluice_transport_integer("grpc.keepalive_timeout_ms", milliseconds(settings->keepalive_timeout)),
		sluice_transport_integer("grpc.keepalive_permit_without_calls", 1),
		sluice_transport_integer("grpc.http2.max_pings_without_data", 0),
		/* gRPC calls the timeout of one address so. */
		sluice_transport_integer("grpc.min_reconnect_backoff_ms",
								 milliseconds(settings->connect_timeout / CONNECT_TIMEOUT_SHARE)),
		sluice_transport_integer("grpc.enable_retries", 0),
		sluice_transport_integer("grpc.enable_http_proxy", 0),
		sluice_transport_integer("grpc.use_local_subchannel_pool", 1),
		sluice_transport_integer("grpc.http2.bdp_probe", 0),
		sluice_transport_integer("grpc.http2.lookahead_bytes", RECEIVE_WINDOW),
		sluice_transport_integer("grpc.max_receive_message_length", channel->max_message),
		sluice_transport_string("grpc.primary_user_agent", "libsluice/" SLUICE_VERSION),
		sluice_transport_string("grpc.ssl_target_name_override", settings->tls_name)
	};
	grpc_channel_args channel_args = {sizeof(args) / sizeof(args[0]), args};

	/* The name, which is last, only where there is one. */
	if (!settings->tls || settings->tls_name == NULL || *settings->tls_name == '\0')
		channel_args.num_args--;
	channel->channel = grpc_channel_create(target, credentials, &channel_args);
}

static void
begin_call(SluiceChannel *channel, const char *authorization)
{
	channel->call = grpc_channel_create_call(channel->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
											 channel->queue, grpc_slice_from_static_string(channel->method), NULL,
											 gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	channel->in_flight = 0;
	channel->broken = false;
	channel->sending = false;
	channel->receiving = false;
	channel->held = false;
	channel->received_all = false;
	channel->finished = false;
	channel->incoming = NULL;
	channel->status = GRPC_STATUS_UNKNOWN;
	channel->status_details = grpc_empty_slice();
	memset(&channel->end, 0, sizeof(channel->end));
	grpc_metadata_array_init(&channel->initial_metadata);
	grpc_metadata_array_init(&channel->trailing_metadata);

	start_status_batch(channel);
	start_metadata_batch(channel, authorization);
}

bool
sluice_channel_open(SluiceChannel *channel, const SluiceEndpoint *endpoint, SluicePasswords *passwords, SluiceError *error)
{
	grpc_channel_credentials *credentials;
	char	   *authorization;

	if (sluice_channel_authorization(passwords, endpoint, &authorization, &channel->has_password) != SLUICE_OK)
	{
		sluice_error_set(error, SLUICE_ERROR_MEMORY, "out of memory");
		return false;
	}
	credentials = sluice_channel_credentials(channel->settings, error);
	if (credentials == NULL)
	{
		sluice_passwords_forget(authorization);
		return false;
	}
	create_grpc_channel(channel, endpoint->target, credentials);
	grpc_channel_credentials_release(credentials);
	begin_call(channel, authorization);
	sluice_passwords_forget(authorization);
	return true;
}

/* ---- sending ---- */

bool
sluice_channel_can_send(const SluiceChannel *channel)
{
	return channel->call != NULL && !channel->broken && !channel->sending && !channel->finished;
}

bool
sluice_channel_send(SluiceChannel *channel, const uint8_t *bytes, size_t length)
{
	uint8_t    *copy = malloc(length > 0 ? length : 1);
	grpc_slice	slice;
	grpc_byte_buffer *message;
	grpc_op		op;

	if (copy == NULL)
		return false;
	memcpy(copy, bytes, length);
	slice = grpc_slice_new(copy, length, free);
	message = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_MESSAGE;
	op.data.send_message.send_message = message;
	channel->sending = start_batch(channel, &op, 1, TAG_SENT);
	grpc_byte_buffer_destroy(message);
	return true;
}

void
sluice_channel_finish(SluiceChannel *channel)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
	channel->finished = start_batch(channel, &op, 1, TAG_FINISHED);
}

void
sluice_channel_cancel(SluiceChannel *channel)
{
	channel->broken = true;
	if (channel->call != NULL)
		grpc_call_cancel(channel->call, NULL);
}

/* ---- receiving ---- */

void
sluice_channel_hold(SluiceChannel *channel, bool hold)
{
	channel->held = hold;
}

/* The next message is asked for when the one before was looked at.  After the last one there is the status. */
static void
ask_for_message(SluiceChannel *channel)
{
	if (channel->call != NULL && !channel->receiving && !channel->held && !channel->received_all)
		start_message_batch(channel);
}

/* ---- events ---- */

static SluiceChannelEvent
on_wake(SluiceChannel *channel)
{
	sluice_wake_taken(&channel->wake);
	return SLUICE_CHANNEL_WOKEN;
}

static SluiceChannelEvent
on_sent(SluiceChannel *channel, bool success)
{
	channel->sending = false;
	if (success)
		return SLUICE_CHANNEL_SENT;
	channel->broken = true;
	return SLUICE_CHANNEL_OTHER;
}

static SluiceChannelEvent
on_message(SluiceChannel *channel)
{
	channel->receiving = false;
	if (channel->incoming == NULL)
	{
		channel->broken = true;
		channel->received_all = true;
		return SLUICE_CHANNEL_OTHER;
	}
	sluice_received_take(&channel->message, channel->incoming);
	channel->incoming = NULL;
	return SLUICE_CHANNEL_MESSAGE;
}

static const grpc_slice *
trailing_value(const SluiceChannel *channel, const char *key)
{
	for (size_t i = 0; i < channel->trailing_metadata.count; i++)
	{
		const grpc_metadata *item = &channel->trailing_metadata.metadata[i];

		if (grpc_slice_str_cmp(item->key, key) == 0)
			return &item->value;
	}
	return NULL;
}

/* The status' own words, or what they mean. */
static void
take_words(SluiceChannel *channel)
{
	char		words[1024];
	char		text[256];
	size_t		length = GRPC_SLICE_LENGTH(channel->status_details);

	if (length >= sizeof(words))
		length = sizeof(words) - 1;
	memcpy(words, GRPC_SLICE_START_PTR(channel->status_details), length);
	words[length] = '\0';
	if (channel->status == GRPC_STATUS_UNAVAILABLE && sluice_handshake_explain(words, channel->settings, text, sizeof(text)))
		sluice_channel_end_set_message(&channel->end, text, strlen(text));
	else
		sluice_channel_end_set_message(&channel->end, words, length);
}

static SluiceChannelEvent
on_status(SluiceChannel *channel)
{
	SluiceChannelEnd *end = &channel->end;
	const grpc_slice *reason = trailing_value(channel, "sluice-reason");
	const grpc_slice *last = trailing_value(channel, "sluice-last-sequence");
	const grpc_slice *pushback = trailing_value(channel, "grpc-retry-pushback-ms");

	end->status = (int) channel->status;
	end->shown = *channel->settings->user == '\0' ? SLUICE_SHOWN_NOTHING :
		channel->has_password ? SLUICE_SHOWN_PASSWORD : SLUICE_SHOWN_USER;
	take_words(channel);
	if (reason != NULL && GRPC_SLICE_LENGTH(*reason) < sizeof(end->reason))
		memcpy(end->reason, GRPC_SLICE_START_PTR(*reason), GRPC_SLICE_LENGTH(*reason));
	if (last != NULL)
		sluice_channel_end_set_sequence(end, GRPC_SLICE_START_PTR(*last), GRPC_SLICE_LENGTH(*last));
	if (pushback != NULL)
		end->pushback = sluice_backoff_read_hint(GRPC_SLICE_START_PTR(*pushback), GRPC_SLICE_LENGTH(*pushback));
	channel->broken = true;
	channel->received_all = true;
	return SLUICE_CHANNEL_OTHER;
}

static void
release_call(SluiceChannel *channel)
{
	grpc_metadata_array_destroy(&channel->initial_metadata);
	grpc_metadata_array_destroy(&channel->trailing_metadata);
	grpc_slice_unref(channel->status_details);
	grpc_call_unref(channel->call);
	grpc_channel_destroy(channel->channel);
	channel->call = NULL;
	channel->channel = NULL;
}

static SluiceChannelEvent
on_batch(SluiceChannel *channel, Tag tag, bool success)
{
	channel->in_flight--;
	switch (tag)
	{
		case TAG_STATUS:
			return on_status(channel);
		case TAG_MESSAGE:
			return on_message(channel);
		case TAG_SENT:
			return on_sent(channel, success);
		case TAG_METADATA:
			return success && !channel->broken ? SLUICE_CHANNEL_ANSWERED : SLUICE_CHANNEL_OTHER;
		case TAG_FINISHED:
		case TAG_WAKE:
			break;
	}
	return SLUICE_CHANNEL_OTHER;
}

SluiceChannelEvent
sluice_channel_next(SluiceChannel *channel, int64_t deadline)
{
	grpc_event	event;

	sluice_received_drop(&channel->message);
	if (channel->call != NULL && channel->in_flight == 0)
	{
		release_call(channel);
		return SLUICE_CHANNEL_ENDED;
	}
	ask_for_message(channel);
	event = grpc_completion_queue_next(channel->queue, sluice_transport_deadline(deadline), NULL);
	if (event.type != GRPC_OP_COMPLETE)
		return SLUICE_CHANNEL_TIMEOUT;
	if (event.tag == (void *) (intptr_t) TAG_WAKE)
		return on_wake(channel);
	return on_batch(channel, (Tag) (intptr_t) event.tag, event.success != 0);
}

const uint8_t *
sluice_channel_message(const SluiceChannel *channel, size_t *length)
{
	*length = channel->message.length;
	return channel->message.bytes;
}

const SluiceChannelEnd *
sluice_channel_end(const SluiceChannel *channel)
{
	return &channel->end;
}

void
sluice_channel_wake(SluiceChannel *channel)
{
	sluice_wake_post(&channel->wake);
}
