/*
 * ingest_worker.c
 *		The ingest transaction as the worker runs it: transactions, retries, standbys.
 *
 * The first try has no subtransaction and relies on the key index to find
 * duplicates.  Where a key turns out to be known, the transaction is rolled back
 * and run again with look-ups; where anything fails, again with a subtransaction a
 * stream, which isolates bad records and holds a stream without holding the
 * others.  Should even that fail as a whole (at COMMIT, say), each stream gets its
 * own transaction, and in the end each half of its records.
 */
#include "postgres.h"

#include "ingest.h"

#include "access/xact.h"
#include "batch.h"
#include "catalog.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "settings.h"
#include "sqlstate.h"
#include "standbys.h"
#include "stream.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "worker_transaction.h"
#include "access/xlog.h"

/* So many batches more are run the slower way after one that needed it. */
#define SLOW_BATCHES 16

/* So many key conflicts in a row are no race any more. */
#define MAX_CONFLICTS 20

typedef enum Outcome
{
	COMMITTED,
	KEY_CONFLICT,				/* rolled back: run again with look-ups */
	FAILED						/* rolled back: last_error tells why */
} Outcome;

static int	probing_batches = 0;	/* run so many more with look-ups */
static int	careful_batches = 0;	/* run so many more with subtransactions */
static MemoryContext batch_context = NULL;
static ErrorData *last_error = NULL;	/* in batch_context */
static bool standbys_given_up = false;

/* The errors of a transaction that we run end here; only termination goes on. */
static void
end_failed_transaction(void)
{
	MemoryContextSwitchTo(batch_context);
	last_error = CopyErrorData();
	FlushErrorState();
	HOLD_INTERRUPTS();
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
	AbortCurrentTransaction();
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(batch_context);
}

/* One word of refusal for each run.  Where there is no memory for it, the run stays pending. */
static bool
set_refusal(SluiceItem *item, SluiceItem *previous)
{
	if (previous != NULL && previous->verdict == SLUICE_REFUSED &&
		sluice_record_first(previous->record) == sluice_record_first(item->record))
		return previous->record->verdict == SLUICE_REFUSED;
	free(item->record->refusal);
	item->record->refusal = malloc(sizeof(SluiceRefusal));
	if (item->record->refusal == NULL)
		return false;
	*item->record->refusal = *item->claim->refusal;
	return true;
}

static void
set_verdicts(const SluiceBatch *batch)
{
	for (int s = 0; s < batch->nshares; s++)
		for (int i = 0; i < batch->shares[s].nitems; i++)
		{
			SluiceItem *item = &batch->shares[s].items[i];

			if (item->verdict == SLUICE_REFUSED && !set_refusal(item, i > 0 ? item - 1 : NULL))
				continue;
			item->record->verdict = item->verdict;
		}
}

/*
 * A batch that only found duplicates wrote nothing, but what it found must be as
 * durable as a commit of its own would be: its writer may have committed
 * asynchronously, or given up its wait for a standby.  So it commits, too.
 */
