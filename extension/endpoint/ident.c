/*
 * ident.c
 *		Which names of certificates may log in as which roles: pg_ident.conf.
 *
 * Parsed by the server's parser, matched here by the rules of check_usermap() in its hba.c.
 */
#include "postgres.h"

#include "ident.h"

#include "catalog/pg_collation.h"
#include "libpq/hba.h"
#include "mb/pg_wchar.h"
#include "regex/regex.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"

static List *lines = NIL;		/* of IdentLine */
static MemoryContext lines_context = NULL;

/* Regular expressions are malloc'ed. */
static void
free_lines(List *list, MemoryContext context)
{
	ListCell   *cell;

	foreach(cell, list)
	{
		IdentLine  *line = lfirst(cell);

		if (line->ident_user[0] == '/')
			pg_regfree(&line->re);
	}
	MemoryContextDelete(context);
}

void
sluice_ident_load(void)
{
	MemoryContext context;
	MemoryContext old;
	MemoryContext tokens;
	List	   *tokenized = NIL;
	List	   *parsed = NIL;
	ListCell   *cell;
	bool		valid = true;
	FILE	   *file = AllocateFile(IdentFileName, "r");

	/* As the server does: without the file there are no maps. */
	if (file == NULL)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open usermap file \"%s\": %m", IdentFileName)));
		return;
	}
	context = AllocSetContextCreate(TopMemoryContext, "sluice ident", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	tokens = tokenize_auth_file(IdentFileName, file, &tokenized, LOG);
	FreeFile(file);
	foreach(cell, tokenized)
	{
		TokenizedAuthLine *token = lfirst(cell);
		IdentLine  *line = token->err_msg != NULL ? NULL : parse_ident_line(token, LOG);

		if (line == NULL)
			valid = false;
		else
			parsed = lappend(parsed, line);
	}
	MemoryContextDelete(tokens);
	MemoryContextSwitchTo(old);
	if (!valid)
	{
		free_lines(parsed, context);
		return;
	}
	if (lines_context != NULL)
		free_lines(lines, lines_context);
	lines = parsed;
	lines_context = context;
}

/*
 * The role that a line with a regular expression gives the name; NULL: it does not match.  A line that
 * cannot be applied ends the search, as in the server: what follows it might give more than was meant.
 */
static char *
substitute(const IdentLine *line, const char *name, bool *broken)
{
	pg_wchar   *wide = palloc((strlen(name) + 1) * sizeof(pg_wchar));
	int			length = pg_mb2wchar_with_len(name, wide, strlen(name));
	regmatch_t	matches[2];
	const char *place = strstr(line->pg_role, "\\1");
	int			result = pg_regexec(&((IdentLine *) line)->re, wide, length, 0, NULL, 2, matches, 0);

	*broken = result != REG_OKAY && result != REG_NOMATCH;
	if (result != REG_OKAY)
		return NULL;
	if (place == NULL)
		return line->pg_role;
	if (matches[1].rm_so < 0)
	{
		ereport(LOG,
				(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
				 errmsg("regular expression \"%s\" has no subexpressions as requested by backreference in \"%s\"",
						line->ident_user + 1, line->pg_role)));
		*broken = true;
		return NULL;
	}
	/* Matches count characters. */
	{
		char	   *matched = palloc((matches[1].rm_eo - matches[1].rm_so) * MAX_MULTIBYTE_CHAR_LEN + 1);

		pg_wchar2mb_with_len(wide + matches[1].rm_so, matched, matches[1].rm_eo - matches[1].rm_so);
		return psprintf("%.*s%s%s", (int) (place - line->pg_role), line->pg_role, matched, place + 2);
	}
}

bool
sluice_ident_permits(const char *map, const char *role, const char *name)
{
	ListCell   *cell;
	bool		broken = false;

	if (map == NULL || map[0] == '\0')
		return strcmp(role, name) == 0;
	foreach(cell, lines)
	{
		const IdentLine *line = lfirst(cell);
		const char *given = line->pg_role;

		if (strcmp(line->usermap, map) != 0)
			continue;
		if (line->ident_user[0] == '/')
			given = substitute(line, name, &broken);
		else if (strcmp(line->ident_user, name) != 0)
			continue;
		if (broken)
			return false;
		if (given != NULL && strcmp(given, role) == 0)
			return true;
	}
	return false;
}
