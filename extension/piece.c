/*
 * piece.c
 *		Some records of one stream on their way into its target, through COPY.
 *
 * The server's own COPY machinery puts the rows in, so defaults, identity and
 * generated columns, constraints, triggers and partition routing behave as
 * they do under COPY.  What DoCopy checks and BeginCopyFrom does not (read-only
 * transactions, privileges, row security) is called here.
 *
 * COPY's data-source callback has no argument, so the piece under way is in a
 * static variable; a trigger of the target may ingest in turn, hence the stack.
 */
#include "postgres.h"

#include "piece.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "acting.h"
#include "catalog/pg_trigger.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "commands/progress.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "settings.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define MAX_DEPTH 16

/*
 * COPY makes a slot for each row that it buffers, up to 1,000 of them or 64 kB
 * of input, and each slot pins the tuple descriptor in the resource owner, which
 * takes these well up to 64 and dearly beyond.  In binary mode COPY does not know
 * the size of a row; told this size, it buffers as many as are cheap.
 */
#define BINARY_ROW_SIZE 1100

/* Rows that COPY has not yet read. */
typedef struct Source
{
	SluicePiece *piece;
	SluiceRowWriter writer;
	SluiceBuffer *buffer;		/* rows encoded */
	size_t		sent;			/* of buffer */
	int			next;			/* item to encode */
	SluiceItem **lines;			/* what COPY's lines 1.. hold */
	int			nlines;
	bool		watch;			/* one row a call, to see which ones are filtered */
	int64		seen;			/* watch: rows that COPY had counted at the last call */
	int			judged;			/* watch: lines whose verdict is known by that */
	bool		ended;			/* the trailer was given */
} Source;

static Source *current = NULL;
static SluiceBuffer buffers[MAX_DEPTH];	/* malloc'ed, kept; one a nesting level */
static int	depth = 0;

static const char binary_header[] = "PGCOPY\n\377\r\n\0" "\0\0\0\0" "\0\0\0\0";

SluiceReason *
sluice_piece_reason(const SluiceFormatError *error)
{
	SluiceReason *reason = palloc0(sizeof(SluiceReason));

	strlcpy(reason->sqlstate, error->sqlstate, sizeof(reason->sqlstate));
	reason->message = sluice_stream_text(error->message, strlen(error->message));
	if (error->hint[0] != '\0')
		reason->hint = sluice_stream_text(error->hint, strlen(error->hint));
	return reason;
}

SluiceReason *
sluice_piece_error_reason(const ErrorData *error)
{
	SluiceReason *reason = palloc0(sizeof(SluiceReason));

	strlcpy(reason->sqlstate, unpack_sql_state(error->sqlerrcode), sizeof(reason->sqlstate));
	reason->message = error->message != NULL ? error->message : "";
	reason->detail = error->detail;
	reason->hint = error->hint;
	reason->context = error->context;
	reason->constraint = error->constraint_name;
	return reason;
}

/* Has the row of the last line been stored?  Only then has COPY's progress counter moved.  Asked once a line. */
static void
note_filtered(Source *source)
{
	int64		counted = MyBEEntry->st_progress_param[PROGRESS_COPY_TUPLES_PROCESSED];

	if (source->nlines == source->judged)
		return;
	if (counted == source->seen)
		source->lines[source->nlines - 1]->verdict = SLUICE_FILTERED;
	source->seen = counted;
	source->judged = source->nlines;
}

/* What we tell of the rows must be what COPY counted. */
static void
check_count(const Source *source, uint64 stored)
{
	uint64		told = 0;

	for (int i = 0; i < source->nlines; i++)
		told += source->lines[i]->verdict == SLUICE_STORED;
	if (told != stored)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("COPY stored " UINT64_FORMAT " rows of stream \"%s\", but " UINT64_FORMAT " are told as stored",
						stored, source->piece->stream->name, told)));
}

/* Encode further records, up to about maxread bytes. */
static void
fill(Source *source, size_t maxread)
{
	SluicePiece *piece = source->piece;
	int			row_limit = source->watch ? 1 : INT_MAX;

	while (source->next < piece->nitems && source->buffer->length < maxread && row_limit > 0)
	{
		SluiceItem *item = piece->items[source->next++];

		if (!sluice_row_writer_encode(&source->writer, item, source->buffer))
			continue;
		item->verdict = SLUICE_STORED;
		source->lines[source->nlines++] = item;
		row_limit--;
	}
	if (source->next == piece->nitems && !source->ended && source->buffer->length == 0)
	{
		if (piece->target->binary)
			sluice_buffer_append(source->buffer, "\377\377", 2);
		source->ended = true;
	}
	if (source->buffer->failed)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
}

