/*
 * subscription_ack.c
 *		sluice.ack(): an acknowledgement in the consumer's own transaction.
 *
 * The position moves with what the consumer did for the rows, or neither does.
 * So whatever does not fit is an error, which rolls both back: a result that the
 * consumer could overlook would let it commit.  The row stays locked until the
 * transaction ends, and as an activation locks it, too, no other consumer can take over
 * between the check of the epoch and the commit.
 *
 * The epoch must be that of the row and of this run of the server: rows that a
 * former run has delivered may have been lost by it, and their offsets given out again.
 */
#include "postgres.h"

#include "active.h"
#include "fmgr.h"
#include "subscription.h"
#include "utils/builtins.h"

extern PGDLLEXPORT Datum sluice_ack(PG_FUNCTION_ARGS);
PG_FUNCTION_INFO_V1(sluice_ack);

static void
check_epoch(const SluiceSubscription *subscription, uint64 epoch)
{
	if (subscription->at_most_once)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("subscription \"%s\" is at_most_once: nothing is acknowledged", subscription->name)));
	if (subscription->epoch != epoch || !sluice_active_has_epoch(subscription->id, epoch))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this activation of subscription \"%s\" is over", subscription->name),
				 errdetail("The rows may be with another consumer by now."),
				 errhint("Roll back, forget the rows that are in flight, and go on with those that the next activation delivers.")));
}

static void
check_offset(const SluiceSubscription *subscription, int64 offset, bool has_previous, int64 previous)
{
	SluiceActive active;

	if (offset <= subscription->position)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("offset " INT64_FORMAT " is not beyond the position of subscription \"%s\"", offset, subscription->name),
				 errdetail("All rows up to " INT64_FORMAT " are acknowledged already.", subscription->position)));
	if (has_previous && previous != subscription->position)
		ereport(ERROR,
				(errcode(ERRCODE_TRANSACTION_ROLLBACK),
				 errmsg("row " INT64_FORMAT " does not follow the position of subscription \"%s\"", offset, subscription->name),
				 errdetail("It follows " INT64_FORMAT ", the position is " INT64_FORMAT ".", previous, subscription->position),
				 errhint("A transaction that processed a row before it was rolled back: process that one again first.")));
	if (!sluice_active_find(subscription->id, &active) || offset > active.report.delivered)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("offset " INT64_FORMAT " of subscription \"%s\" has not been delivered", offset, subscription->name)));
}

Datum
sluice_ack(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;
	int64		offset;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("subscription, epoch and offset must not be null")));
	sluice_subscription_get(text_to_cstring(PG_GETARG_TEXT_PP(0)), &subscription);
	check_epoch(&subscription, (uint64) PG_GETARG_INT64(1));
	offset = PG_GETARG_INT64(2);
	check_offset(&subscription, offset, !PG_ARGISNULL(3), PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3));
	sluice_subscription_advance(&subscription, offset);
	sluice_active_change_at_commit(subscription.id);
	PG_RETURN_VOID();
}
