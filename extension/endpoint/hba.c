/*
 * hba.c
 *		Which line of pg_hba.conf decides about a client.
 *
 * The rules are those of check_hba() in the server's hba.c.
 */
#include "postgres.h"

#include "hba.h"

#include <netinet/in.h>

#include "libpq/ifaddr.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"

static List *lines = NIL;		/* of HbaLine */
static MemoryContext lines_context = NULL;

/* ---- reading ---- */

/* All lines of the file, or false where one of them has a mistake: all of these are logged. */
static bool
parse_lines(List *tokenized, List **parsed)
{
	bool		valid = true;
	ListCell   *cell;

	*parsed = NIL;
	foreach(cell, tokenized)
	{
		TokenizedAuthLine *line = lfirst(cell);
		HbaLine    *hba = line->err_msg != NULL ? NULL : parse_hba_line(line, LOG);

		if (hba == NULL)
			valid = false;
		else
			*parsed = lappend(*parsed, hba);
	}
	return valid && *parsed != NIL;
}

void
sluice_hba_load(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "sluice hba", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	MemoryContext tokens;
	List	   *tokenized = NIL;
	List	   *parsed = NIL;
	FILE	   *file = AllocateFile(HbaFileName, "r");
	bool		valid = false;

	if (file == NULL)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open configuration file \"%s\": %m", HbaFileName)));
	else
	{
		tokens = tokenize_auth_file(HbaFileName, file, &tokenized, LOG);
		FreeFile(file);
		valid = parse_lines(tokenized, &parsed);
		MemoryContextDelete(tokens);
	}
	MemoryContextSwitchTo(old);
	if (!valid)
	{
		ereport(LOG,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("gRPC clients are judged by what was read of \"%s\" before: it has mistakes", HbaFileName)));
		MemoryContextDelete(context);
		return;
	}
	if (lines_context != NULL)
		MemoryContextDelete(lines_context);
	lines_context = context;
	lines = parsed;
}

/* ---- matching ---- */

static bool
is_keyword(const AuthToken *token, const char *keyword)
{
	return !token->quoted && strcmp(token->string, keyword) == 0;
}

static bool
is_member(Oid role_id, const char *group)
{
	Oid			group_id;

	if (!OidIsValid(role_id))
		return false;
	group_id = get_role_oid(group, true);
	return OidIsValid(group_id) && is_member_of_role_nosuper(role_id, group_id);
}

static bool
database_matches(const SluiceHbaQuery *query, List *tokens)
{
	ListCell   *cell;

	foreach(cell, tokens)
	{
		const AuthToken *token = lfirst(cell);

		if (is_keyword(token, "all"))
			return true;
		if (is_keyword(token, "replication"))
			continue;
		if (is_keyword(token, "sameuser"))
		{
			if (strcmp(query->database, query->role) == 0)
				return true;
		}
		else if (is_keyword(token, "samegroup") || is_keyword(token, "samerole"))
		{
			if (is_member(query->role_id, query->database))
				return true;
		}
		else if (strcmp(token->string, query->database) == 0)
			return true;
	}
	return false;
}

static bool
role_matches(const SluiceHbaQuery *query, List *tokens)
{
	ListCell   *cell;

	foreach(cell, tokens)
	{
		const AuthToken *token = lfirst(cell);

		if (!token->quoted && token->string[0] == '+')
		{
			if (is_member(query->role_id, token->string + 1))
				return true;
		}
		else if (is_keyword(token, "all") || strcmp(token->string, query->role) == 0)
			return true;
	}
	return false;
}

/* Our own interfaces, for samehost and samenet. */
typedef struct Interfaces
{
	const struct sockaddr_storage *address;
	IPCompareMethod method;
	bool		matches;
} Interfaces;

static bool
in_range(const struct sockaddr_storage *address, const struct sockaddr_storage *from, const struct sockaddr_storage *mask)
{
	return address->ss_family == from->ss_family && pg_range_sockaddr(address, from, mask);
}

