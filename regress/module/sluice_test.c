/*
 * sluice_test.c
 *		What tests need and the product does not offer: the rotation of key
 *		generations under a clock of the test's own, and transactions whose COMMIT fails.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "generations.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT Datum sluice_test_rotation_step(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_test_rotation_step);

/* One step of the rotation, at the given time: idle, blocked or done. */
Datum
sluice_test_rotation_step(PG_FUNCTION_ARGS)
{
	switch (sluice_generations_step(PG_GETARG_TIMESTAMPTZ(0)))
	{
		case SLUICE_STEP_IDLE:
			PG_RETURN_TEXT_P(cstring_to_text("idle"));
		case SLUICE_STEP_BLOCKED:
			PG_RETURN_TEXT_P(cstring_to_text("blocked"));
		case SLUICE_STEP_DONE:
			break;
	}
	PG_RETURN_TEXT_P(cstring_to_text("done"));
}

extern PGDLLEXPORT Datum sluice_test_fail_at_commit(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_test_fail_at_commit);

static SubTransactionId failing = InvalidSubTransactionId;

static void
fail_at_commit(XactEvent event, void *arg)
{
	bool		fails = failing != InvalidSubTransactionId;

	if (event == XACT_EVENT_PRE_COMMIT && fails)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("refused by COMMIT")));
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		failing = InvalidSubTransactionId;
}

static void
follow_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (failing != mine)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		failing = parent;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		failing = InvalidSubTransactionId;
}

/* Let the COMMIT of this transaction raise a data error, unless what called this is rolled back before. */
Datum
sluice_test_fail_at_commit(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(fail_at_commit, NULL);
		RegisterSubXactCallback(follow_subtransaction, NULL);
		registered = true;
	}
	failing = GetCurrentSubTransactionId();
	PG_RETURN_VOID();
}
