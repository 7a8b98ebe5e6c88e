/*
 * sluice_subscription_test.c
 *		A worker's side of subscriptions, for tests of the SQL side: this session
 *		takes the place of the worker that serves one consumer.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "active.h"
#include "subscription.h"

PG_MODULE_MAGIC;

#define CONSUMER "sluice_test 1.0"
#define ADDRESS "192.0.2.1:4711"

#define FUNCTION(name) \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

FUNCTION(sluice_test_activate);
FUNCTION(sluice_test_deactivate);
FUNCTION(sluice_test_report);
FUNCTION(sluice_test_changes);
FUNCTION(sluice_test_unsubscribe);
FUNCTION(sluice_test_lock);
FUNCTION(sluice_test_create);
FUNCTION(sluice_test_advance);
FUNCTION(sluice_test_restart);
FUNCTION(sluice_test_nack);
FUNCTION(sluice_test_lose);
FUNCTION(sluice_test_redriven);
FUNCTION(sluice_test_settle);

static int	claimed = -1;

static void
find(FunctionCallInfo fcinfo, SluiceSubscription *subscription)
{
	if (!sluice_subscription_find(text_to_cstring(PG_GETARG_TEXT_PP(0)), subscription))
		elog(ERROR, "there is no such subscription");
}

static void
find_locked(FunctionCallInfo fcinfo, SluiceSubscription *subscription)
{
	find(fcinfo, subscription);
	if (sluice_subscription_lock(subscription->id, false, subscription) != SLUICE_SUBSCRIPTION_LOCKED)
		elog(ERROR, "the subscription is busy");
}

/* (name, delivered) -> epoch: become its active consumer's worker, which has delivered so far. */
Datum
sluice_test_activate(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;
	SluiceActiveReport report = {.state = SLUICE_ACTIVE_LIVE,.delivered = PG_GETARG_INT64(1),.rows = 1};
	int			slot;

	find_locked(fcinfo, &subscription);
	slot = sluice_active_claim(subscription.id, 0, CONSUMER, ADDRESS);
	if (slot < 0)
		elog(ERROR, "another consumer is active");
	claimed = slot;
	sluice_subscription_activate(&subscription, CONSUMER);
	sluice_active_set_epoch(claimed, subscription.epoch);
	sluice_active_report(claimed, &report);
	PG_RETURN_INT64((int64) subscription.epoch);
}

Datum
sluice_test_deactivate(PG_FUNCTION_ARGS)
{
	sluice_active_release(claimed);
	PG_RETURN_VOID();
}

/* (state, delivered, in_flight, rows, redelivered, caught_up_at, blocker) */
Datum
sluice_test_report(PG_FUNCTION_ARGS)
{
	SluiceActiveReport report = {
		.state = (SluiceActiveState) PG_GETARG_INT32(0),.delivered = PG_GETARG_INT64(1),
		.in_flight = PG_GETARG_INT64(2),.rows = (uint64) PG_GETARG_INT64(3),.redelivered = (uint64) PG_GETARG_INT64(4),
		.caught_up_at = PG_GETARG_TIMESTAMPTZ(5),.blocker = PG_GETARG_INT32(6)
	};

	sluice_active_report(claimed, &report);
	PG_RETURN_VOID();
}

/* How often others have changed what is claimed; negative: and its call is to end. */
Datum
sluice_test_changes(PG_FUNCTION_ARGS)
{
	bool		unsubscribe;
	int64		changes = (int64) sluice_active_changes(claimed, &unsubscribe);

	PG_RETURN_INT64(unsubscribe ? -changes - 1 : changes);
}

/* (name, epoch) */
Datum
sluice_test_unsubscribe(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;

	find(fcinfo, &subscription);
	PG_RETURN_BOOL(sluice_active_unsubscribe(subscription.id, (uint64) PG_GETARG_INT64(1)));
}

/* (id): as the worker tries. */
Datum
sluice_test_lock(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		[SLUICE_SUBSCRIPTION_LOCKED] = "locked",
		[SLUICE_SUBSCRIPTION_BUSY] = "busy",
		[SLUICE_SUBSCRIPTION_MISSING] = "missing",
	};
	SluiceSubscription subscription;

	PG_RETURN_TEXT_P(cstring_to_text(names[sluice_subscription_lock(PG_GETARG_INT32(0), false, &subscription)]));
}

/* (name, id of the stream, position, at_most_once): as the worker makes one. */
Datum
sluice_test_create(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;

	PG_RETURN_BOOL(sluice_subscription_create(text_to_cstring(PG_GETARG_TEXT_PP(0)), PG_GETARG_INT32(1), PG_GETARG_INT64(2),
											  PG_GETARG_BOOL(3), InvalidOid, &subscription));
}

/* (name, position) */
Datum
sluice_test_advance(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;

	find_locked(fcinfo, &subscription);
	sluice_subscription_advance(&subscription, PG_GETARG_INT64(1));
	PG_RETURN_INT64(subscription.position);
}

/* (name, position) -> is the epoch another one? */
Datum
sluice_test_restart(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;
	uint64		epoch;

	find_locked(fcinfo, &subscription);
	epoch = subscription.epoch;
	sluice_subscription_restart(&subscription, PG_GETARG_INT64(1));
	PG_RETURN_BOOL(epoch != subscription.epoch);
}

/* (name, offset, payload, reason) -> attempts; the last one is a dead letter, payload NULL: the row is gone */
Datum
sluice_test_nack(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;
	bytea	   *payload = PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2);
	int			attempts;

	find_locked(fcinfo, &subscription);
	attempts = sluice_subscription_attempt(&subscription, PG_GETARG_INT64(1));
	if (attempts >= subscription.max_attempts)
		sluice_subscription_bury(&subscription, PG_GETARG_INT64(1),
								 payload == NULL ? NULL : (const uint8 *) VARDATA_ANY(payload),
								 payload == NULL ? 0 : VARSIZE_ANY_EXHDR(payload),
								 PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)));
	PG_RETURN_INT32(attempts);
}

/* (name) */
Datum
sluice_test_lose(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;

	find_locked(fcinfo, &subscription);
	sluice_subscription_lose(&subscription);
	PG_RETURN_INT32(subscription.losses);
}

/* (name, without, max) -> what sluice.redrive() has put back */
Datum
sluice_test_redriven(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;
	SluiceRedriven redriven[10];
	StringInfoData list;
	int64		without = PG_GETARG_INT64(1);
	int			n;

	find(fcinfo, &subscription);
	n = sluice_subscription_redriven(subscription.id, &without, 1, redriven, Min(PG_GETARG_INT32(2), (int) lengthof(redriven)));
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s" INT64_FORMAT ":" INT64_FORMAT ":%.*s", i > 0 ? ", " : "", redriven[i].id,
						 redriven[i].offset, (int) redriven[i].length, (const char *) redriven[i].payload);
	PG_RETURN_TEXT_P(cstring_to_text(list.data));
}

/* (name, letter, done, reason) */
Datum
sluice_test_settle(PG_FUNCTION_ARGS)
{
	SluiceSubscription subscription;

	find_locked(fcinfo, &subscription);
	sluice_subscription_settle_redriven(subscription.id, PG_GETARG_INT64(1), PG_GETARG_BOOL(2),
										PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)));
	PG_RETURN_VOID();
}
