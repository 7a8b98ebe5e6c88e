/*
 * store_check.c
 *		What is in the store: counted, and read from end to end.
 */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sluice.h"
#include "encoding.h"
#include "store_pages.h"

/* ---- counts ---- */

static int
used_bytes(SluiceStore *store, MDB_txn *txn, uint64_t *bytes)
{
	MDB_envinfo info;
	MDB_stat	stat;
	uint64_t	free_pages;
	int			rc = sluice_store_free_pages(txn, &free_pages);

	if (rc == 0)
		rc = mdb_env_info(store->env, &info);
	if (rc == 0)
		rc = mdb_env_stat(store->env, &stat);
	if (rc == 0)
		*bytes = (info.me_last_pgno + 1 - free_pages) * stat.ms_psize;
	return rc == 0 ? SLUICE_OK : sluice_store_fail_lmdb(store, false, rc, "read the buffer");
}

int
sluice_store_counts(SluiceStore *store, SluiceStoreCounts *counts)
{
	char		path[SLUICE_STORE_PATH_MAX];
	struct stat status;
	MDB_txn    *txn;
	int			rc = sluice_store_read_begin(store, &txn);

	if (rc != SLUICE_OK)
		return rc;
	rc = used_bytes(store, txn, &counts->used_bytes);
	sluice_store_read_end(store, txn);
	if (rc != SLUICE_OK)
		return rc;
	sluice_store_path(store, "data.mdb", path);
	if (stat(path, &status) != 0)
		return sluice_store_fail(store, false, SLUICE_ERROR_DISK, "could not look at \"%s\": %s", path, strerror(errno));
	counts->file_bytes = (uint64_t) status.st_blocks * 512;
	counts->records = __atomic_load_n(&store->totals.records, __ATOMIC_RELAXED);
	counts->bytes = __atomic_load_n(&store->totals.bytes, __ATOMIC_RELAXED);
	counts->gaps = __atomic_load_n(&store->totals.gaps, __ATOMIC_RELAXED);
	counts->dead = __atomic_load_n(&store->totals.dead, __ATOMIC_RELAXED);
	return SLUICE_OK;
}

/* ---- check ---- */

typedef struct Check
{
	SluiceStore *store;
	void		(*finding) (void *argument, bool error, const char *text);
	void	   *argument;
	bool		errors;
	uint64_t	settled;		/* records at or below acked_through */
	uint64_t	gaps_end;		/* the highest sequence of gaps so far */
	SluiceStoreGap gap;			/* that is looked for records in */
} Check;

