/*
 * stream.c
 *		Streams as this session knows them: a cache over sluice.streams.
 *
 * The whole table is small and changes rarely, so one change of it forgets
 * all entries.  A statement trigger on sluice.streams sends the invalidation
 * (sluice_streams_changed), whoever changes it and how.
 */
#include "postgres.h"

#include "stream.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "buckets.h"
#include "catalog.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "ingestion_descriptor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

const char *const sluice_envelope_names[SLUICE_ENVELOPE_ITEMS] = {
	"key", "received_at", "client_address", "role", "producer", "sequence"
};

typedef struct StreamEntry
{
	int32		id;				/* hash key */
	SluiceStream *stream;
} StreamEntry;

static HTAB *stream_cache = NULL;
static Oid	streams_relid = InvalidOid; /* valid while the cache holds anything */
static bool stale = true;
static uint64 changes = 0;
static List *graveyard = NIL;	/* contexts that somebody may still point into */

extern PGDLLEXPORT Datum sluice_streams_changed(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(sluice_streams_changed);

static void
streams_invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == streams_relid)
	{
		stale = true;
		changes++;
	}
}

uint64
sluice_stream_changes(void)
{
	return changes;
}

void
sluice_stream_bury(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);

	graveyard = lappend(graveyard, context);
	MemoryContextSwitchTo(old);
}

void
sluice_stream_sweep(void)
{
	ListCell   *cell;

	foreach(cell, graveyard)
		MemoryContextDelete((MemoryContext) lfirst(cell));
	list_free(graveyard);
	graveyard = NIL;
}

/* Forget all entries, or begin the cache. */
static void
cache_refresh(void)
{
	HASHCTL		ctl = {0};

	if (!stale)
		return;
	if (stream_cache != NULL)
	{
		HASH_SEQ_STATUS seq;
		StreamEntry *entry;

		hash_seq_init(&seq, stream_cache);
		while ((entry = hash_seq_search(&seq)) != NULL)
			sluice_stream_bury(entry->stream->context);
		hash_destroy(stream_cache);
		stream_cache = NULL;
	}
	else
		CacheRegisterRelcacheCallback(streams_invalidate, (Datum) 0);
	ctl.keysize = sizeof(int32);
	ctl.entrysize = sizeof(StreamEntry);
	ctl.hcxt = CacheMemoryContext;
	stream_cache = hash_create("sluice streams", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	streams_relid = sluice_catalog_relation("streams");
	stale = false;
}

Datum
sluice_streams_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "sluice.streams_changed")));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	return PointerGetDatum(NULL);
}

char *
sluice_stream_home(void)
{
	return psprintf(UINT64_FORMAT "/%u/%u", GetSystemIdentifier(), MyDatabaseId, sluice_catalog_relation("streams"));
}

bool
sluice_stream_lock(int32 id, bool exclusive, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, sluice_catalog_relation("streams"), (uint32) id, 0);
	if (LockAcquire(&tag, exclusive ? AccessExclusiveLock : AccessShareLock, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}

char *
sluice_stream_text(const char *utf8, size_t length)
{
	char	   *text = pnstrdup(utf8, length);
	bool		keep = GetDatabaseEncoding() == PG_UTF8 && pg_verify_mbstr(PG_UTF8, text, strlen(text), true);

	if (!keep)
		for (char *p = text; *p != '\0'; p++)
			if (IS_HIGHBIT_SET(*p))
				*p = '?';
	return text;
}

static char *
attribute_text(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static Datum
attribute(HeapTuple tuple, Relation rel, int attnum)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

	return isnull ? (Datum) 0 : value;
}

static int
attribute_number(Relation rel, const char *name)
{
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (strcmp(NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname), name) == 0)
			return i + 1;
	elog(ERROR, "column \"%s\" of sluice.streams does not exist", name);
}

/* {"key": "column", ...}: checked by create_stream, but the table can be written by its owner. */
static void
load_envelope(SluiceStream *stream, Jsonb *jsonb)
{
	for (int item = 0; item < SLUICE_ENVELOPE_ITEMS; item++)
	{
		JsonbValue	buffer;
		JsonbValue *value = getKeyJsonValueFromContainer(&jsonb->root, sluice_envelope_names[item],
														 strlen(sluice_envelope_names[item]), &buffer);

		if (value != NULL && value->type == jbvString)
			stream->envelope[item] = pnstrdup(value->val.string.val, value->val.string.len);
	}
}

static void
load_descriptor(SluiceStream *stream, Datum descriptor_set)
{
	if (descriptor_set == (Datum) 0)
	{
		stream->descriptor_set = (uint8 *) sluice_ingestion_descriptor;
		stream->descriptor_set_length = sluice_ingestion_descriptor_length;
	}
	else
	{
		bytea	   *bytes = DatumGetByteaPP(descriptor_set);

		stream->descriptor_set_length = VARSIZE_ANY_EXHDR(bytes);
		stream->descriptor_set = palloc(stream->descriptor_set_length + 1);
		memcpy(stream->descriptor_set, VARDATA_ANY(bytes), stream->descriptor_set_length);
	}
}

static SluicePayloadFormat
format_of(const char *name)
{
	return strcmp(name, "protobuf") == 0 ? SLUICE_FORMAT_PROTOBUF :
		strcmp(name, "json") == 0 ? SLUICE_FORMAT_JSON : SLUICE_FORMAT_BYTES;
}

