/*
 * acting.h
 *		Acting as the role that a stream's user code runs as.
 *
 * Defaults, CHECKs, triggers and everything else that a target brings along
 * never runs as the worker's superuser.  Between begin and end the session is
 * the given role, its settings are put back at the end, and what it left in
 * the session (temporary tables) is gone.  An error in between needs no end: the
 * (sub)transaction's abort puts role and settings back.
 */
#ifndef SLUICE_ACTING_H
#define SLUICE_ACTING_H

#include "postgres.h"

typedef struct SluiceActing
{
	Oid			user;
	int			context;
	int			guc_level;
	bool		clean_up;
} SluiceActing;

/*
 * As role, or as the current user where role is InvalidOid (sluice.ingest).
 * restricted: as in a security-restricted operation, in which the server refuses
 * to leave deferred triggers, temporary tables or cursors behind.  own_session:
 * this session is the worker's, so what is left in it can only be user code's.
 */
extern void sluice_acting_begin(SluiceActing *acting, Oid role, bool restricted, bool own_session);
extern void sluice_acting_end(SluiceActing *acting);

/*
 * An error where the session's search_path, which a role's code finds in the place of the database's, is that of
 * the current user or of the client, and these have not the role's privileges: they would get them by it.
 */
extern void sluice_acting_check_path(Oid role);

#endif							/* SLUICE_ACTING_H */
