/*
 * database.h
 *		The other database of "sluice subscribe --into": its connection, and the position that is kept there.
 *
 * The tables sluice_sink.positions and sluice_sink.redriven are made where they are not there.  The position
 * of a subscription is a row of the first; a transaction that brings rows moves it from where
 * they begin to where they end, and fails where it is not there: another consumer was faster.
 */
#ifndef SLUICE_DATABASE_H
#define SLUICE_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice.h"

typedef enum SluiceDatabaseResult
{
	SLUICE_DATABASE_OK,
	SLUICE_DATABASE_DATA,		/* it does not take what was given: see message */
	SLUICE_DATABASE_MOVED,		/* the position is not where it should be */
	SLUICE_DATABASE_DONE_BEFORE,	/* that redriven row is there already */
	SLUICE_DATABASE_AGAIN,		/* try again: the connection is lost, a deadlock, ...; what became of a COMMIT is not known */
	SLUICE_DATABASE_FAILED		/* somebody has to do something first: no such column, no right, ... */
} SluiceDatabaseResult;

typedef struct SluiceDatabase SluiceDatabase;

/* Does not connect.  table: as a user writes it.  All strings are the caller's. */
extern SluiceDatabase *sluice_database_create(const char *conninfo, const char *table, const char *subscription);
extern void sluice_database_free(SluiceDatabase *database);

/* Connected, with all that is needed; nothing where it is so.  OK, AGAIN, FAILED. */
extern SluiceDatabaseResult sluice_database_connect(SluiceDatabase *database);

/*
 * The position, which is the server's where there is none yet.  A row that was refused and that the server has passed by now, as a dead
 * letter, is passed here, too.  OK, AGAIN, FAILED.
 */
extern SluiceDatabaseResult sluice_database_position(SluiceDatabase *database, const sluice_token *server, sluice_token *position);

/* A transaction, whose first statement moves the position.  After anything but OK it is over. */
extern SluiceDatabaseResult sluice_database_begin(SluiceDatabase *database, int64_t previous, const sluice_token *next);

/* The same for a row that sluice.redrive() gave back: the position stays. */
extern SluiceDatabaseResult sluice_database_begin_redriven(SluiceDatabase *database, int64_t redrive);

/* json: an array of objects, whose members are those of first, one of them; same: and of the call before.  Both end with NUL. */
extern SluiceDatabaseResult sluice_database_insert(SluiceDatabase *database, const char *json, const char *first, bool same);
extern SluiceDatabaseResult sluice_database_commit(SluiceDatabase *database);

/* Note that this row, which follows the position previous, is given back.  OK, MOVED, AGAIN, FAILED. */
extern SluiceDatabaseResult sluice_database_refuse(SluiceDatabase *database, int64_t previous, int64_t offset);

/* What is wrong, with the SQLSTATE: one line. */
extern const char *sluice_database_message(const SluiceDatabase *database);

#endif							/* SLUICE_DATABASE_H */
