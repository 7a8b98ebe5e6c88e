/*
 * permission.c
 *		Who may do what with a stream, or a subscription, of somebody else.
 */
#include "postgres.h"

#include "permission.h"

#include "catalog.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static bool
owns(Oid role, Oid owner)
{
	return has_privs_of_role(role, owner) || has_privs_of_role(role, sluice_catalog_owner());
}

bool
sluice_permission_role_administers(Oid role, Oid owner)
{
	Oid			admin = get_role_oid(SLUICE_ADMIN_ROLE, true);

	return owns(role, owner) || (OidIsValid(admin) && has_privs_of_role(role, admin));
}

bool
sluice_permission_owns(Oid owner)
{
	return owns(GetUserId(), owner);
}

bool
sluice_permission_administers(Oid owner)
{
	return sluice_permission_role_administers(GetUserId(), owner);
}

static void
check_stream(const SluiceStream *stream, bool permitted)
{
	if (!permitted)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of stream \"%s\"", stream->name)));
}

void
sluice_permission_check_owner(const SluiceStream *stream)
{
	check_stream(stream, sluice_permission_owns(stream->owner));
}

void
sluice_permission_check_administrator(const SluiceStream *stream)
{
	check_stream(stream, sluice_permission_administers(stream->owner));
}

/* A table that is gone is told of by those who open it. */
static bool
may_insert(const SluiceStream *stream)
{
	return !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(stream->target)) ||
		pg_class_aclcheck(stream->target, GetUserId(), ACL_INSERT) == ACLCHECK_OK;
}

static void
refuse_insert(const SluiceStream *stream)
{
	aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(get_rel_relkind(stream->target)), get_rel_name(stream->target));
}

void
sluice_permission_check_insert(const SluiceStream *stream)
{
	if (!may_insert(stream) &&
		pg_attribute_aclcheck_all(stream->target, GetUserId(), ACL_INSERT, ACLMASK_ANY) != ACLCHECK_OK)
		refuse_insert(stream);
}

void
sluice_permission_check_edit(const SluiceStream *stream)
{
	if (!sluice_permission_owns(stream->owner) && !may_insert(stream))
		refuse_insert(stream);
}
