/* publication: messages as protobuf-c makes and reads them, and as nobody should. */
#include "publication.h"

#include <stdlib.h>

#include "program.h"
#include "sluice.pb-c.h"
#include "tap.h"

static uint8_t packed[65536];

static size_t
pack(Sluice__V1__Opened *opened, Sluice__V1__Ack *ack)
{
	Sluice__V1__PublishResponse response = SLUICE__V1__PUBLISH_RESPONSE__INIT;

	if (opened != NULL)
	{
		response.response_case = SLUICE__V1__PUBLISH_RESPONSE__RESPONSE_OPENED;
		response.opened = opened;
	}
	else if (ack != NULL)
	{
		response.response_case = SLUICE__V1__PUBLISH_RESPONSE__RESPONSE_ACK;
		response.ack = ack;
	}
	return sluice__v1__publish_response__pack(&response, packed);
}

static void
open_is_written(void)
{
	uint8_t		out[SLUICE_PUBLICATION_MAX];
	SluiceOpening opening = {.sent = UINT64_MAX, .acked_through = UINT64_MAX, .nnonces = 64, .has_stream_uid = true};
	char		program[300];
	size_t		length;
	Sluice__V1__PublishRequest *request;

	memset(opening.stream, 's', sizeof(opening.stream) - 1);
	memset(opening.nonces, 0xEE, sizeof(opening.nonces));
	memset(program, 'p', sizeof(program));
	memcpy(program + SLUICE_PROGRAM_MAX - 1, "\xc3\xa9", 2);
	program[sizeof(program) - 1] = '\0';
	length = sluice_publication_write_open(out, &opening, program);
	ok(length <= sizeof(out), "the longest Open has room");
	request = sluice__v1__publish_request__unpack(NULL, length, out);
	ok(request != NULL && request->request_case == SLUICE__V1__PUBLISH_REQUEST__REQUEST_OPEN &&
	   strlen(request->open->stream) == 255 && request->open->producer_id.len == 16 && request->open->n_nonces == 64 &&
	   request->open->nonces[63] == opening.nonces[63] && request->open->sent == UINT64_MAX &&
	   request->open->acked_through == UINT64_MAX && request->open->stream_uid.len == 16, "and comes whole");
	ok(strspn(request->open->client, "p") == SLUICE_PROGRAM_MAX - 1 &&
	   strncmp(request->open->client + SLUICE_PROGRAM_MAX - 1, " (libsluice ", 12) == 0,
	   "but for a long program's name, cut between characters");
	sluice__v1__publish_request__free_unpacked(request, NULL);

	opening.has_stream_uid = false;
	length = sluice_publication_write_open(out, &opening, NULL);
	request = sluice__v1__publish_request__unpack(NULL, length, out);
	ok(request != NULL && request->open->stream_uid.len == 0 && strncmp(request->open->client, "libsluice ", 10) == 0,
	   "no stream known, no name");
	sluice__v1__publish_request__free_unpacked(request, NULL);
}

static void
report_is_written(void)
{
	uint8_t		out[SLUICE_PUBLICATION_MAX];
	SluiceBacklogReport report = {.records = UINT64_MAX, .bytes = 5, .oldest_age = 7};
	size_t		length = sluice_publication_write_report(out, &report, -1);
	Sluice__V1__PublishRequest *request = sluice__v1__publish_request__unpack(NULL, length, out);

	ok(request != NULL && request->request_case == SLUICE__V1__PUBLISH_REQUEST__REQUEST_REPORT &&
	   request->report->buffered_records == UINT64_MAX && request->report->buffered_bytes == 5 &&
	   request->report->oldest_age == 7 && request->report->clock == -1, "Report");
	sluice__v1__publish_request__free_unpacked(request, NULL);
}

