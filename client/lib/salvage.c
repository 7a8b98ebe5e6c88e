/*
 * salvage.c
 *		What can still be read of damaged buffers, into the buffer beside them.
 *
 * A damaged data.mdb was set aside, or is now, into damaged-…/ of its directory, and a
 * new buffer has begun.  Its records above what was acknowledged are added
 * to the new one, numbered anew; those that are missing are declared as damaged.  Then
 * the directory is called salvaged-…, so that this is done once.
 */
#include "salvage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "leaves.h"
#include "store.h"
#include "transfer.h"

#define DAMAGED "damaged-"
#define SALVAGED "salvaged-"

/* Was it given up?  Asked in ascending order: *next is the first gap that does not end before. */
static bool
is_declared(const SluiceLeaves *leaves, uint64_t sequence, size_t *next)
{
	while (*next < leaves->ngaps && leaves->gaps[*next].to < sequence)
		(*next)++;
	return *next < leaves->ngaps && leaves->gaps[*next].from <= sequence;
}

/* Sequences that were neither acknowledged, nor found, nor given up. */
static uint64_t
count_missing(const SluiceLeaves *leaves, uint64_t found)
{
	uint64_t	given_out = leaves->state.next - 1;
	uint64_t	missing = given_out > leaves->state.acked_through ? given_out - leaves->state.acked_through : 0;

	for (size_t i = 0; i < leaves->ngaps; i++)
	{
		uint64_t	from = leaves->gaps[i].from;

		if (from <= leaves->state.acked_through)
			from = leaves->state.acked_through + 1;
		if (leaves->gaps[i].to >= from)
			found += leaves->gaps[i].to - from + 1;
	}
	return missing > found ? missing - found : 0;
}

static int
add_records(SluiceLeaves *leaves, SluiceTransfer *transfer)
{
	uint64_t	acknowledged = leaves->has_state ? leaves->state.acked_through : 0;
	size_t		next_gap = 0;
	int			code = SLUICE_OK;

	for (size_t i = 0; code == SLUICE_OK && i < leaves->nrecords; i++)
	{
		SluiceStoreRecord record;

		if (leaves->records[i].sequence <= acknowledged || is_declared(leaves, leaves->records[i].sequence, &next_gap))
			continue;
		code = sluice_leaves_read(leaves, &leaves->records[i], &record);
		if (code == SLUICE_OK)
			code = sluice_transfer_record(transfer, &record);
		else if (code == SLUICE_ERROR_DISK)
			code = SLUICE_OK;	/* not there any more: missing */
	}
	return code;
}

/* The new buffer is for the old one's stream. */
static void
inherit_stream(SluiceTransfer *transfer, const SluiceLeaves *leaves)
{
	SluiceStoreState *state = &transfer->state;

	if (!leaves->has_state || state->next > 1)
		return;
	memcpy(state->stream, leaves->state.stream, sizeof(state->stream));
	state->has_stream_uid = leaves->state.has_stream_uid;
	memcpy(state->stream_uid, leaves->state.stream_uid, sizeof(state->stream_uid));
}

static int
add_all(const SluiceRepairJob *job, SluiceStore *store, SluiceLeaves *leaves, const char *name)
{
	SluiceTransfer transfer;
	uint64_t	missing;
	int			code;

	sluice_transfer_begin(&transfer, store);
	inherit_stream(&transfer, leaves);
	code = add_records(leaves, &transfer);
	missing = leaves->has_state ? count_missing(leaves, transfer.records) : 0;
	if (code == SLUICE_OK)
		code = sluice_transfer_gap(&transfer, missing, SLUICE_REASON_DAMAGED);
	if (sluice_transfer_end(&transfer) != SLUICE_OK && code == SLUICE_OK)
		code = transfer.code;
	if (code != SLUICE_OK)
	{
		sluice_repair_tell(job, true, "could not add the records of %s: %s", name, sluice_store_message(store));
		return code;
	}
	sluice_repair_tell(job, false, "%s: %" PRIu64 " records are added to the buffer, %" PRIu64 " are lost and declared", name,
					   transfer.records, missing);
	if (!leaves->has_state)
		sluice_repair_tell(job, false, "%s: how far it was acknowledged is lost: some of its records may be stored already", name);
	else if (transfer.records > 0)
		sluice_repair_tell(job, false, "%s: what was on its way when it was damaged may be stored already", name);
	return SLUICE_OK;
}

