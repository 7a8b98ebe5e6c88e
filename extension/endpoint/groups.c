/*
 * groups.c
 *		The records of a batch, by stream and by the role of their clients.
 */
#include "postgres.h"

#include "groups.h"

#include "nodes/pg_list.h"

/* The roles of the clients, each once; mostly it is one. */
static List *
roles_of(const SluicePortion *portion)
{
	List	   *roles = NIL;

	for (int i = 0; i < portion->nrecords; i++)
		if (i == 0 || portion->records[i]->sender->role != portion->records[i - 1]->sender->role)
			roles = list_append_unique_oid(roles, portion->records[i]->sender->role);
	return roles;
}

/* The records of clients of a role, in their order. */
static SluiceGroup
group_of(const SluicePortion *portion, Oid role)
{
	SluiceGroup group = {.stream_id = portion->stream_id,.role = role};

	group.records = palloc(portion->nrecords * sizeof(SluiceRecord *));
	for (int i = 0; i < portion->nrecords; i++)
		if (portion->records[i]->sender->role == role)
			group.records[group.nrecords++] = portion->records[i];
	return group;
}

SluiceGroup *
sluice_groups_make(const SluicePortion *portions, int nportions, int *ngroups)
{
	List	  **roles = palloc(nportions * sizeof(List *));
	SluiceGroup *groups;
	ListCell   *cell;

	*ngroups = 0;
	for (int i = 0; i < nportions; i++)
		*ngroups += list_length(roles[i] = roles_of(&portions[i]));
	groups = palloc0(*ngroups * sizeof(SluiceGroup));
	*ngroups = 0;
	for (int i = 0; i < nportions; i++)
	{
		if (list_length(roles[i]) == 1)
			groups[(*ngroups)++] = (SluiceGroup) {
				.stream_id = portions[i].stream_id,.role = linitial_oid(roles[i]),
				.records = portions[i].records,.nrecords = portions[i].nrecords
			};
		else
			foreach(cell, roles[i])
				groups[(*ngroups)++] = group_of(&portions[i], lfirst_oid(cell));
	}
	return groups;
}