static void
opened_is_read(void)
{
	Sluice__V1__Limits limits = SLUICE__V1__LIMITS__INIT;
	Sluice__V1__Opened message = SLUICE__V1__OPENED__INIT;
	static uint64_t numbers[SLUICE_PUBLICATION_DEAD_MAX + 1];
	static uint64_t dead[SLUICE_PUBLICATION_DEAD_MAX];
	uint8_t		uid[17] = "0123456789abcdef";
	SluiceOpened opened;
	size_t		length;

	for (size_t i = 0; i < SLUICE_PUBLICATION_DEAD_MAX + 1; i++)
		numbers[i] = UINT64_MAX - 2000 + i;
	limits.record_bytes = 1;
	limits.batch_bytes = UINT64_MAX;
	limits.batch_records = UINT32_MAX;
	message.last_sequence = UINT64_MAX;
	message.last_crc = 0xCAFE;
	message.last_is_gap = 1;
	message.epoch = 9;
	message.stream_uid.data = uid;
	message.stream_uid.len = 16;
	message.dead = numbers;
	message.n_dead = SLUICE_PUBLICATION_DEAD_MAX;
	message.more_dead = 1;
	message.limits = &limits;
	length = pack(&message, NULL);
	ok(sluice_publication_read_opened(packed, length, &opened, dead) && opened.last_sequence == UINT64_MAX &&
	   opened.last_crc == 0xCAFE && opened.last_is_gap && opened.epoch == 9 && memcmp(opened.stream_uid, uid, 16) == 0 &&
	   opened.ndead == SLUICE_PUBLICATION_DEAD_MAX && opened.dead[999] == numbers[999] && opened.more_dead &&
	   opened.record_bytes == 1 && opened.batch_bytes == UINT64_MAX && opened.batch_records == UINT32_MAX, "Opened");
	for (size_t cut = 0; cut < length; cut++)
	{
		if (sluice_publication_read_opened(packed, cut, &opened, dead))
			ok(false, "a cut Opened is none");
	}

	message.n_dead = SLUICE_PUBLICATION_DEAD_MAX + 1;
	ok(!sluice_publication_read_opened(packed, pack(&message, NULL), &opened, dead), "too many dead letters");
	message.n_dead = 2;
	numbers[1] = numbers[0];
	ok(!sluice_publication_read_opened(packed, pack(&message, NULL), &opened, dead), "dead letters that do not ascend");
	message.n_dead = 0;
	ok(sluice_publication_read_opened(packed, pack(&message, NULL), &opened, dead) && opened.ndead == 0, "no dead letters");
	message.stream_uid.len = 15;
	ok(!sluice_publication_read_opened(packed, pack(&message, NULL), &opened, dead), "no stream_uid");
	message.stream_uid.len = 16;
	limits.record_bytes = 0;
	ok(!sluice_publication_read_opened(packed, pack(&message, NULL), &opened, dead), "a limit of nothing");
	message.limits = NULL;
	ok(!sluice_publication_read_opened(packed, pack(&message, NULL), &opened, dead), "no limits");
	ok(!sluice_publication_read_opened(packed, pack(NULL, NULL), &opened, dead), "nothing at all");
}

static bool
ack_is(size_t length, int code, uint64_t through, size_t nexceptions)
{
	SluicePublicationAck ack = {0};
	bool		good = sluice_publication_read_ack(packed, length, &ack) == code &&
		(code != SLUICE_OK || (ack.through == through && ack.nexceptions == nexceptions));

	for (size_t i = 0; good && code == SLUICE_OK && i < nexceptions; i++)
		good = ack.exceptions[i].sequence == i + 1 && ack.exceptions[i].verdict == (sluice_verdict) (i % 4 + 1);
	sluice_publication_release_ack(&ack);
	return good;
}