static void find(Check *check, bool error, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void
find(Check *check, bool error, const char *format, ...)
{
	char		text[256];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	check->errors |= error;
	if (check->finding != NULL)
		check->finding(check->argument, error, text);
}

static void
check_bytes(Check *check, const SluiceStoreRecord *record, const char *kind)
{
	SluiceEntry entry;

	if (sluice_entry_read(record->bytes, record->length, &entry) != record->length || record->length == 0)
		find(check, true, "%s %llu is not encoded as a record", kind, (unsigned long long) record->sequence);
	else if (entry.sequence != record->sequence)
		find(check, true, "%s %llu is encoded with the sequence %llu", kind,
			 (unsigned long long) record->sequence, (unsigned long long) entry.sequence);
}

static bool
check_record(void *argument, uint64_t sequence, const MDB_val *value, int *code)
{
	Check	   *check = argument;
	const SluiceStoreState *state = sluice_store_state(check->store);
	SluiceStoreRecord record;

	(void) code;
	if (!sluice_store_record_decode(sequence, value, &record))
	{
		find(check, true, "record %llu is damaged", (unsigned long long) sequence);
		return true;
	}
	check_bytes(check, &record, "record");
	if (sequence == 0 || sequence >= state->next)
		find(check, true, "record %llu is outside of 1 to %llu", (unsigned long long) sequence,
			 (unsigned long long) state->next - 1);
	check->settled += sequence <= state->acked_through;
	return true;
}

static bool
found_in_gap(void *argument, uint64_t sequence, const MDB_val *value, int *code)
{
	Check	   *check = argument;

	(void) value;
	(void) code;
	if (sequence <= check->gap.to)
		find(check, true, "record %llu, if not more, is in the gap from %llu to %llu", (unsigned long long) sequence,
			 (unsigned long long) check->gap.from, (unsigned long long) check->gap.to);
	return false;
}

static bool
check_gap(void *argument, uint64_t from, const MDB_val *value, int *code)
{
	Check	   *check = argument;
	SluiceStore *store = check->store;
	SluiceStoreGap *gap = &check->gap;

	if (!sluice_store_gap_decode(from, value, gap))
	{
		find(check, true, "the gap from %llu on is damaged", (unsigned long long) from);
		return true;
	}
	if (from == 0 || gap->to < from || gap->to >= store->state.next || from <= check->gaps_end)
		find(check, true, "the gap from %llu to %llu is outside of 1 to %llu, or in another one",
			 (unsigned long long) from, (unsigned long long) gap->to, (unsigned long long) store->state.next - 1);
	if (gap->to > check->gaps_end)
		check->gaps_end = gap->to;
	*code = sluice_store_walk(store, store->records_db, from, found_in_gap, check);
	return *code == SLUICE_OK;
}

static bool
check_dead(void *argument, uint64_t sequence, const MDB_val *value, int *code)
{
	Check	   *check = argument;
	SluiceStoreRecord record;
	const char *why;

	(void) code;
	if (sluice_store_dead_decode(sequence, value, &record, &why))
		check_bytes(check, &record, "dead letter");
	else
		find(check, true, "dead letter %llu is damaged", (unsigned long long) sequence);
	return true;
}

static void
check_state(Check *check)
{
	const SluiceStoreState *state = sluice_store_state(check->store);

	if (state->next == 0 || state->acked_through >= state->next)
		find(check, true, "all up to %llu are acknowledged, but the next number is %llu",
			 (unsigned long long) state->acked_through, (unsigned long long) state->next);
	if (state->condition != SLUICE_OK)
		find(check, false, "the server refused this buffer: %s",
			 state->condition == SLUICE_ERROR_FENCED ? "fenced" : "forked");
}

static int
check_pages(Check *check)
{
	SluiceStore *store = check->store;
	char		path[SLUICE_STORE_PATH_MAX];
	SluiceError error = {""};
	size_t		leaked = 0;
	MDB_txn    *txn;
	int			fd;
	int			rc = sluice_store_read_begin(store, &txn);

	if (rc != SLUICE_OK)
		return rc;
	sluice_store_path(store, "data.mdb", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		rc = sluice_store_fail(store, false, SLUICE_ERROR_DISK, "could not open \"%s\": %s", path, strerror(errno));
	else
	{
		rc = sluice_pages_check(fd, mdb_txn_id(txn), &leaked, &error);
		close(fd);
		if (rc == SLUICE_ERROR_DAMAGED)
			find(check, true, "%s", error.text);
		else if (rc != SLUICE_OK)
			sluice_store_fail(store, false, rc, "%s", error.text);
	}
	sluice_store_read_end(store, txn);
	if (leaked > 0)
		find(check, false, "%zu pages of data.mdb are neither in use nor free", leaked);
	return rc;
}

/* Where the pages are not right, what is in them is not read. */
int
sluice_store_check(SluiceStore *store, void (*finding) (void *argument, bool error, const char *text), void *argument)
{
	Check		check = {.store = store, .finding = finding, .argument = argument};
	int			rc = check_pages(&check);

	if (rc != SLUICE_OK)
		return rc;
	check_state(&check);
	rc = sluice_store_walk(store, store->records_db, 0, check_record, &check);
	if (rc == SLUICE_OK)
		rc = sluice_store_walk(store, store->gaps_db, 0, check_gap, &check);
	if (rc == SLUICE_OK)
		rc = sluice_store_walk(store, store->dead_db, 0, check_dead, &check);
	if (check.settled > 0)
		find(&check, false, "%llu records are acknowledged and not removed yet", (unsigned long long) check.settled);
	return rc == SLUICE_OK && check.errors ? sluice_store_fail(store, false, SLUICE_ERROR_DAMAGED, "the buffer is damaged") : rc;
}
