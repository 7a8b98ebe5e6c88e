/*
 * salvage.c
 *		What can still be read of damaged buffers, into the buffer beside them.
 *
 * A damaged data.mdb was set aside, or is now, into damaged-…/ of its directory, and a
 * new buffer has begun.  Its records above what was acknowledged are added
 * to the new one, numbered anew; those that are missing are declared as damaged.  Then
 * the directory is called salvaged-…, so that this is done once.
 *
 * Once also where it is cut short: the records are added to a copy of the new buffer, in
 * damaged-…/building.  When it is complete it is called damaged-…/built, and its data.mdb
 * takes the place of the other.  A directory built without a data.mdb tells that this has
 * happened, and nothing but the name is left to be changed; in any other case it is begun anew.
 */
#include "salvage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "leaves.h"
#include "store.h"
#include "tail.h"
#include "transfer.h"
#include "workshop.h"

#define DAMAGED "damaged-"
#define SALVAGED "salvaged-"
#define NAME_MAX_LENGTH 255
#define PATH_LENGTH 4400

/* One damaged buffer on its way. */
typedef struct Salvage
{
	const SluiceRepairJob *job;
	const char *name;			/* damaged-… */
	char		damaged[PATH_LENGTH];	/* its path */
	char		building[PATH_LENGTH];
	char		built[PATH_LENGTH];
	uint64_t	map_bytes;
} Salvage;

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

/*
 * The records come above all numbers that were given out and may have been sent, also by a run that
 * could not write them any more; those of them that are missing are declared when the buffer is opened.
 */
static void
end_last_run(const char *directory, SluiceStoreState *state)
{
	SluiceTail *tail;
	uint64_t	given_out = state->next - 1;
	uint64_t	last;

	if (state->high_water > given_out)
	{
		tail = sluice_tail_open(directory, state->producer_id);
		if (!sluice_tail_read(tail, &last))
			given_out = state->high_water;
		else if (last > given_out)
			given_out = last;
		sluice_tail_close(tail);
	}
	state->next = given_out + 1;
	state->high_water = given_out;
	if (state->may_send && state->sent_floor < given_out)
		state->sent_floor = given_out;
	state->may_send = false;
}

