/*
 * store_state.c
 *		The state, one value of its own database.
 *
 * A head of fixed form for all versions to come (magic, version, length of the
 * rest, CRC-32 of all but itself), then the members one after the other.
 */
#include "store_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <zlib.h>

#include "../sluice.h"
#include "little_endian.h"

#define STATE_MAGIC 0x74736c73	/* "slst" */
#define STATE_KEY "state"
#define HEAD_SIZE 16
#define CRC_AT 12
#define STATE_SIZE_MAX (HEAD_SIZE + 1024)

static uint8_t *
put_bytes(uint8_t *out, const void *bytes, size_t length)
{
	memcpy(out, bytes, length);
	return out + length;
}

static uint8_t *
put_text(uint8_t *out, const char *text, size_t size)
{
	size_t		length = strnlen(text, size - 1);

	*out++ = (uint8_t) length;
	return put_bytes(out, text, length);
}

static uint32_t
state_crc(const uint8_t *bytes, size_t size)
{
	uLong		crc = crc32(0, bytes, CRC_AT);

	return (uint32_t) crc32_z(crc, bytes + HEAD_SIZE, size - HEAD_SIZE);
}

/* Returns the size. */
static size_t
encode(const SluiceStoreState *state, uint8_t bytes[STATE_SIZE_MAX])
{
	uint8_t    *out = bytes + HEAD_SIZE;
	size_t		size;

	out = put_bytes(out, state->producer_id, sizeof(state->producer_id));
	*out++ = state->has_stream_uid;
	out = put_bytes(out, state->stream_uid, sizeof(state->stream_uid));
	out = put_text(out, state->stream, sizeof(state->stream));
	*out++ = (uint8_t) state->nnonces;
	for (int i = 0; i < state->nnonces; i++)
		out = sluice_put_u64(out, state->nonces[i]);
	out = sluice_put_u64(out, state->confirmed_nonce);
	out = sluice_put_u64(out, state->sent_floor);
	*out++ = state->may_send;
	out = sluice_put_u64(out, state->next);
	out = sluice_put_u64(out, state->high_water);
	out = sluice_put_u64(out, state->acked_through);
	out = sluice_put_u32(out, (uint32_t) state->condition);
	out = sluice_put_u64(out, state->server_sequence);

	size = (size_t) (out - bytes);
	sluice_put_u32(bytes, STATE_MAGIC);
	sluice_put_u32(bytes + 4, SLUICE_STORE_FORMAT);
	sluice_put_u32(bytes + 8, (uint32_t) (size - HEAD_SIZE));
	sluice_put_u32(bytes + CRC_AT, state_crc(bytes, size));
	return size;
}

/* What is left to read; taking more than that leaves it bad, and gives zeros. */
typedef struct Input
{
	const uint8_t *at;
	const uint8_t *end;
	bool		bad;
} Input;

static void
get_bytes(Input *input, void *bytes, size_t length)
{
	if (input->bad || length > (size_t) (input->end - input->at))
	{
		input->bad = true;
		memset(bytes, 0, length);
		return;
	}
	memcpy(bytes, input->at, length);
	input->at += length;
}

static uint8_t
get_u8(Input *input)
{
	uint8_t		byte;

	get_bytes(input, &byte, sizeof(byte));
	return byte;
}

static uint32_t
get_u32(Input *input)
{
	uint8_t		bytes[4];

	get_bytes(input, bytes, sizeof(bytes));
	return sluice_get_u32(bytes);
}

static uint64_t
get_u64(Input *input)
{
	uint8_t		bytes[8];

	get_bytes(input, bytes, sizeof(bytes));
	return sluice_get_u64(bytes);
}

static bool
decode(Input *input, SluiceStoreState *state)
{
	memset(state, 0, sizeof(*state));
	get_bytes(input, state->producer_id, sizeof(state->producer_id));
	state->has_stream_uid = get_u8(input) != 0;
	get_bytes(input, state->stream_uid, sizeof(state->stream_uid));
	get_bytes(input, state->stream, get_u8(input));
	state->nnonces = get_u8(input);
	if (state->nnonces > SLUICE_NONCES_MAX)
		return false;
	for (int i = 0; i < state->nnonces; i++)
		state->nonces[i] = get_u64(input);
	state->confirmed_nonce = get_u64(input);
	state->sent_floor = get_u64(input);
	state->may_send = get_u8(input) != 0;
	state->next = get_u64(input);
	state->high_water = get_u64(input);
	state->acked_through = get_u64(input);
	state->condition = (int) get_u32(input);
	state->server_sequence = get_u64(input);
	return !input->bad && input->at == input->end;
}

