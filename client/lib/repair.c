/*
 * repair.c
 *		sluice_buffer_repair(): what changes a buffer that no producer has open.
 *
 * A new identity (rule P12 of the protocol): a fenced or forked buffer is one of two
 * copies.  What both have and the server has is stored.  What lies above all that
 * either copy can have sent before they parted is this copy's own, and is sent
 * under a new identity, numbered anew.  What is between, both hold: the other copy
 * may have sent it or will; only the user can tell.  The new buffer is
 * written beside the old one and takes its place by a rename, so a crash leaves one or the other.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sluice.h"
#include "repair.h"
#include "salvage.h"
#include "store.h"
#include "transfer.h"
#include "workshop.h"

#define WORKSHOP "new-identity"	/* the directory of the new buffer, inside the old one's */

void
sluice_repair_tell(const SluiceRepairJob *job, bool error, const char *format, ...)
{
	char		text[512];
	va_list		arguments;

	if (job->callback == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	job->callback(job->argument, error, text);
}

static int
fail_with_message(const SluiceRepairJob *job, int code, const SluiceStore *store)
{
	const char *message = store != NULL ? sluice_store_message(store) : "";

	sluice_repair_tell(job, true, "%s", *message != '\0' ? message : sluice_error_text(code));
	return code;
}

/* ---- a new identity ---- */

typedef struct Heritage
{
	const SluiceRepairJob *job;
	SluiceTransfer transfer;
	uint64_t	floor;			/* above it all is this copy's own */
	uint64_t	stored;			/* on the server up to here */
	uint64_t	settled;		/* as this copy knows */
	uint64_t	declared;		/* up to here in gaps that went along */
	bool		drop_shared;
	uint64_t	old_records;	/* up to stored */
	uint64_t	shared_records;
	uint64_t	own_records;
	SluiceStoreGap *gaps;		/* that go along */
	size_t		ngaps;
	size_t		gaps_size;
	size_t		next_gap;
	int			code;
} Heritage;

static bool
count_record(void *argument, const SluiceStoreRecord *record)
{
	Heritage   *heritage = argument;

	if (record->sequence <= heritage->stored)
		heritage->old_records++;
	else if (record->sequence <= heritage->floor)
		heritage->shared_records++;
	else
		heritage->own_records++;
	return true;
}

/* Above this, records and gaps go along.  What is settled may be in the store still. */
static uint64_t
left_behind(const Heritage *heritage)
{
	uint64_t	behind = heritage->drop_shared ? heritage->floor : heritage->stored;

	return behind > heritage->settled ? behind : heritage->settled;
}

static bool
keep_gap(void *argument, const SluiceStoreGap *gap)
{
	Heritage   *heritage = argument;
	SluiceStoreGap kept = *gap;

	if (gap->to <= left_behind(heritage))
		return true;
	if (kept.from <= left_behind(heritage))
		kept.from = left_behind(heritage) + 1;
	if (heritage->ngaps == heritage->gaps_size)
	{
		size_t		size = heritage->gaps_size > 0 ? heritage->gaps_size * 2 : 64;
		SluiceStoreGap *larger = realloc(heritage->gaps, size * sizeof(SluiceStoreGap));

		if (larger == NULL)
		{
			heritage->code = SLUICE_ERROR_MEMORY;
			return false;
		}
		heritage->gaps = larger;
		heritage->gaps_size = size;
	}
	heritage->gaps[heritage->ngaps++] = kept;
	return true;
}

static int
move_gaps_through(Heritage *heritage, uint64_t sequence)
{
	int			code = SLUICE_OK;

	while (code == SLUICE_OK && heritage->next_gap < heritage->ngaps &&
		   heritage->gaps[heritage->next_gap].from <= sequence)
	{
		const SluiceStoreGap *gap = &heritage->gaps[heritage->next_gap++];

		heritage->declared = gap->to;
		code = sluice_transfer_gap(&heritage->transfer, gap->to - gap->from + 1, gap->reason);
	}
	return code;
}

static bool
move_record(void *argument, const SluiceStoreRecord *record)
{
	Heritage   *heritage = argument;

	heritage->code = move_gaps_through(heritage, record->sequence);
	if (heritage->code == SLUICE_OK && record->sequence > heritage->declared)
		heritage->code = sluice_transfer_record(&heritage->transfer, record);
	return heritage->code == SLUICE_OK;
}

/* The old store's records and gaps, and its stream, into the new store. */
static int
fill_new_store(Heritage *heritage, SluiceStore *old, SluiceStore *new)
{
	const SluiceStoreState *state = sluice_store_state(old);
	int			code;

	sluice_transfer_begin(&heritage->transfer, new);
	heritage->transfer.state.has_stream_uid = state->has_stream_uid;
	memcpy(heritage->transfer.state.stream_uid, state->stream_uid, sizeof(state->stream_uid));
	code = sluice_store_scan_gaps(old, 0, keep_gap, heritage);
	if (code == SLUICE_OK && heritage->code == SLUICE_OK)
		code = sluice_store_scan(old, left_behind(heritage) + 1, move_record, heritage);
	if (code == SLUICE_OK && heritage->code == SLUICE_OK)
		code = move_gaps_through(heritage, UINT64_MAX);
	if (code == SLUICE_OK)
		code = heritage->code;
	if (sluice_transfer_end(&heritage->transfer) != SLUICE_OK && code == SLUICE_OK)
		code = heritage->transfer.code;
	free(heritage->gaps);
	return code;
}

static int
write_new_identity(const SluiceRepairJob *job, const char *workshop, Heritage *heritage, SluiceStore *old)
{
	char		set_aside[16];
	SluiceStoreCounts counts;
	SluiceStoreSettings settings = {workshop, sluice_store_state(old)->stream, SLUICE_STORE_OWN, 0};
	SluiceStore *new = NULL;
	SluiceError error = {""};
	int			code = sluice_store_counts(old, &counts);

	if (code != SLUICE_OK)
		return fail_with_message(job, code, old);
	settings.map_bytes = counts.file_bytes * 2 + ((uint64_t) 64 << 20);
	code = sluice_store_open(&settings, &new, set_aside, sizeof(set_aside), &error);
	if (code != SLUICE_OK)
		sluice_repair_tell(job, true, "%s", error.text);
	else
	{
		code = fill_new_store(heritage, old, new);
		if (code != SLUICE_OK)
			fail_with_message(job, code, new);
		sluice_store_close(new);
	}
	if (code == SLUICE_OK)
	{
		code = sluice_workshop_take_place(workshop, job->directory);
		if (code != SLUICE_OK)
			sluice_repair_tell(job, true, "could not put the new buffer in place: %s", strerror(errno));
	}
	sluice_workshop_remove(workshop);
	return code;
}

static int
check_new_identity(const SluiceRepairJob *job, Heritage *heritage, SluiceStore *store)
{
	const SluiceStoreState *state = sluice_store_state(store);
	SluiceStoreCounts counts;
	int			code = sluice_store_counts(store, &counts);

	if (code == SLUICE_OK)
		code = sluice_store_scan(store, heritage->settled + 1, count_record, heritage);
	if (code != SLUICE_OK)
		return fail_with_message(job, code, store);
	if (state->condition != SLUICE_ERROR_FENCED && state->condition != SLUICE_ERROR_FORKED)
		sluice_repair_tell(job, true, "the buffer is neither fenced nor forked: it needs no new identity");
	else if (counts.dead > 0)
		sluice_repair_tell(job, true, "%" PRIu64 " records are set aside in the buffer: dump and discard them first", counts.dead);
	else if (heritage->shared_records > 0 && job->repair->shared == SLUICE_SHARED_UNDECIDED)
		sluice_repair_tell(job, true, "%" PRIu64 " records, above %" PRIu64 " and up to %" PRIu64 ", are held by both copies "
						   "of this buffer: keep (send them: what the other copy sends too is doubled) or drop them (leave them to the other copy)?",
						   heritage->shared_records, heritage->stored, heritage->floor);
	else
		return SLUICE_OK;
	return SLUICE_ERROR_INVALID;
}

static int
give_new_identity(const SluiceRepairJob *job, SluiceStore *store)
{
	const SluiceStoreState *state = sluice_store_state(store);
	Heritage	heritage = {.job = job};
	char		workshop[4128];
	int			code;

	snprintf(workshop, sizeof(workshop), "%s/" WORKSHOP, job->directory);
	sluice_workshop_remove(workshop);	/* of a repair that was cut short */
	heritage.floor = state->sent_floor;
	heritage.stored = state->server_sequence < state->sent_floor ? state->server_sequence : state->sent_floor;
	heritage.settled = state->acked_through;
	heritage.drop_shared = job->repair->shared == SLUICE_SHARED_DROP;
	code = check_new_identity(job, &heritage, store);
	if (code == SLUICE_OK)
		code = write_new_identity(job, workshop, &heritage, store);
	if (code != SLUICE_OK)
		return code;
	if (heritage.old_records > 0)
		sluice_repair_tell(job, false, "%" PRIu64 " records up to %" PRIu64 " are on the server: removed",
						   heritage.old_records, heritage.stored);
	if (heritage.shared_records > 0)
		sluice_repair_tell(job, false, "%" PRIu64 " records that both copies hold: %s", heritage.shared_records,
						   heritage.drop_shared ? "left to the other copy" : "kept, they may be doubled");
	sluice_repair_tell(job, false, "%" PRIu64 " records will be sent under a new identity, as 1 to %" PRIu64,
					   heritage.transfer.records, heritage.transfer.state.next - 1);
	return SLUICE_OK;
}

/* ---- in place ---- */

/* P14, as sluice_buffer_rebind() does it with the option on_new_stream. */
static int
rebind(const SluiceRepairJob *job, SluiceStore *store)
{
	SluiceStoreState state = *sluice_store_state(store);
	uint64_t	acknowledged = state.acked_through;
	int			code;

	if (!state.has_stream_uid)
	{
		sluice_repair_tell(job, true, "the buffer is not bound to a stream yet");
		return SLUICE_ERROR_INVALID;
	}
	sluice_store_unbind(&state);
	code = sluice_store_begin(store);
	if (code == SLUICE_OK)
		code = sluice_store_put_previous(store, acknowledged);
	if (code == SLUICE_OK)
		code = sluice_store_put_state(store, &state);
	if (code == SLUICE_OK)
		code = sluice_store_commit(store);
	else
		sluice_store_abort(store);
	if (code != SLUICE_OK)
		return fail_with_message(job, code, store);
	sluice_repair_tell(job, false, "the next stream of this name is gone on with; %" PRIu64 " records that the old one "
					   "acknowledged are declared to it, and what was on its way may be doubled", acknowledged);
	return SLUICE_OK;
}

static int
discard_dead_letters(const SluiceRepairJob *job, SluiceStore *store)
{
	uint64_t	discarded = 0;
	int			code = sluice_store_begin(store);

	if (code == SLUICE_OK)
		code = sluice_store_discard_dead(store, &discarded);
	if (code == SLUICE_OK)
		code = sluice_store_commit(store);
	else
		sluice_store_abort(store);
	if (code != SLUICE_OK)
		return fail_with_message(job, code, store);
	sluice_repair_tell(job, false, "%" PRIu64 " records that were set aside are discarded", discarded);
	return SLUICE_OK;
}

static int
mend(const SluiceRepairJob *job)
{
	SluiceStoreSettings settings = {job->directory, NULL, SLUICE_STORE_MEND, 0};
	char		set_aside[16];
	SluiceStore *store;
	SluiceError error = {""};
	int			code = sluice_store_open(&settings, &store, set_aside, sizeof(set_aside), &error);

	if (code != SLUICE_OK)
	{
		sluice_repair_tell(job, true, "%s", error.text[0] != '\0' ? error.text : sluice_error_text(code));
		return code;
	}
	if (job->repair->discard_dead_letters)
		code = discard_dead_letters(job, store);
	if (code == SLUICE_OK && job->repair->rebind)
		code = rebind(job, store);
	if (code == SLUICE_OK && job->repair->new_identity)
		code = give_new_identity(job, store);
	sluice_store_close(store);
	return code;
}

int
sluice_buffer_repair(const char *directory, const sluice_repair *repair, sluice_check_callback callback, void *argument)
{
	SluiceRepairJob job = {directory, repair, callback, argument};
	int			wishes;

	if (directory == NULL || repair == NULL)
		return SLUICE_ERROR_INVALID;
	wishes = repair->new_identity + repair->rebind + repair->salvage + repair->discard_dead_letters;
	if (wishes == 0 || strlen(directory) > 3900)
		return SLUICE_ERROR_INVALID;
	if (repair->salvage && wishes > 1)
	{
		sluice_repair_tell(&job, true, "salvage goes alone");
		return SLUICE_ERROR_INVALID;
	}
	return repair->salvage ? sluice_salvage(&job) : mend(&job);
}