static void
ack_is_read(void)
{
	enum
	{
		COUNT = 3000
	};
	static Sluice__V1__Exception exceptions[COUNT];
	static Sluice__V1__Exception *list[COUNT];
	static const uint8_t strange[] = {0x12, 0x0b, 0x08, 0x05, 0x1a, 0x01, 0x78, 0xa5, 0x06, 1, 2, 3, 4};
	Sluice__V1__Ack message = SLUICE__V1__ACK__INIT;
	size_t		length;

	for (size_t i = 0; i < COUNT; i++)
	{
		sluice__v1__exception__init(&exceptions[i]);
		exceptions[i].sequence = i + 1;
		exceptions[i].verdict = (Sluice__V1__Verdict) (i % 4 + 1);
		list[i] = &exceptions[i];
	}
	message.through_sequence = UINT64_MAX;
	ok(ack_is(pack(NULL, &message), SLUICE_OK, UINT64_MAX, 0), "a plain Ack");
	message.exceptions = list;
	message.n_exceptions = COUNT;
	length = pack(NULL, &message);
	ok(ack_is(length, SLUICE_OK, UINT64_MAX, COUNT), "with exceptions");
	ok(ack_is(length - 1, SLUICE_ERROR_PROTOCOL, 0, 0), "cut");
	message.n_exceptions = 1;
	length = pack(NULL, &message);
	packed[length++] = 0x0a;
	packed[length++] = 0;
	ok(ack_is(length, SLUICE_ERROR_PROTOCOL, 0, 0), "an Opened behind it");
	exceptions[0].verdict = (Sluice__V1__Verdict) 5;
	ok(ack_is(pack(NULL, &message), SLUICE_ERROR_PROTOCOL, 0, 0), "a verdict that nobody knows");
	exceptions[0].verdict = SLUICE__V1__VERDICT__VERDICT_UNSPECIFIED;
	ok(ack_is(pack(NULL, &message), SLUICE_ERROR_PROTOCOL, 0, 0), "no verdict");
	exceptions[0].verdict = SLUICE__V1__VERDICT__VERDICT_STORED;
	exceptions[0].sequence = 0;
	ok(ack_is(pack(NULL, &message), SLUICE_ERROR_PROTOCOL, 0, 0), "no sequence");
	exceptions[0].sequence = 2;
	message.n_exceptions = 2;
	ok(ack_is(pack(NULL, &message), SLUICE_ERROR_PROTOCOL, 0, 0), "sequences that do not ascend");
	ok(ack_is(pack(NULL, NULL), SLUICE_ERROR_PROTOCOL, 0, 0), "nothing at all");
	memcpy(packed, strange, sizeof(strange));
	ok(ack_is(sizeof(strange), SLUICE_OK, 5, 0), "members of a later version are passed over");
}

/* Of random bytes, and of messages with a byte changed, only sanitizers can tell much; these must not loop or crash. */
static void
anything_is_survived(void)
{
	static uint64_t dead[SLUICE_PUBLICATION_DEAD_MAX];
	SluicePublicationAck ack = {0};
	SluiceOpened opened;
	unsigned	seed = 1;

	for (int round = 0; round < 200000; round++)
	{
		size_t		length = (size_t) (rand_r(&seed) % 40);
		uint8_t    *exact = malloc(length + 1);

		for (size_t i = 0; i < length; i++)
			exact[i] = (uint8_t) (rand_r(&seed) >> 4) & (rand_r(&seed) % 2 ? 0xFF : 0x1A);
		if (length > 2 && rand_r(&seed) % 4 != 0)
		{
			exact[0] = rand_r(&seed) % 2 ? 0x0a : 0x12;
			exact[1] = (uint8_t) (length - 2);
		}
		sluice_publication_read_opened(exact, length, &opened, dead);
		sluice_publication_read_ack(exact, length, &ack);
		free(exact);
	}
	sluice_publication_release_ack(&ack);
	ok(true, "200000 random messages");
}

int
main(void)
{
	open_is_written();
	report_is_written();
	opened_is_read();
	ack_is_read();
	anything_is_survived();
	return done_testing();
}
