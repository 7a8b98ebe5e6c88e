/*
 * sluice_test.c
 *		What tests need and the product does not offer: the rotation of key
 *		generations under a clock of the test's own.
 */
#include "postgres.h"

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
