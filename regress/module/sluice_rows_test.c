/*
 * sluice_rows_test.c
 *		What the worker uses to hand rows out, as SQL functions: watching tables and the
 *		horizon.  A session keeps one horizon, under a clock of the test's own.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "horizon.h"
#include "watch.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT Datum sluice_test_watch_attach(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_watch_set(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_watch_take(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_horizon_create(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_horizon_look(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_horizon_stale(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum sluice_test_horizon_relations(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_test_watch_attach);
PG_FUNCTION_INFO_V1(sluice_test_watch_set);
PG_FUNCTION_INFO_V1(sluice_test_watch_take);
PG_FUNCTION_INFO_V1(sluice_test_horizon_create);
PG_FUNCTION_INFO_V1(sluice_test_horizon_look);
PG_FUNCTION_INFO_V1(sluice_test_horizon_stale);
PG_FUNCTION_INFO_V1(sluice_test_horizon_relations);

static SluiceHorizon *horizon = NULL;

/* As the worker of this number, which must not run. */
Datum
sluice_test_watch_attach(PG_FUNCTION_ARGS)
{
	sluice_watch_attach(PG_GETARG_INT32(0));
	PG_RETURN_VOID();
}

Datum
sluice_test_watch_set(PG_FUNCTION_ARGS)
{
	Datum	   *elements;
	Oid		   *relids;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &elements, NULL, &n);
	relids = palloc(sizeof(Oid) * (n + 1));
	for (int i = 0; i < n; i++)
		relids[i] = DatumGetObjectId(elements[i]);
	sluice_watch_set(relids, n);
	PG_RETURN_VOID();
}

Datum
sluice_test_watch_take(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sluice_watch_take());
}

/* NULL, or why it cannot be. */
Datum
sluice_test_horizon_create(PG_FUNCTION_ARGS)
{
	char	   *why;

	if (horizon != NULL)
		sluice_horizon_free(horizon);
	horizon = sluice_horizon_create(PG_GETARG_OID(0), PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)), &why);
	if (horizon == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(why));
	PG_RETURN_NULL();
}

/* At so many milliseconds: "final 1 of 2, look after 1 ms, blocked by a session". */
Datum
sluice_test_horizon_look(PG_FUNCTION_ARGS)
{
	int64		now = PG_GETARG_INT64(0) * 1000;
	SluiceHorizonState state;
	StringInfoData text;

	sluice_horizon_look(horizon, now, &state);
	initStringInfo(&text);
	if (state.final == PG_INT64_MIN)
		appendStringInfo(&text, "nothing final of " INT64_FORMAT, state.last_value);
	else
		appendStringInfo(&text, "final " INT64_FORMAT " of " INT64_FORMAT, state.final, state.last_value);
	if (state.look_at != PG_INT64_MAX)
		appendStringInfo(&text, ", look after " INT64_FORMAT " ms", (state.look_at - now) / 1000);
	if (state.blocked)
		appendStringInfo(&text, ", blocked by a %s", state.blocker != 0 ? "session" : "prepared transaction");
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}

Datum
sluice_test_horizon_stale(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(sluice_horizon_is_stale(horizon));
}

Datum
sluice_test_horizon_relations(PG_FUNCTION_ARGS)
{
	const Oid  *relids;
	int			n = sluice_horizon_relations(horizon, &relids);
	Datum	   *elements = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elements[i] = ObjectIdGetDatum(relids[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, n, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT));
}