static int
read_rows(void *out, int minread, int maxread)
{
	Source	   *source = current;
	size_t		n;

	if (source->sent == source->buffer->length)
	{
		sluice_buffer_reset(source->buffer);
		source->sent = 0;
		if (source->watch)
			note_filtered(source);
		fill(source, maxread);
	}
	n = Min((size_t) maxread, source->buffer->length - source->sent);
	memcpy(out, source->buffer->data + source->sent, n);
	source->sent += n;
	return (int) n;
}

static List *
copy_options(SluiceTarget *target)
{
	return list_make2(makeDefElem("format", (Node *) makeString(target->binary ? "binary" : "text"), -1),
					  makeDefElem("encoding", (Node *) makeString("utf8"), -1));
}

/* The range table entry that COPY's executor state and the privilege check want. */
static ParseState *
make_parse_state(SluicePiece *piece)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *nsitem;

	pstate->p_sourcetext = "COPY";
	nsitem = addRangeTableEntryForRelation(pstate, piece->rel, RowExclusiveLock, NULL, false, false);
	nsitem->p_rte->requiredPerms = ACL_INSERT;
	for (int i = 0; i < piece->target->nfields; i++)
		nsitem->p_rte->insertedCols = bms_add_member(nsitem->p_rte->insertedCols,
													 piece->target->fields[i].attnum - FirstLowInvalidHeapAttributeNumber);
	return pstate;
}

/* Rows through COPY; returns how many it stored. */
static uint64
copy_rows(SluicePiece *piece, Source *source, ParseState *pstate)
{
	CopyFromState cstate;
	uint64		processed;

	cstate = BeginCopyFrom(pstate, piece->rel, NULL, NULL, false, read_rows,
						   piece->target->names, copy_options(piece->target));
	if (piece->target->binary)
		cstate->line_buf.len = BINARY_ROW_SIZE;
	PG_TRY();
	{
		processed = CopyFrom(cstate);
	}
	PG_CATCH();
	{
		if (cstate->cur_lineno >= 1 && cstate->cur_lineno <= (uint64) source->nlines)
			piece->suspect = source->lines[cstate->cur_lineno - 1];
		PG_RE_THROW();
	}
	PG_END_TRY();
	EndCopyFrom(cstate);
	return processed;
}

static void
set_constraints(List *names, bool deferred)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);

	stmt->constraints = names;
	stmt->deferred = deferred;
	AfterTriggerSetState(stmt);
}

/* The target's own deferrable constraints, for SQL callers: their transaction's other ones are not ours to fire. */
static List *
own_constraints(Relation rel, bool only_deferred)
{
	TriggerDesc *triggers = rel->trigdesc;
	List	   *names = NIL;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (OidIsValid(trigger->tgconstraint) && trigger->tgdeferrable && (trigger->tginitdeferred || !only_deferred))
			names = lappend(names, makeRangeVar(get_namespace_name(RelationGetNamespace(rel)),
												get_constraint_name(trigger->tgconstraint), -1));
	}
	return names;
}

static bool
has_deferred_triggers(Relation rel)
{
	return own_constraints(rel, true) != NIL;
}

/*
 * Fire all that is deferred, as the acting role and restricted: the server then
 * refuses what would defer further work, which would run at commit as ourselves.
 */
static void
fire_all_deferred(void)
{
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(user, context | SECURITY_RESTRICTED_OPERATION);
	set_constraints(NIL, false);
	SetUserIdAndSecContext(user, context);
	set_constraints(NIL, true);
}

/* Whatever is deferred fails here, in this piece and as the acting role, not at commit. */
static void
fire_deferred(SluicePiece *piece)
{
	List	   *names;

	if (OidIsValid(piece->role))
	{
		if (piece->in_worker && piece->target->fires_deferred)
			fire_all_deferred();
		return;
	}
	names = own_constraints(piece->rel, false);
	if (names == NIL)
		return;
	set_constraints(names, false);
	names = own_constraints(piece->rel, true);
	if (names != NIL)
		set_constraints(names, true);
}

/* All rows by COPY, each with its verdict where we watch. */
static uint64
copy_piece(SluicePiece *piece, Source *source, ParseState *pstate, int *given)
{
	uint64		stored;

	sluice_row_writer_begin(&source->writer, piece);
	if (piece->target->binary)
		sluice_buffer_append(source->buffer, binary_header, sizeof(binary_header) - 1);
	stored = copy_rows(piece, source, pstate);
	if (source->watch)
	{
		note_filtered(source);
		check_count(source, stored);
	}
	*given = source->nlines;
	sluice_row_writer_end(&source->writer);
	return stored;
}

static void
mark_filtered(SluicePiece *piece)
{
	for (int i = 0; i < piece->nitems; i++)
		if (piece->items[i]->verdict == SLUICE_STORED)
			piece->items[i]->verdict = SLUICE_FILTERED;
}