static void
look_at_interface(struct sockaddr *address, struct sockaddr *netmask, void *argument)
{
	Interfaces *interfaces = argument;
	struct sockaddr_storage mask;

	if (interfaces->matches || address->sa_family != interfaces->address->ss_family)
		return;
	if (interfaces->method == ipCmpSameHost)
	{
		pg_sockaddr_cidr_mask(&mask, NULL, address->sa_family);
		interfaces->matches = in_range(interfaces->address, (struct sockaddr_storage *) address, &mask);
	}
	else
		interfaces->matches = in_range(interfaces->address, (struct sockaddr_storage *) address,
									   (struct sockaddr_storage *) netmask);
}

static bool
is_near(const SluiceHbaQuery *query, IPCompareMethod method)
{
	Interfaces	interfaces = {.address = &query->login->address,.method = method};

	errno = 0;
	if (pg_foreach_ifaddr(look_at_interface, &interfaces) < 0)
		ereport(LOG,
				(errmsg("error enumerating network interfaces: %m")));
	return interfaces.matches;
}

/* ".example.com" matches all that ends so. */
static bool
host_matches(const char *pattern, const char *host)
{
	size_t		pattern_length = strlen(pattern);
	size_t		length = strlen(host);

	if (length == 0)
		return false;
	if (pattern[0] == '.')
		return length >= pattern_length && pg_strcasecmp(pattern, host + (length - pattern_length)) == 0;
	return pg_strcasecmp(pattern, host) == 0;
}

typedef enum AddressMatch
{
	ADDRESS_DIFFERS,
	ADDRESS_MATCHES,
	ADDRESS_UNDECIDED			/* the name of the host is not known */
} AddressMatch;

static AddressMatch
address_matches(const SluiceHbaQuery *query, const HbaLine *line)
{
	const SluiceLogin *login = query->login;

	switch (line->ip_cmp_method)
	{
		case ipCmpAll:
			return ADDRESS_MATCHES;
		case ipCmpSameHost:
		case ipCmpSameNet:
			return is_near(query, line->ip_cmp_method) ? ADDRESS_MATCHES : ADDRESS_DIFFERS;
		case ipCmpMask:
			if (line->hostname == NULL)
				return in_range(&login->address, &line->addr, &line->mask) ? ADDRESS_MATCHES : ADDRESS_DIFFERS;
			if (login->host == NULL)
				return ADDRESS_UNDECIDED;
			return host_matches(line->hostname, login->host) ? ADDRESS_MATCHES : ADDRESS_DIFFERS;
	}
	return ADDRESS_DIFFERS;
}

static bool
connection_matches(const SluiceLogin *login, const HbaLine *line)
{
	bool		local = login->address.ss_family == AF_UNIX;

	if ((line->conntype == ctLocal) != local)
		return false;
	switch (line->conntype)
	{
		case ctHostSSL:
			return login->tls;
		case ctHostNoSSL:
			return !login->tls;
		case ctHostGSS:
			return false;
		default:
			return true;
	}
}

SluiceHbaResult
sluice_hba_match(const SluiceHbaQuery *query, const HbaLine **line)
{
	ListCell   *cell;

	if (lines_context == NULL)
		return SLUICE_HBA_UNREAD;
	foreach(cell, lines)
	{
		HbaLine    *candidate = lfirst(cell);
		AddressMatch match = ADDRESS_MATCHES;

		if (!connection_matches(query->login, candidate))
			continue;
		if (candidate->conntype != ctLocal)
			match = address_matches(query, candidate);
		if (match == ADDRESS_DIFFERS || !database_matches(query, candidate->databases) ||
			!role_matches(query, candidate->roles))
			continue;
		if (match == ADDRESS_UNDECIDED)
			return SLUICE_HBA_WANTS_HOST;
		*line = candidate;
		return SLUICE_HBA_FOUND;
	}
	return SLUICE_HBA_NONE;
}