static int
add_all(const Salvage *salvage, SluiceStore *store, SluiceLeaves *leaves)
{
	const SluiceRepairJob *job = salvage->job;
	const char *name = salvage->name;
	SluiceTransfer transfer;
	uint64_t	missing;
	int			code;

	sluice_transfer_begin(&transfer, store);
	inherit_stream(&transfer, leaves);
	end_last_run(job->directory, &transfer.state);
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

/* ---- the copy ---- */

static int
fail_at(const Salvage *salvage, const char *what)
{
	sluice_repair_tell(salvage->job, true, "could not %s \"%s\": %s", what, salvage->damaged, strerror(errno));
	return SLUICE_ERROR_DISK;
}

static int
add_to_copy(const Salvage *salvage, SluiceLeaves *leaves)
{
	SluiceStoreSettings settings = {salvage->building, NULL, SLUICE_STORE_MEND, salvage->map_bytes};
	char		set_aside[16];
	SluiceStore *copy;
	SluiceError error = {""};
	int			code = sluice_store_open(&settings, &copy, set_aside, sizeof(set_aside), &error);

	if (code != SLUICE_OK)
	{
		sluice_repair_tell(salvage->job, true, "%s", error.text[0] != '\0' ? error.text : sluice_error_text(code));
		return code;
	}
	code = add_all(salvage, copy, leaves);
	sluice_store_close(copy);
	return code;
}

static int
build(const Salvage *salvage)
{
	char		path[PATH_LENGTH + 16];
	SluiceLeaves leaves;
	int			code;

	snprintf(path, sizeof(path), "%s/data.mdb", salvage->damaged);
	code = sluice_leaves_open(&leaves, path);
	if (code != SLUICE_OK)
		sluice_repair_tell(salvage->job, true, "could not read \"%s\": %s", path,
						   code == SLUICE_ERROR_DISK ? strerror(errno) : sluice_error_text(code));
	else if (sluice_workshop_copy(salvage->job->directory, salvage->building) != SLUICE_OK)
		code = fail_at(salvage, "copy the buffer into");
	else
		code = add_to_copy(salvage, &leaves);
	sluice_leaves_close(&leaves);
	return code;
}

/* ---- what an earlier call may have left ---- */

static bool
is_in_place(const Salvage *salvage)
{
	char		path[PATH_LENGTH + 16];

	snprintf(path, sizeof(path), "%s/data.mdb", salvage->built);
	return sluice_workshop_exists(salvage->built) && !sluice_workshop_exists(path);
}

/* What is built never loses its data.mdb but by taking the place. */
static int
clear(const Salvage *salvage)
{
	sluice_workshop_remove(salvage->building);
	if (!sluice_workshop_exists(salvage->built))
		return SLUICE_OK;
	if (sluice_workshop_rename(salvage->damaged, salvage->built, salvage->building) != SLUICE_OK)
		return fail_at(salvage, "clear");
	sluice_workshop_remove(salvage->building);
	return SLUICE_OK;
}

static int
build_and_take_place(const Salvage *salvage)
{
	int			code = clear(salvage);

	if (code == SLUICE_OK)
		code = build(salvage);
	if (code != SLUICE_OK)
	{
		sluice_workshop_remove(salvage->building);
		return code;
	}
	if (sluice_workshop_rename(salvage->damaged, salvage->building, salvage->built) != SLUICE_OK ||
		sluice_workshop_take_place(salvage->built, salvage->job->directory) != SLUICE_OK)
		return fail_at(salvage, "put the new buffer in place of the one beside");
	return SLUICE_OK;
}

/* The store keeps the directory locked, and is an old one when this is over. */
static int
salvage_one(const SluiceRepairJob *job, const char *name, uint64_t map_bytes)
{
	Salvage		salvage = {.job = job, .name = name, .map_bytes = map_bytes};
	char		salvaged[PATH_LENGTH];
	char		left[PATH_LENGTH + 16];
	int			code = SLUICE_OK;

	snprintf(salvage.damaged, sizeof(salvage.damaged), "%s/%s", job->directory, name);
	snprintf(salvage.building, sizeof(salvage.building), "%s/%s/building", job->directory, name);
	snprintf(salvage.built, sizeof(salvage.built), "%s/%s/built", job->directory, name);
	snprintf(salvaged, sizeof(salvaged), "%s/" SALVAGED "%s", job->directory, name + strlen(DAMAGED));
	if (is_in_place(&salvage))
		sluice_repair_tell(job, false, "%s: its records were added to the buffer before", name);
	else
		code = build_and_take_place(&salvage);
	if (code != SLUICE_OK)
		return code;
	if (sluice_workshop_rename(job->directory, salvage.damaged, salvaged) != SLUICE_OK)
		return fail_at(&salvage, "rename, with its records in the buffer,");
	snprintf(left, sizeof(left), "%s/built", salvaged);
	sluice_workshop_remove(left);
	return SLUICE_OK;
}

/* ---- all of them ---- */

static int
is_damaged_directory(const struct dirent *entry)
{
	return strncmp(entry->d_name, DAMAGED, strlen(DAMAGED)) == 0;
}

/* An empty one was made, and then the data.mdb was not moved into it any more. */
static bool
holds_a_buffer(const char *directory, const char *name)
{
	char		path[PATH_LENGTH + 16];

	snprintf(path, sizeof(path), "%s/%s/data.mdb", directory, name);
	if (sluice_workshop_exists(path))
		return true;
	*strrchr(path, '/') = '\0';
	rmdir(path);
	return false;
}

/* The first one by name; false: there is none. */
static bool
find_damaged(const char *directory, char name[NAME_MAX_LENGTH + 1])
{
	struct dirent **entries;
	int			n = scandir(directory, &entries, is_damaged_directory, alphasort);
	bool		found = false;

	for (int i = 0; i < n; i++)
	{
		if (!found && holds_a_buffer(directory, entries[i]->d_name))
		{
			snprintf(name, NAME_MAX_LENGTH + 1, "%s", entries[i]->d_name);
			found = true;
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return found;
}

/* Of the directory's buffer, or of the first damaged one where the directory has none: what a new one is to be made for. */
static void
find_stream(const char *directory, char stream[256])
{
	char		path[PATH_LENGTH];
	char		name[NAME_MAX_LENGTH + 1];
	SluiceLeaves leaves;

	snprintf(path, sizeof(path), "%s/data.mdb", directory);
	if (!sluice_workshop_exists(path) && find_damaged(directory, name))
		snprintf(path, sizeof(path), "%s/%s/data.mdb", directory, name);
	stream[0] = '\0';
	if (sluice_leaves_open(&leaves, path) == SLUICE_OK && leaves.has_state)
		snprintf(stream, 256, "%s", leaves.state.stream);
	sluice_leaves_close(&leaves);
}

/* What may be needed for the records of the file. */
static uint64_t
room_for(const char *directory, const char *name)
{
	char		path[PATH_LENGTH + 16];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s/data.mdb", directory, name);
	return stat(path, &status) == 0 ? 2 * (uint64_t) status.st_size : 0;
}

/* *more: there was one, and it is done. */
static int
salvage_next(const SluiceRepairJob *job, const char *stream, bool *more)
{
	SluiceStoreSettings settings = {job->directory, stream, SLUICE_STORE_OWN, 0};
	char		set_aside[PATH_LENGTH] = "";
	char		name[NAME_MAX_LENGTH + 1];
	SluiceStore *store;
	SluiceError error = {""};
	int			code = sluice_store_open(&settings, &store, set_aside, sizeof(set_aside), &error);

	*more = false;
	if (code != SLUICE_OK)
	{
		sluice_repair_tell(job, true, "%s", error.text[0] != '\0' ? error.text : sluice_error_text(code));
		return code;
	}
	if (set_aside[0] != '\0')
		sluice_repair_tell(job, false, "the damaged buffer is set aside in %s, a new one begun", set_aside);
	if (find_damaged(job->directory, name))
	{
		code = salvage_one(job, name, ((uint64_t) 64 << 20) + room_for(job->directory, ".") + room_for(job->directory, name));
		*more = code == SLUICE_OK;
	}
	sluice_store_close(store);
	return code;
}

static bool
has_anything(const char *directory)
{
	char		path[PATH_LENGTH];
	char		name[NAME_MAX_LENGTH + 1];

	snprintf(path, sizeof(path), "%s/data.mdb", directory);
	return sluice_workshop_exists(path) || find_damaged(directory, name);
}

int
sluice_salvage(const SluiceRepairJob *job)
{
	char		stream[256];
	bool		more = true;
	int			done = 0;
	int			code = SLUICE_OK;

	if (!has_anything(job->directory))
	{
		sluice_repair_tell(job, true, "there is no buffer in \"%s\"", job->directory);
		return SLUICE_ERROR_NOT_FOUND;
	}
	find_stream(job->directory, stream);
	while (more)
	{
		code = salvage_next(job, stream, &more);
		done += more;
	}
	if (code != SLUICE_OK || done > 0)
		return code;
	sluice_repair_tell(job, true, "there is no damaged buffer in \"%s\"", job->directory);
	return SLUICE_ERROR_INVALID;
}