static void
make_commit_durable(const SluiceBatch *batch)
{
	if (batch->known == 0 || TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	(void) GetTopTransactionId();
	if (synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
		ForceSyncCommit();
}

/* One transaction over the batch. */
static Outcome
run_transaction(SluiceBatch *batch)
{
	volatile Outcome outcome = FAILED;
	volatile bool confirmed = false;

	PG_TRY();
	{
		sluice_worker_transaction_start();
		if (!sluice_batch_run(batch))
		{
			AbortCurrentTransaction();
			outcome = KEY_CONFLICT;
		}
		else
		{
			bool		wrote;

			make_commit_durable(batch);
			wrote = TransactionIdIsValid(GetTopTransactionIdIfAny());
			CommitTransactionCommand();
			outcome = COMMITTED;
			confirmed = !wrote || sluice_standbys_confirm(XactLastCommitEnd);
		}
	}
	PG_CATCH();
	{
		end_failed_transaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(batch_context);
	if (outcome == COMMITTED && !confirmed)
		standbys_given_up = true;
	if (outcome == COMMITTED && confirmed)
	{
		set_verdicts(batch);
		sluice_batch_count(batch);
	}
	return outcome;
}

static SluiceBatch
make_batch(SluiceGroup *groups, int ngroups, bool careful)
{
	SluiceBatch batch = {
		.careful = careful,
		.probe = careful || probing_batches > 0,
		.installation = sluice_worker_installation(),
		.context = batch_context
	};

	batch.shares = palloc0(sizeof(SluiceShare) * ngroups);
	batch.nshares = ngroups;
	for (int g = 0; g < ngroups; g++)
	{
		groups[g].hold = SLUICE_HOLD_NONE;
		sluice_batch_add(&batch, &batch.shares[g], groups[g].stream_id, groups[g].records, groups[g].nrecords, &groups[g]);
		for (int i = 0; i < groups[g].nrecords; i++)
			batch.patient = batch.patient || groups[g].records[i]->attempts > 0;
	}
	return batch;
}

/* Run the groups together; a key conflict is met by looking keys up.  FAILED: nothing of them is committed. */
static Outcome
run_groups(SluiceGroup *groups, int ngroups, bool careful)
{
	SluiceBatch batch = make_batch(groups, ngroups, careful);
	Outcome		outcome;

	/*
	 * With look-ups a conflict is a race with a commit in between; it resolves by
	 * trying again.  If it does not, a trigger stores keys of this very batch:
	 * taken apart, its records find them known.
	 */
	for (int tries = 0; (outcome = run_transaction(&batch)) == KEY_CONFLICT; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		batch.probe = true;
		probing_batches = SLOW_BATCHES;
		if (tries == MAX_CONFLICTS)
		{
			last_error = palloc0(sizeof(ErrorData));
			last_error->sqlerrcode = ERRCODE_UNIQUE_VIOLATION;
			last_error->message = "a trigger stores idempotency keys of its own batch";
			return FAILED;
		}
	}
	if (outcome == COMMITTED && batch.known_keys)
		probing_batches = SLOW_BATCHES;
	return outcome;
}

static void
hold_group(SluiceGroup *group)
{
	group->hold = sluice_batch_hold_for(last_error, group->role);
	strlcpy(group->sqlstate, unpack_sql_state(last_error->sqlerrcode), sizeof(group->sqlstate));
	strlcpy(group->message, last_error->message != NULL ? last_error->message : "", sizeof(group->message));
}

/* The transaction of this single record failed, by its data: refuse it in another one. */
static void
refuse_single(SluiceGroup *group)
{
	SluiceBatch batch = make_batch(group, 1, true);

	batch.refuse = sluice_piece_error_reason(last_error);
	if (run_transaction(&batch) != COMMITTED)
		hold_group(group);
}

/*
 * The transaction of a stream failed as a whole, at COMMIT or in what only
 * happens there.  A data error: halve, until a record is alone, and refuse that.
 */
static void
run_halves(SluiceGroup *group)
{
	SluiceGroup half = *group;
	SluiceHold	first;

	CHECK_FOR_INTERRUPTS();
	if (run_groups(group, 1, true) == COMMITTED)
		return;
	hold_group(group);
	if (sluice_sqlstate_class_of(last_error) != SLUICE_ERROR_DATA)
		return;
	if (group->nrecords == 1)
	{
		refuse_single(group);
		return;
	}
	half.nrecords = group->nrecords / 2;
	run_halves(&half);
	first = half.hold;
	half.records = group->records + half.nrecords;
	half.nrecords = group->nrecords - half.nrecords;
	run_halves(&half);
	group->hold = first != SLUICE_HOLD_NONE ? first : half.hold;
}

static void
count_pending(SluiceGroup *groups, int ngroups)
{
	for (int g = 0; g < ngroups; g++)
	{
		groups[g].npending = 0;
		for (int i = 0; i < groups[g].nrecords; i++)
		{
			if (standbys_given_up)
				groups[g].records[i]->verdict = SLUICE_PENDING;
			groups[g].npending += groups[g].records[i]->verdict == SLUICE_PENDING;
		}
	}
}

/* Failed records count their attempts, so that one of them does not hold its stream for ever. */
static void
count_attempts(SluiceGroup *groups, int ngroups)
{
	for (int g = 0; g < ngroups; g++)
		for (int i = 0; i < groups[g].nrecords && groups[g].hold == SLUICE_HOLD_ERROR; i++)
			if (groups[g].records[i]->verdict == SLUICE_PENDING && groups[g].records[i]->attempts == 0)
				groups[g].records[i]->attempts = 1;
}

/* Nothing that a subtransaction would have been needed for. */
static bool
is_plain(SluiceVerdict verdict)
{
	return verdict == SLUICE_STORED || verdict == SLUICE_DUPLICATE || verdict == SLUICE_DECLARED ||
		verdict == SLUICE_RESENT || verdict == SLUICE_REFUSED;
}

bool
sluice_ingest_groups(SluiceGroup *groups, int ngroups)
{
	if (batch_context == NULL)
		batch_context = AllocSetContextCreate(TopMemoryContext, "sluice batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(batch_context);
	MemoryContextSwitchTo(batch_context);
	standbys_given_up = false;

	if (careful_batches > 0 || run_groups(groups, ngroups, false) != COMMITTED)
	{
		bool		clean;

		if (run_groups(groups, ngroups, true) != COMMITTED)
			for (int g = 0; g < ngroups && !standbys_given_up; g++)
				run_halves(&groups[g]);
		clean = careful_batches > 0;
		for (int g = 0; g < ngroups; g++)
			for (int i = 0; i < groups[g].nrecords && clean; i++)
				clean = is_plain(groups[g].records[i]->verdict);
		careful_batches = clean ? careful_batches - 1 : SLOW_BATCHES;
	}
	if (probing_batches > 0)
		probing_batches--;
	count_attempts(groups, ngroups);
	count_pending(groups, ngroups);
	pgstat_report_stat(false);
	MemoryContextSwitchTo(TopMemoryContext);
	return !standbys_given_up;
}

bool
sluice_extension_installed(void)
{
	bool		installed;

	sluice_worker_transaction_start();
	installed = OidIsValid(get_extension_oid("pg_sluice", true)) && OidIsValid(sluice_catalog_find("streams"));
	CommitTransactionCommand();
	return installed;
}
