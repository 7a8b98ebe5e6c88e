/*
 * attempt.c
 *		A transaction of the main thread's that may fail.
 */
#include "postgres.h"

#include "attempt.h"

#include "access/xact.h"
#include "cancel.h"
#include "stream.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "worker_transaction.h"

static void
end_failed(MemoryContext context, SluiceFailure *failure)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	HOLD_INTERRUPTS();
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
	AbortCurrentTransaction();
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(context);
	failure->sqlstate = error->sqlerrcode;
	strlcpy(failure->message, error->message != NULL ? error->message : "", sizeof(failure->message));
	FreeErrorData(error);
}

bool
sluice_attempt(void (*step) (void *argument), void *argument, SluiceFailure *failure)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	sluice_cancel_allow();
	PG_TRY();
	{
		sluice_worker_transaction_start();
		sluice_stream_sweep();
		step(argument);
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		end_failed(context, failure);
	}
	PG_END_TRY();
	sluice_cancel_ignore();
	MemoryContextSwitchTo(context);
	return done;
}
