/*
 * sink_database.h
 *		Rows into a table of another database, in the transactions that keep the position.
 */
#ifndef SLUICE_SINK_DATABASE_H
#define SLUICE_SINK_DATABASE_H

#include "database.h"
#include "sink.h"

/* The database becomes the sink's. */
extern SluiceSink *sluice_sink_database_create(SluiceDatabase *database);

#endif							/* SLUICE_SINK_DATABASE_H */