/* All rows by INSERT; where we watch, one by one: its count is all that tells. */
static uint64
insert_piece(SluicePiece *piece, const Source *source, int *given)
{
	SluicePiece single = *piece;
	uint64		stored = 0;

	if (!source->watch)
		return sluice_piece_insert(piece, given);
	*given = 0;
	single.nitems = 1;
	for (int i = 0; i < piece->nitems; i++)
	{
		uint64		inserted;
		int			one;

		single.items = &piece->items[i];
		inserted = sluice_piece_insert(&single, &one);
		if (inserted == 0)
			mark_filtered(&single);
		*given += one;
		stored += inserted;
	}
	return stored;
}

/* All rows of the piece, as the acting role.  False: try again, watching for filtered rows. */
static bool
store_acting(SluicePiece *piece, Source *source)
{
	ParseState *pstate = make_parse_state(piece);
	uint64		stored;
	int			given = 0;

	PreventCommandIfReadOnly("sluice.ingest()");
	(void) ExecCheckRTPerms(pstate->p_rtable, true);
	if (check_enable_rls(RelationGetRelid(piece->rel), InvalidOid, false) == RLS_ENABLED)
		stored = insert_piece(piece, source, &given);
	else
		stored = copy_piece(piece, source, pstate, &given);
	fire_deferred(piece);
	free_parsestate(pstate);
	if (stored == (uint64) given || source->watch)
		return true;
	if (given == 1)
	{
		/* The single row that was given is the one that was swallowed. */
		mark_filtered(piece);
		return true;
	}
	piece->target->may_filter = true;
	return false;
}

/* As another role, in somebody's session. */
static bool
is_redrive(const SluicePiece *piece)
{
	return OidIsValid(piece->role) && !piece->in_worker;
}

/* Within the piece's workspace, with the static state that COPY's callback needs. */
static bool
store_in_context(SluicePiece *piece)
{
	Source		source = {0};
	SluiceActing acting;
	bool		restricted = is_redrive(piece) || (piece->in_worker && !piece->target->fires_deferred);
	bool		result;

	source.piece = piece;
	source.watch = piece->target->may_filter;
	source.buffer = &buffers[depth - 1];
	source.lines = palloc(sizeof(SluiceItem *) * piece->nitems);
	sluice_buffer_reset(source.buffer);
	current = &source;

	/* In somebody's session the restriction is never dropped, so the target's own constraints must not be deferred. */
	if (is_redrive(piece) && own_constraints(piece->rel, false) != NIL)
		set_constraints(own_constraints(piece->rel, false), false);
	sluice_acting_begin(&acting, piece->role, restricted, piece->in_worker);
	if (source.watch && !pgstat_track_activities)
		(void) set_config_option("track_activities", "on", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (piece->in_worker && sluice_statement_timeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, sluice_statement_timeout);
	PG_TRY();
	{
		result = store_acting(piece, &source);
	}
	PG_CATCH();
	{
		/*
		 * A deferred trigger is refused in a security-restricted operation.  Next
		 * time without the restriction: such triggers are fired before we stop
		 * acting as the role.
		 */
		if (restricted && geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
			piece->target->fires_deferred = true;
		if (piece->in_worker)
			disable_timeout(STATEMENT_TIMEOUT, false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (piece->in_worker && sluice_statement_timeout > 0)
		disable_timeout(STATEMENT_TIMEOUT, false);
	sluice_acting_end(&acting);
	if (is_redrive(piece) && own_constraints(piece->rel, true) != NIL)
		set_constraints(own_constraints(piece->rel, true), true);
	return result;
}

bool
sluice_piece_store(SluicePiece *piece)
{
	Source	   *outer = current;
	MemoryContext old = CurrentMemoryContext;
	bool		result = false;

	if (depth == MAX_DEPTH || piece->target->evaluating)
		ereport(ERROR,
				(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
				 errmsg("stream \"%s\" ingests into itself too deep", piece->stream->name)));
	if (has_deferred_triggers(piece->rel))
		piece->target->fires_deferred = true;
	piece->suspect = NULL;
	for (int i = 0; i < piece->nitems; i++)
	{
		piece->items[i]->verdict = SLUICE_PENDING;
		piece->items[i]->reason = NULL;
	}
	MemoryContextReset(piece->workspace);
	MemoryContextSwitchTo(piece->workspace);
	depth++;
	PushActiveSnapshot(GetTransactionSnapshot());
	PG_TRY();
	{
		result = store_in_context(piece);
	}
	PG_FINALLY();
	{
		/* On an error the active snapshot goes with the abort. */
		current = outer;
		depth--;
	}
	PG_END_TRY();
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	CommandCounterIncrement();
	return result;
}