int
sluice_store_state_new(SluiceStore *store, const char *stream)
{
	SluiceStoreState *state = &store->state;
	size_t		got = 0;

	memset(state, 0, sizeof(*state));
	while (got < sizeof(state->producer_id))
	{
		ssize_t		n = getrandom(state->producer_id + got, sizeof(state->producer_id) - got, 0);

		if (n < 0 && errno != EINTR)
			return sluice_store_fail(store, false, SLUICE_ERROR_DISK, "could not get random bytes: %s", strerror(errno));
		if (n > 0)
			got += (size_t) n;
	}
	if (stream != NULL && strlen(stream) >= sizeof(state->stream))
		return sluice_store_fail(store, false, SLUICE_ERROR_INVALID, "the name of the stream is too long");
	strcpy(state->stream, stream != NULL ? stream : "");
	state->next = 1;
	return SLUICE_OK;
}

int
sluice_store_state_write(SluiceStore *store, MDB_txn *txn, const SluiceStoreState *state)
{
	uint8_t		bytes[STATE_SIZE_MAX];
	MDB_val		key = {.mv_size = strlen(STATE_KEY), .mv_data = STATE_KEY};
	MDB_val		value = {.mv_data = bytes};
	int			rc;

	if (state->nnonces < 0 || state->nnonces > SLUICE_NONCES_MAX)
		return sluice_store_fail(store, true, SLUICE_ERROR_INVALID, "cannot keep %d nonces", state->nnonces);
	value.mv_size = encode(state, bytes);
	rc = mdb_put(txn, store->state_db, &key, &value, 0);
	return rc == 0 ? SLUICE_OK : sluice_store_fail_lmdb(store, true, rc, "write the state");
}

int
sluice_store_state_decode(const MDB_val *value, SluiceStoreState *state)
{
	const uint8_t *bytes = value->mv_data;
	Input		input;

	if (value->mv_size < HEAD_SIZE || sluice_get_u32(bytes) != STATE_MAGIC ||
		sluice_get_u32(bytes + 8) != value->mv_size - HEAD_SIZE ||
		sluice_get_u32(bytes + CRC_AT) != state_crc(bytes, value->mv_size))
		return SLUICE_ERROR_DAMAGED;
	if (sluice_get_u32(bytes + 4) != SLUICE_STORE_FORMAT)
		return SLUICE_ERROR_VERSION;
	input = (Input) {.at = bytes + HEAD_SIZE, .end = bytes + value->mv_size};
	return decode(&input, state) ? SLUICE_OK : SLUICE_ERROR_DAMAGED;
}

int
sluice_store_state_find(SluiceStore *store, MDB_txn *txn, MDB_val *value)
{
	MDB_val		key = {.mv_size = strlen(STATE_KEY), .mv_data = STATE_KEY};
	int			rc = mdb_get(txn, store->state_db, &key, value);

	if (rc == MDB_NOTFOUND)
		return sluice_store_fail(store, false, SLUICE_ERROR_DAMAGED, "the buffer has no state");
	return rc == 0 ? SLUICE_OK : sluice_store_fail_lmdb(store, false, rc, "read the state");
}

int
sluice_store_state_read(SluiceStore *store, MDB_txn *txn, SluiceStoreState *state)
{
	MDB_val		value;
	int			rc = sluice_store_state_find(store, txn, &value);

	if (rc != SLUICE_OK)
		return rc;
	rc = sluice_store_state_decode(&value, state);
	if (rc == SLUICE_ERROR_VERSION)
		return sluice_store_fail(store, false, rc, "the buffer has format %u, this library knows %d",
								 sluice_get_u32((const uint8_t *) value.mv_data + 4), SLUICE_STORE_FORMAT);
	if (rc != SLUICE_OK)
		return sluice_store_fail(store, false, rc, "the state of the buffer is damaged");
	return SLUICE_OK;
}

const SluiceStoreState *
sluice_store_state(const SluiceStore *store)
{
	return &store->state;
}

void
sluice_store_unbind(SluiceStoreState *state)
{
	state->has_stream_uid = false;
	memset(state->stream_uid, 0, sizeof(state->stream_uid));
	state->acked_through = 0;
}

int
sluice_store_put_state(SluiceStore *store, const SluiceStoreState *state)
{
	int			rc = sluice_store_writing(store);

	if (rc == SLUICE_OK)
		rc = sluice_store_state_write(store, store->writing, state);
	if (rc != SLUICE_OK)
		return rc;
	store->next_state = *state;
	store->state_changed = true;
	return SLUICE_OK;
}
