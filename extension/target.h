/*
 * target.h
 *		A stream bound to its table: which column takes what, and how.
 */
#ifndef SLUICE_TARGET_H
#define SLUICE_TARGET_H

#include "postgres.h"

#include "format.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "stream.h"
#include "utils/rel.h"

/* One column of the COPY list. */
typedef struct SluiceField
{
	AttrNumber	attnum;
	int			column;			/* index in columns: filled by the format; -1: by the envelope */
	SluiceEnvelopeItem item;
	SluiceColumn shape;			/* how values are written */
	Oid			type;			/* of the column */
	Oid			base_type;		/* under its domains */
	int32		typmod;
} SluiceField;

typedef struct SluiceTarget
{
	Oid			relid;
	SluiceFormat *format;
	int			ncolumns;		/* given to the format */
	SluiceColumn *columns;
	int			nfields;
	SluiceField *fields;
	List	   *names;			/* of the COPY list: String nodes */
	bool		binary;
	bool		may_filter;		/* a trigger was seen to swallow rows */
	bool		fires_deferred; /* a deferred trigger was seen: no security-restricted operation */
	bool		evaluating;		/* a default of a row is being evaluated: its values must stay */
	bool		valid;			/* false: the table has changed */
	dlist_node	node;			/* among all targets, for invalidation */
	MemoryContext context;		/* a child of the stream's */
} SluiceTarget;

/*
 * Bind the stream to its target, which is open and locked.  Every mismatch
 * between payload and table is an error.  The result is remembered with the
 * stream until one of them changes.
 */
extern SluiceTarget *sluice_target_bind(SluiceStream *stream, Relation rel);

/* Is this relation fit to be a target?  An error where it is not. */
extern void sluice_target_check(SluiceStream *stream, Relation rel);

#endif							/* SLUICE_TARGET_H */
