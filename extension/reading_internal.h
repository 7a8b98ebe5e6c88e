/*
 * reading_internal.h
 *		What the files reading*.c share.
 *
 *	reading.c			rows
 *	reading_since.c		the position that goes with a time
 */
#ifndef SLUICE_READING_INTERNAL_H
#define SLUICE_READING_INTERNAL_H

#include "postgres.h"

#include "acting.h"
#include "executor/spi.h"
#include "json_row.h"
#include "lib/ilist.h"
#include "protobuf_row.h"
#include "reading.h"

struct SluiceReading
{
	SluiceEncoding encoding;
	Oid			target;
	Oid			role;			/* who reads */
	Oid			streams;		/* sluice.streams, whose changes may be changes of ours */
	char	   *table;			/* qualified and quoted, as are the columns */
	char	   *offset_name;	/* of the column, as it is */
	char	   *offset_column;
	char	   *received_column;	/* or NULL */
	SluiceJsonRow *json;		/* JSON */
	SluiceProtobufRow *protobuf;	/* PROTOBUF */
	SPIPlanPtr	plan;
	bool		planned;		/* it has been executed */
	bool		stale;
	dlist_node	node;			/* among all, for invalidation */
	MemoryContext row_context;	/* reset after each row */
	MemoryContext context;
	int64		writing;		/* offset of the row that is being written; 0: none */
	int			written;		/* rows of this read before it */
};

/* What is locked by DDL is not waited for: an error. */
extern void sluice_reading_lock_target(Oid target);

/* Within SPI and a new snapshot, as the stream's owner. */
extern void sluice_reading_begin_acting(SluiceReading *reading, SluiceActing *acting);
extern void sluice_reading_end_acting(SluiceActing *acting);

/* sluice.statement_timeout, for one statement of a worker's. */
extern void sluice_reading_start_timeout(void);
extern void sluice_reading_stop_timeout(void);

#endif							/* SLUICE_READING_INTERNAL_H */
