/*
 * buffer_server.h
 *		The server's side of Publish for tests of the buffer: one row of
 *		sluice.producers, and what became of each sequence.  No network.
 */
#ifndef SLUICE_TESTS_BUFFER_SERVER_H
#define SLUICE_TESTS_BUFFER_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "buffer.h"
#include "sluice.pb-c.h"

/* What became of a sequence: a verdict, or a gap's reason. */
typedef struct Fate
{
	uint64_t	id;				/* the number in the payload; 0: a gap */
	int			verdict;		/* sluice_verdict; DROPPED: a gap */
	int			reason;
} Fate;

typedef struct Server
{
	uint64_t	last;
	uint32_t	last_crc;
	bool		last_is_gap;
	uint64_t	nonce;
	uint64_t	epoch;
	uint8_t		uid[16];
	Fate	   *fates;			/* by sequence - 1 */
	size_t		size;
	uint64_t	dead[1000];		/* for an Opened */
	uint64_t	record_bytes;
	uint64_t	batch_bytes;
	uint32_t	batch_records;
	uint64_t	resent;			/* records that were there already */
	const char *wrong;			/* the first thing that a client must not do */
} Server;

static inline void
server_begin(Server *server)
{
	memset(server, 0, sizeof(*server));
	server->record_bytes = 1 << 20;
	server->batch_bytes = 1 << 20;
	server->batch_records = 5000;
	server->epoch = 1;
	memset(server->uid, 7, sizeof(server->uid));
}

static inline void
server_copy(Server *to, const Server *from)
{
	free(to->fates);
	*to = *from;
	to->fates = malloc((from->last + 1) * sizeof(Fate));
	to->size = from->last + 1;
	if (from->last > 0)
		memcpy(to->fates, from->fates, from->last * sizeof(Fate));
}

/* SLUICE_OK, FENCED, FORKED.  The call's epoch is server->epoch then. */
static inline int
server_open(Server *server, const SluiceOpening *opening, SluiceOpened *opened)
{
	bool		known = server->nonce == 0;

	for (int i = 0; i < opening->nnonces; i++)
		known |= opening->nonces[i] == server->nonce;
	if (!known)
		return SLUICE_ERROR_FENCED;
	if (server->last > opening->sent)
		return SLUICE_ERROR_FORKED;
	if (opening->has_stream_uid && memcmp(opening->stream_uid, server->uid, 16) != 0)
		return SLUICE_ERROR_REFUSED;
	server->nonce = opening->nonces[opening->nnonces - 1];
	server->epoch++;
	memset(opened, 0, sizeof(*opened));
	opened->last_sequence = server->last;
	opened->last_crc = server->last_crc;
	opened->last_is_gap = server->last_is_gap;
	opened->epoch = server->epoch;
	memcpy(opened->stream_uid, server->uid, 16);
	opened->dead = server->dead;
	for (uint64_t s = opening->acked_through + 1; s <= server->last && opened->ndead < 1000; s++)
	{
		if (server->fates[s - 1].verdict == SLUICE_VERDICT_DEAD_LETTERED)
			server->dead[opened->ndead++] = s;
	}
	opened->more_dead = opened->ndead == 1000;
	opened->record_bytes = server->record_bytes;
	opened->batch_bytes = server->batch_bytes;
	opened->batch_records = server->batch_records;
	return SLUICE_OK;
}

static inline void
server_add(Server *server, Fate fate, uint32_t crc)
{
	if (server->last + 1 > server->size)
	{
		server->size = server->size > 0 ? server->size * 2 : 1024;
		server->fates = realloc(server->fates, server->size * sizeof(Fate));
	}
	server->fates[server->last++] = fate;
	server->last_is_gap = fate.verdict == SLUICE_VERDICT_DROPPED;
	server->last_crc = crc;
}

static inline uint64_t
payload_id(const uint8_t *payload, size_t length)
{
	uint64_t	id = 0;

	memcpy(&id, payload, length < 8 ? length : 8);
	return id;
}

static inline void
server_take_record(Server *server, const Sluice__V1__Record *record, int verdict)
{
	Fate		fate = {payload_id(record->payload.data, record->payload.len), verdict, 0};

	if (record->payload.len + strlen(record->key) > server->record_bytes)
		server->wrong = "a record over the limit was sent";
	if (record->sequence <= server->last)
		server->resent++;
	else
		server_add(server, fate, (uint32_t) crc32(0, record->payload.data, (uInt) record->payload.len));
}

static inline void
server_take_gap(Server *server, const Sluice__V1__Gap *gap)
{
	Fate		fate = {0, SLUICE_VERDICT_DROPPED, (int) gap->reason};

	while (server->last < gap->to)
		server_add(server, fate, 0);
}

/*
 * A PublishRequest of the current call.  verdict() says what becomes of each record;
 * exceptions has room for all.  False: it is not what a client may send.
 */
static inline bool
server_take(Server *server, const uint8_t *bytes, size_t length, int (*verdict) (void *argument), void *argument,
			SluiceSettled *exceptions, size_t *nexceptions)
{
	Sluice__V1__PublishRequest *request = sluice__v1__publish_request__unpack(NULL, length, bytes);
	Sluice__V1__Batch *batch = request != NULL ? request->batch : NULL;
	size_t		record = 0;
	size_t		gap = 0;

	*nexceptions = 0;
	if (batch == NULL)
		server->wrong = "not a batch";
	else if (batch->n_records + batch->n_gaps > server->batch_records)
		server->wrong = "too many records in a batch";
	else if (length > server->batch_bytes && batch->n_records + batch->n_gaps > 1)
		server->wrong = "too many bytes in a batch";
	while (server->wrong == NULL && (record < batch->n_records || gap < batch->n_gaps))
	{
		bool		is_gap = record == batch->n_records ||
			(gap < batch->n_gaps && batch->gaps[gap]->from < batch->records[record]->sequence);
		uint64_t	first = is_gap ? batch->gaps[gap]->from : batch->records[record]->sequence;
		uint64_t	last = server->last;

		if (first > last + 1)
			server->wrong = "a hole";
		else if (is_gap)
			server_take_gap(server, batch->gaps[gap++]);
		else
			server_take_record(server, batch->records[record++], verdict(argument));
		if (server->last > last && server->fates[last].id != 0 && server->fates[last].verdict != SLUICE_VERDICT_STORED)
			exceptions[(*nexceptions)++] = (SluiceSettled) {last + 1, (sluice_verdict) server->fates[last].verdict};
	}
	if (request != NULL)
		sluice__v1__publish_request__free_unpacked(request, NULL);
	return server->wrong == NULL;
}

#endif							/* SLUICE_TESTS_BUFFER_SERVER_H */
