/*
 * transfer.c
 *		Records and gaps from elsewhere into a store, numbered anew.
 */
#include "transfer.h"

#include <stdlib.h>
#include <string.h>

#include "../sluice.h"
#include "encoding.h"

#define PIECE 4096				/* records of a transaction */

void
sluice_transfer_begin(SluiceTransfer *transfer, SluiceStore *store)
{
	memset(transfer, 0, sizeof(*transfer));
	transfer->store = store;
	transfer->state = *sluice_store_state(store);
}

static int
fail(SluiceTransfer *transfer, int code)
{
	if (transfer->code == SLUICE_OK)
		transfer->code = code;
	return transfer->code;
}

/* The numbers of a piece are given out by the transaction that has its records. */
static int
commit_piece(SluiceTransfer *transfer)
{
	int			code;

	if (transfer->uncommitted == 0)
		return transfer->code;
	transfer->uncommitted = 0;
	if (transfer->state.high_water < transfer->state.next - 1)
		transfer->state.high_water = transfer->state.next - 1;
	code = transfer->code == SLUICE_OK ? sluice_store_put_state(transfer->store, &transfer->state) : transfer->code;
	if (code == SLUICE_OK)
		code = sluice_store_commit(transfer->store);
	else
		sluice_store_abort(transfer->store);
	return code == SLUICE_OK ? SLUICE_OK : fail(transfer, code);
}

/* Room for one more in the transaction. */
static int
begin_one(SluiceTransfer *transfer)
{
	int			code = transfer->code;

	if (code == SLUICE_OK && transfer->uncommitted >= PIECE)
		code = commit_piece(transfer);
	if (code == SLUICE_OK && transfer->uncommitted == 0)
		code = sluice_store_begin(transfer->store);
	if (code != SLUICE_OK)
		return fail(transfer, code);
	transfer->uncommitted++;
	return SLUICE_OK;
}

static int
make_room(SluiceTransfer *transfer, size_t size)
{
	uint8_t    *larger;

	if (size <= transfer->scratch_size)
		return SLUICE_OK;
	larger = realloc(transfer->scratch, size);
	if (larger == NULL)
		return fail(transfer, SLUICE_ERROR_MEMORY);
	transfer->scratch = larger;
	transfer->scratch_size = size;
	return SLUICE_OK;
}

int
sluice_transfer_record(SluiceTransfer *transfer, const SluiceStoreRecord *record)
{
	SluiceStoreRecord renumbered = *record;
	SluiceEntry entry;
	size_t		size;
	int			code;

	if (sluice_entry_read(record->bytes, record->length, &entry) == 0)
		return SLUICE_ERROR_DAMAGED;
	entry.sequence = renumbered.sequence = transfer->state.next;
	size = sluice_entry_size(entry.sequence, entry.payload_length, entry.key_length);
	if (make_room(transfer, size) != SLUICE_OK || begin_one(transfer) != SLUICE_OK)
		return transfer->code;
	sluice_entry_write(transfer->scratch, &entry);
	renumbered.bytes = transfer->scratch;
	renumbered.length = (uint32_t) size;
	code = sluice_store_put(transfer->store, &renumbered);
	if (code != SLUICE_OK)
		return fail(transfer, code);
	transfer->state.next++;
	transfer->records++;
	return SLUICE_OK;
}

int
sluice_transfer_gap(SluiceTransfer *transfer, uint64_t count, int reason)
{
	SluiceStoreGap gap = {transfer->state.next, transfer->state.next + count - 1, reason};
	int			code;

	if (count == 0)
		return transfer->code;
	if (begin_one(transfer) != SLUICE_OK)
		return transfer->code;
	code = sluice_store_put_gap(transfer->store, &gap);
	if (code != SLUICE_OK)
		return fail(transfer, code);
	transfer->state.next += count;
	transfer->declared += count;
	return SLUICE_OK;
}

int
sluice_transfer_end(SluiceTransfer *transfer)
{
	int			code = commit_piece(transfer);

	free(transfer->scratch);
	transfer->scratch = NULL;
	return code;
}