static SluiceUnknownFields
unknown_of(const char *name)
{
	return strcmp(name, "ignore") == 0 ? SLUICE_UNKNOWN_IGNORE :
		strcmp(name, "overflow") == 0 ? SLUICE_UNKNOWN_OVERFLOW : SLUICE_UNKNOWN_REJECT;
}

/* A limit; NULL is the setting's. */
static int32
attribute_limit(HeapTuple tuple, Relation rel, const char *column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attribute_number(rel, column), RelationGetDescr(rel), &isnull);

	return isnull ? SLUICE_BUCKETS_DEFAULT : DatumGetInt32(value);
}

static char *
attribute_name(HeapTuple tuple, Relation rel, const char *column)
{
	Datum		value = attribute(tuple, rel, attribute_number(rel, column));

	return value == (Datum) 0 ? NULL : pstrdup(NameStr(*DatumGetName(value)));
}

/* A row of sluice.streams as an entry of its own memory context. */
static SluiceStream *
load_stream(HeapTuple tuple, Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CacheMemoryContext, "sluice stream", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SluiceStream *stream = palloc0(sizeof(SluiceStream));

#define TEXT(column) attribute_text(tuple, rel, attribute_number(rel, column))
#define VALUE(column) attribute(tuple, rel, attribute_number(rel, column))
	stream->context = context;
	stream->id = DatumGetInt32(VALUE("id"));
	memcpy(stream->uid, DatumGetUUIDP(VALUE("uid"))->data, SLUICE_UID_SIZE);
	stream->name = TEXT("name");
	stream->target = DatumGetObjectId(VALUE("target"));
	stream->owner = DatumGetObjectId(VALUE("owner"));
	stream->format = format_of(TEXT("payload_format"));
	stream->message_type = TEXT("message_type");
	stream->unknown = unknown_of(TEXT("unknown_fields"));
	stream->offset_column = attribute_name(tuple, rel, "offset_column");
	stream->overflow_column = attribute_name(tuple, rel, "overflow_column");
	stream->allow_foreign = DatumGetBool(VALUE("allow_foreign"));
	stream->dead_letter_conflicts = strcmp(TEXT("key_conflict"), "dead_letter") == 0;
	stream->rate = attribute_limit(tuple, rel, "rate");
	stream->burst = attribute_limit(tuple, rel, "burst");
	stream->held_reason = TEXT("held_reason");
	if (stream->format == SLUICE_FORMAT_PROTOBUF)
		load_descriptor(stream, VALUE("descriptor_set"));
	load_envelope(stream, DatumGetJsonbP(VALUE("envelope_columns")));
	stream->restored = strcmp(TEXT("home"), sluice_stream_home()) != 0;
	if (stream->held_reason == NULL && stream->restored)
		stream->held_reason = pstrdup("the stream came from another database, probably from a dump: run sluice.resume() when its keys are restored");
#undef TEXT
#undef VALUE
	MemoryContextSwitchTo(old);
	return stream;
}

/* The first row that an index finds, remembered; NULL where it finds none. */
static SluiceStream *
find_row(const char *index, AttrNumber attnum, RegProcedure equal, Datum value)
{
	Relation	rel = table_open(streams_relid, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	SluiceStream *stream = NULL;

	ScanKeyInit(&key, attnum, BTEqualStrategyNumber, equal, value);
	/* The index is sorted by the database's collation, not by C. */
	key.sk_collation = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attcollation;
	scan = systable_beginscan(rel, sluice_catalog_relation(index), true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		found;
		StreamEntry *entry;

		stream = load_stream(tuple, rel);
		entry = hash_search(stream_cache, &stream->id, HASH_ENTER, &found);
		if (found)
		{
			MemoryContextDelete(stream->context);
			stream = entry->stream;
		}
		else
			entry->stream = stream;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return stream;
}

SluiceStream *
sluice_stream_by_id(int32 id)
{
	StreamEntry *entry;

	cache_refresh();
	entry = hash_search(stream_cache, &id, HASH_FIND, NULL);
	return entry != NULL ? entry->stream : find_row("streams_pkey", 1, F_INT4EQ, Int32GetDatum(id));
}

SluiceStream *
sluice_stream_by_name(const char *name)
{
	Relation	rel;
	AttrNumber	attnum;

	cache_refresh();
	rel = table_open(streams_relid, AccessShareLock);
	attnum = attribute_number(rel, *name == '\0' ? "is_default" : "name");
	table_close(rel, AccessShareLock);
	if (*name == '\0')
		return find_row("streams_default", attnum, F_BOOLEQ, BoolGetDatum(true));
	return find_row("streams_name_key", attnum, F_TEXTEQ, CStringGetTextDatum(name));
}

SluiceStream *
sluice_stream_get(const char *name)
{
	SluiceStream *stream = sluice_stream_by_name(name);

	if (stream == NULL && *name == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no default stream"),
				 errhint("Name a stream, or make one the default: sluice.alter_stream(name, is_default => true).")));
	if (stream == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stream \"%s\" does not exist", name),
				 errhint("Make it with sluice.create_stream().")));
	return stream;
}
