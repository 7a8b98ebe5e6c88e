/*
 * permission.h
 *		Who may do what with a stream, or a subscription, of somebody else.
 *
 * Its owner: who has the privileges of the role that made it, or those of the
 * extension's owner.  An administrator: an owner, or who has the privileges of
 * sluice_admin.  What an administrator may do lets nothing be read and nothing
 * be stored that was not sent to the stream: where it comes to contents (another
 * target, the table dropped, an edited payload), it takes an owner, or the
 * privilege on the table itself.
 */
#ifndef SLUICE_PERMISSION_H
#define SLUICE_PERMISSION_H

#include "postgres.h"

#include "stream.h"

#define SLUICE_ADMIN_ROLE "sluice_admin"

/* Whether the current user is one, of what the role owns. */
extern bool sluice_permission_owns(Oid owner);
extern bool sluice_permission_administers(Oid owner);

/* Whether this role is one: a client's, which nobody acts as yet. */
extern bool sluice_permission_role_administers(Oid role, Oid owner);

/* An error where the current user is not one, of the stream. */
extern void sluice_permission_check_owner(const SluiceStream *stream);
extern void sluice_permission_check_administrator(const SluiceStream *stream);

/* An error where the current user may insert into no column of the stream's target. */
extern void sluice_permission_check_insert(const SluiceStream *stream);

/*
 * For a payload that an administrator edited, which is stored as the stream's owner: it is a new record, so
 * who is no owner of the stream needs INSERT on its target.
 */
extern void sluice_permission_check_edit(const SluiceStream *stream);

#endif							/* SLUICE_PERMISSION_H */
