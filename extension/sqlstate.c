/*
 * sqlstate.c
 *		What an error means for the record that raised it.
 *
 * A data error would come again however often the record is tried.  Whatever is
 * not in the table is tried again: a disk that is full, a lock, a shutdown, a
 * dropped column or a missing privilege must never turn good records into dead
 * letters.  (What a single record keeps raising while its neighbours are stored
 * becomes a dead letter after sluice.max_attempts; see isolate.c.)
 */
#include "postgres.h"

#include "sqlstate.h"

static const char *const data_classes[] = {
	"21",						/* cardinality violation */
	"22",						/* data exception */
	"23",						/* integrity constraint violation */
	"2F",						/* SQL routine exception */
	"38",						/* external routine exception */
	"39",						/* external routine invocation exception */
	"44",						/* WITH CHECK OPTION violation */
	"54",						/* program limit exceeded: row too big, nested too deep */
};

static const char *const data_states[] = {
	"P0001",					/* raise_exception */
	"P0002",					/* no_data_found */
	"P0003",					/* too_many_rows */
	"P0004",					/* assert_failure */
};

SluiceErrorClass
sluice_sqlstate_class(int sqlerrcode)
{
	const char *state = unpack_sql_state(sqlerrcode);

	/* A bad COPY stream would be our own fault, never the record's. */
	if (sqlerrcode == ERRCODE_BAD_COPY_FILE_FORMAT)
		return SLUICE_ERROR_RETRY;
	for (int i = 0; i < lengthof(data_classes); i++)
		if (strncmp(state, data_classes[i], 2) == 0)
			return SLUICE_ERROR_DATA;
	for (int i = 0; i < lengthof(data_states); i++)
		if (strcmp(state, data_states[i]) == 0)
			return SLUICE_ERROR_DATA;
	return SLUICE_ERROR_RETRY;
}

/*
 * A row that row security refuses is refused for what is in it, though the server gives that the
 * state of a missing privilege.  It has no name of its own but the function that raises it.
 */
SluiceErrorClass
sluice_sqlstate_class_of(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE && error->funcname != NULL &&
		strcmp(error->funcname, "ExecWithCheckOptions") == 0)
		return SLUICE_ERROR_DATA;
	return sluice_sqlstate_class(error->sqlerrcode);
}