static int
salvage_one(const SluiceRepairJob *job, SluiceStore *store, const char *name)
{
	char		from[4300];
	char		to[4300];
	SluiceLeaves leaves;
	int			code;

	snprintf(from, sizeof(from), "%s/%s/data.mdb", job->directory, name);
	code = sluice_leaves_open(&leaves, from);
	if (code == SLUICE_OK)
		code = add_all(job, store, &leaves, name);
	else
		sluice_repair_tell(job, true, "could not read \"%s\": %s", from,
						   code == SLUICE_ERROR_DISK ? strerror(errno) : sluice_error_text(code));
	sluice_leaves_close(&leaves);
	if (code != SLUICE_OK)
		return code;
	snprintf(from, sizeof(from), "%s/%s", job->directory, name);
	snprintf(to, sizeof(to), "%s/" SALVAGED "%s", job->directory, name + strlen(DAMAGED));
	if (rename(from, to) == 0)
		return SLUICE_OK;
	sluice_repair_tell(job, true, "could not rename \"%s\", whose records are in the buffer now: %s", from, strerror(errno));
	return SLUICE_ERROR_DISK;
}

static int
is_damaged_directory(const struct dirent *entry)
{
	return strncmp(entry->d_name, DAMAGED, strlen(DAMAGED)) == 0;
}

/* Bytes that the records of all of them may need. */
static uint64_t
sum_of_files(const char *directory, struct dirent **entries, int n)
{
	uint64_t	sum = 0;

	for (int i = 0; i < n; i++)
	{
		char		path[4300];
		struct stat status;

		snprintf(path, sizeof(path), "%s/%s/data.mdb", directory, entries[i]->d_name);
		if (stat(path, &status) == 0)
			sum += (uint64_t) status.st_size;
	}
	return sum;
}

static int
salvage_into(const SluiceRepairJob *job, SluiceStore *store)
{
	struct dirent **entries;
	int			n = scandir(job->directory, &entries, is_damaged_directory, alphasort);
	int			code = n < 0 ? SLUICE_ERROR_DISK : SLUICE_OK;

	if (n == 0)
	{
		sluice_repair_tell(job, true, "there is no damaged buffer in \"%s\"", job->directory);
		code = SLUICE_ERROR_INVALID;
	}
	for (int i = 0; i < n; i++)
	{
		if (code == SLUICE_OK)
			code = salvage_one(job, store, entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return code;
}

/* Large enough for what was set aside, and for what is about to be. */
static uint64_t
room_needed(const char *directory)
{
	struct dirent **entries;
	struct stat status;
	char		path[4300];
	uint64_t	bytes = (uint64_t) 64 << 20;
	int			n = scandir(directory, &entries, is_damaged_directory, alphasort);

	if (n >= 0)
	{
		bytes += 2 * sum_of_files(directory, entries, n);
		for (int i = 0; i < n; i++)
			free(entries[i]);
		free(entries);
	}
	snprintf(path, sizeof(path), "%s/data.mdb", directory);
	if (stat(path, &status) == 0)
		bytes += 2 * (uint64_t) status.st_size;
	return bytes;
}

int
sluice_salvage(const SluiceRepairJob *job)
{
	SluiceStoreSettings settings = {job->directory, NULL, SLUICE_STORE_OWN, room_needed(job->directory)};
	char		set_aside[4300] = "";
	struct stat status;
	SluiceStore *store;
	SluiceError error = {""};
	int			code;

	if (stat(job->directory, &status) != 0)
	{
		sluice_repair_tell(job, true, "there is no buffer in \"%s\"", job->directory);
		return SLUICE_ERROR_NOT_FOUND;
	}
	code = sluice_store_open(&settings, &store, set_aside, sizeof(set_aside), &error);
	if (code != SLUICE_OK)
	{
		sluice_repair_tell(job, true, "%s", error.text[0] != '\0' ? error.text : sluice_error_text(code));
		return code;
	}
	if (set_aside[0] != '\0')
		sluice_repair_tell(job, false, "the damaged buffer is set aside in %s, a new one begun", set_aside);
	code = salvage_into(job, store);
	sluice_store_close(store);
	return code;
}
