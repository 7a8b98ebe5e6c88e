/*
 * network_load.c
 *		A client that keeps IngestData calls full, and checks every answer.
 *
 * Each call sends its records with a window of unanswered ones; every key must
 * come back exactly once with the status ACKNOWLEDGED, and the call must end
 * with OK.  Prints "load ok" with figures, or what was wrong (exit status 1).
 *
 * usage: network_load TARGET [calls=N] [records=N] [window=N] [payload=N] [stream=NAME]
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice_buffer.h>
#include <grpc/support/time.h>

#define KEY_LENGTH 36

typedef struct LoadCall
{
	grpc_call  *call;
	grpc_metadata_array initial_metadata;
	grpc_metadata_array trailing_metadata;
	grpc_status_code status;
	grpc_slice	details;
	grpc_byte_buffer *received;
	uint8_t    *answered;
	size_t		sent;
	size_t		answers;
	bool		open;
	bool		sending;
	bool		closed;
	bool		reading;
	int			number;
} LoadCall;

enum
{
	TAG_OPEN, TAG_READ, TAG_SEND, TAG_CLOSE, TAG_STATUS
};

static grpc_completion_queue *queue;
static grpc_byte_buffer *send_buffer;
static size_t records = 100000;
static size_t window = 1024;
static size_t payload = 60;
static int	ncalls = 4;
static int	unfinished;
static uint64_t total;
static const char *stream = "";

static void
fail(const LoadCall *call, const char *what)
{
	printf("load failed: call %d: %s (sent %zu, answered %zu)\n", call->number, what, call->sent, call->answers);
	exit(1);
}

static void
start(LoadCall *call, int tag, grpc_op *ops, size_t nops)
{
	if (grpc_call_start_batch(call->call, ops, nops, (void *) ((uintptr_t) call | (uintptr_t) tag), NULL) != GRPC_CALL_OK)
		fail(call, "could not start a batch");
}

static void
write_key(char *key, const LoadCall *call, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	unsigned	number = (unsigned) call->number;

	memcpy(key, "00000000-0000-7000-8000-000000000000", KEY_LENGTH);
	for (int i = 7; i >= 0; i--, number /= 16)
		key[i] = digits[number % 16];
	for (int i = KEY_LENGTH - 1; i >= KEY_LENGTH - 12; i--, n /= 16)
		key[i] = digits[n % 16];
}

static void
post_read(LoadCall *call)
{
	grpc_op		op;

	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_MESSAGE;
	op.data.recv_message.recv_message = &call->received;
	start(call, TAG_READ, &op, 1);
}

static void
send_next(LoadCall *call)
{
	grpc_op		op;

	if (!call->open || call->sending || call->closed)
		return;
	memset(&op, 0, sizeof(op));
	if (call->sent == records)
	{
		call->closed = true;
		op.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
		start(call, TAG_CLOSE, &op, 1);
	}
	else if (call->sent - call->answers < window)
	{
		grpc_slice	slice = grpc_slice_malloc(2 + KEY_LENGTH + 2 + payload);
		uint8_t    *p = GRPC_SLICE_START_PTR(slice);

		*p++ = 0x0a;
		*p++ = KEY_LENGTH;
		write_key((char *) p, call, call->sent);
		p += KEY_LENGTH;
		*p++ = 0x12;
		*p++ = (uint8_t) payload;
		memset(p, 'x', payload);
		call->sent++;
		grpc_slice_buffer_add(&send_buffer->data.raw.slice_buffer, slice);
		op.op = GRPC_OP_SEND_MESSAGE;
		if (call->sent < records && call->sent - call->answers < window)
			op.flags = GRPC_WRITE_BUFFER_HINT;
		op.data.send_message.send_message = send_buffer;
		call->sending = true;
		start(call, TAG_SEND, &op, 1);
	}
}

static size_t
parse_number(const uint8_t *text)
{
	size_t		n = 0;

	for (int i = 0; i < 12; i++)
		n = n * 16 + (size_t) (text[i] <= '9' ? text[i] - '0' : text[i] - 'a' + 10);
	return n;
}

static void
check_answer(LoadCall *call)
{
	const grpc_slice_buffer *slices = &call->received->data.raw.slice_buffer;
	uint8_t		bytes[2 + KEY_LENGTH + 2];
	char		key[KEY_LENGTH];
	size_t		length = 0;
	size_t		n;

	if (grpc_byte_buffer_length(call->received) != sizeof(bytes))
		fail(call, "answer has another length");
	for (size_t i = 0; i < slices->count; i++)
	{
		memcpy(bytes + length, GRPC_SLICE_START_PTR(slices->slices[i]), GRPC_SLICE_LENGTH(slices->slices[i]));
		length += GRPC_SLICE_LENGTH(slices->slices[i]);
	}
	n = parse_number(bytes + 2 + KEY_LENGTH - 12);
	if (n >= records)
		fail(call, "answer has an unknown key");
	write_key(key, call, n);
	if (memcmp(key, bytes + 2, KEY_LENGTH) != 0 || bytes[2 + KEY_LENGTH] != 0x10 || bytes[3 + KEY_LENGTH] != 1)
		fail(call, "answer has another key or status");
	if (call->answered[n / 8] & (1 << n % 8))
		fail(call, "a key was answered twice");
	call->answered[n / 8] |= (uint8_t) (1 << n % 8);
	call->answers++;
	total++;
}

static void
on_read(LoadCall *call)
{
	if (call->received == NULL)
		return;
	check_answer(call);
	grpc_byte_buffer_destroy(call->received);
	call->received = NULL;
	post_read(call);
	send_next(call);
}

static void
on_status(LoadCall *call)
{
	if (call->status != GRPC_STATUS_OK)
	{
		char	   *details = grpc_slice_to_c_string(call->details);

		printf("status %d %s\n", call->status, details);
		fail(call, "did not end with OK");
	}
	if (call->answers != records)
		fail(call, "records without answer");
	unfinished--;
}

static void
open_call(LoadCall *call, grpc_channel *channel)
{
	grpc_op		ops[2];
	grpc_metadata metadata;

	grpc_metadata_array_init(&call->initial_metadata);
	grpc_metadata_array_init(&call->trailing_metadata);
	call->answered = calloc(records / 8 + 1, 1);
	call->call = grpc_channel_create_call(channel, NULL, 0, queue,
										  grpc_slice_from_static_string("/ingestion.IngestionService/IngestData"),
										  NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	memset(ops, 0, sizeof(ops));
	ops[0].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
	ops[0].data.recv_status_on_client.trailing_metadata = &call->trailing_metadata;
	ops[0].data.recv_status_on_client.status = &call->status;
	ops[0].data.recv_status_on_client.status_details = &call->details;
	start(call, TAG_STATUS, ops, 1);
	memset(ops, 0, sizeof(ops));
	memset(&metadata, 0, sizeof(metadata));
	metadata.key = grpc_slice_from_static_string("sluice-stream");
	metadata.value = grpc_slice_from_static_string(stream);
	ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
	ops[0].data.send_initial_metadata.metadata = &metadata;
	ops[0].data.send_initial_metadata.count = stream[0] != '\0';
	ops[1].op = GRPC_OP_RECV_INITIAL_METADATA;
	ops[1].data.recv_initial_metadata.recv_initial_metadata = &call->initial_metadata;
	start(call, TAG_OPEN, ops, 2);
	post_read(call);
}

static void
run_event(const grpc_event *event)
{
	LoadCall   *call = (LoadCall *) ((uintptr_t) event->tag & ~(uintptr_t) 7);

	switch ((uintptr_t) event->tag & 7)
	{
		case TAG_OPEN:
			call->open = event->success;
			send_next(call);
			break;
		case TAG_READ:
			on_read(call);
			break;
		case TAG_SEND:
			call->sending = false;
			if (event->success)
				send_next(call);
			break;
		case TAG_STATUS:
			on_status(call);
			break;
	}
}

static double
seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void
set(const char *setting)
{
	if (sscanf(setting, "calls=%d", &ncalls) == 1 || sscanf(setting, "records=%zu", &records) == 1 ||
		sscanf(setting, "window=%zu", &window) == 1 || sscanf(setting, "payload=%zu", &payload) == 1)
		return;
	if (strncmp(setting, "stream=", 7) == 0)
		stream = setting + 7;
}

int
main(int argc, char **argv)
{
	grpc_arg	arg = {.type = GRPC_ARG_INTEGER,.key = (char *) "grpc.enable_retries",.value.integer = 0};
	grpc_channel_args args = {1, &arg};
	grpc_channel_credentials *credentials;
	grpc_channel *channel;
	LoadCall   *calls;
	double		begin;

	if (argc < 2)
		return 2;
	for (int i = 2; i < argc; i++)
		set(argv[i]);
	grpc_init();
	queue = grpc_completion_queue_create_for_next(NULL);
	send_buffer = grpc_raw_byte_buffer_create(NULL, 0);
	credentials = grpc_insecure_credentials_create();
	channel = grpc_channel_create(argv[1], credentials, &args);
	calls = calloc((size_t) ncalls, sizeof(LoadCall));
	begin = seconds(CLOCK_MONOTONIC);
	unfinished = ncalls;
	for (int i = 0; i < ncalls; i++)
	{
		calls[i].number = i;
		open_call(&calls[i], channel);
	}
	while (unfinished > 0)
	{
		grpc_event	event = grpc_completion_queue_next(queue, gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
																		   gpr_time_from_seconds(30, GPR_TIMESPAN)), NULL);

		if (event.type != GRPC_OP_COMPLETE)
			fail(&calls[0], "nothing came for 30 seconds");
		run_event(&event);
	}
	begin = seconds(CLOCK_MONOTONIC) - begin;
	printf("load ok: %" PRIu64 " records in %.3f s, %.0f/s, client CPU %.2f us a record\n", total, begin,
		   (double) total / begin, seconds(CLOCK_PROCESS_CPUTIME_ID) / (double) total * 1e6);
	return 0;
}
