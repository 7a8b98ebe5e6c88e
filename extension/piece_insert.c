/*
 * piece_insert.c
 *		Some records of one stream into its target by INSERT ... SELECT.
 *
 * COPY refuses tables with row security for whom the policies apply, so their
 * records go through a statement of the acting role: one array of text a
 * column, each element cast to the column's type by its input function and then
 * assigned, so that lengths are checked and nothing is cut off silently.
 */
#include "postgres.h"

#include "piece.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static char *
insert_command(SluicePiece *piece)
{
	SluiceTarget *target = piece->target;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s (",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(piece->rel)),
												RelationGetRelationName(piece->rel)));
	for (int i = 0; i < target->nfields; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", quote_identifier(strVal(list_nth(target->names, i))));
	appendStringInfoString(&sql, ") OVERRIDING SYSTEM VALUE SELECT ");
	for (int i = 0; i < target->nfields; i++)
		appendStringInfo(&sql, "%sCAST(r.f%d AS %s)", i > 0 ? ", " : "", i,
						 format_type_extended(target->fields[i].base_type, -1,
											  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	appendStringInfoString(&sql, " FROM ROWS FROM (");
	for (int i = 0; i < target->nfields; i++)
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(&sql, ") AS r(");
	for (int i = 0; i < target->nfields; i++)
		appendStringInfo(&sql, "%sf%d", i > 0 ? ", " : "", i);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* The rows as text, column by column; returns how many could be decoded. */
static int
decode_rows(SluicePiece *piece, Datum **columns, bool **nulls)
{
	SluiceTarget *target = piece->target;
	SluiceRowWriter writer;
	int			n = 0;

	sluice_row_writer_begin(&writer, piece);
	for (int k = 0; k < piece->nitems; k++)
	{
		SluiceItem *item = piece->items[k];

		if (!sluice_row_writer_decode(&writer, item))
			continue;
		for (int i = 0; i < target->nfields && item->verdict == SLUICE_PENDING; i++)
		{
			char	   *text = sluice_row_writer_text(&writer, item, i);

			nulls[i][n] = text == NULL;
			if (text != NULL)
			{
				text = pg_any_to_server(text, strlen(text), PG_UTF8);
				columns[i][n] = CStringGetTextDatum(text);
			}
		}
		if (item->verdict != SLUICE_PENDING)
			continue;
		item->verdict = SLUICE_STORED;
		n++;
	}
	sluice_row_writer_end(&writer);
	return n;
}

uint64
sluice_piece_insert(SluicePiece *piece, int *given)
{
	int			nfields = piece->target->nfields;
	Datum	  **columns = palloc(sizeof(Datum *) * nfields);
	bool	  **nulls = palloc(sizeof(bool *) * nfields);
	Oid		   *types = palloc(sizeof(Oid) * nfields);
	Datum	   *arguments = palloc(sizeof(Datum) * nfields);
	uint64		processed;
	int			result;
	int			n;

	for (int i = 0; i < nfields; i++)
	{
		columns[i] = palloc0(sizeof(Datum) * piece->nitems);
		nulls[i] = palloc0(sizeof(bool) * piece->nitems);
		types[i] = TEXTARRAYOID;
	}
	n = decode_rows(piece, columns, nulls);
	*given = n;
	if (n == 0)
		return 0;
	for (int i = 0; i < nfields; i++)
	{
		int			lower = 1;

		arguments[i] = PointerGetDatum(construct_md_array(columns[i], nulls[i], 1, &n, &lower, TEXTOID, -1, false, TYPALIGN_INT));
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_with_args(insert_command(piece), nfields, types, arguments, NULL, false, 0);
	if (result != SPI_OK_INSERT)
		elog(ERROR, "SPI_execute_with_args returned %d", result);
	processed = SPI_processed;
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "SPI_finish failed");
	return processed;
}
