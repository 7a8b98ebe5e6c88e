/*
 * judgement.c
 *		What pg_hba.conf and the role's attributes say about one client.
 *
 * The order is the server's: the line of pg_hba.conf, its method, then whether the role
 * exists, may log in, has a connection left, and may connect to the database.  So is what is told:
 * who guesses does not learn which roles there are.
 *
 * Without a user's name a certificate names the role, where pg_hba.conf goes by certificates for that
 * role.  A client that names none acts as the owner of its stream; it gets in where that role
 * would get in without a password.
 */
#include "postgres.h"

#include "judgement.h"

#include "access.h"
#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "common/base64.h"
#include "common/ip.h"
#include "common/scram-common.h"
#include "consumer.h"
#include "hba.h"
#include "ident.h"
#include "libpq/crypt.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "quotas.h"
#include "refusal.h"
#include "refusal_message.h"
#include "storage/procarray.h"
#include "stream.h"
#include "subscription.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "worker_transaction.h"

static void turn_away(SluiceJudgement *judgement, int status, const char *format,...) pg_attribute_printf(3, 4);

static void
turn_away(SluiceJudgement *judgement, int status, const char *format,...)
{
	va_list		args;

	judgement->sentence = SLUICE_TURNED_AWAY;
	judgement->refusal = (SluiceRefusal) {.status = status};
	va_start(args, format);
	sluice_refusal_message(&judgement->refusal, format, args);
	va_end(args);
}

void
sluice_judgement_wrong_password(SluiceJudgement *judgement)
{
	turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED, "password authentication failed for user \"%s\"", judgement->role_name);
	judgement->sentence = SLUICE_WRONG_PASSWORD;
}

/* ---- who it is ---- */

/* The stream that the call is for; NULL: there is none, which is told when the client is in. */
static SluiceStream *
stream_of(const SluiceRecord *record)
{
	const SluiceSender *sender = record->sender;
	const SluiceWish *wish = sender->wish;
	SluiceSubscription row;
	const char *name = wish != NULL && wish->subscription[0] != '\0' ? wish->subscription : sender->stream;

	if (!sluice_worker_installation_settle())
		return NULL;
	/* It is open: another stream may have that name by now. */
	if (sender->stream_id != 0)
		return sluice_stream_by_id(sender->stream_id);
	if (!pg_verify_mbstr(PG_UTF8, name, strlen(name), true))
		return NULL;
	name = pg_any_to_server(name, strlen(name), PG_UTF8);
	if (wish != NULL && wish->subscription[0] != '\0')
	{
		if (sluice_subscription_find(name, &row))
			return sluice_stream_by_id(row.stream_id);
		name = pg_any_to_server(sender->stream, strlen(sender->stream), PG_UTF8);
	}
	return sluice_stream_by_name(name);
}

/* As the server does with the name in a startup packet; what is no text of the database is nobody's name. */
static void
take_name(SluiceJudgement *judgement, const char *utf8)
{
	if (pg_verify_mbstr(PG_UTF8, utf8, strlen(utf8), true))
		strlcpy(judgement->role_name, pg_any_to_server(utf8, strlen(utf8), PG_UTF8), NAMEDATALEN);
	else
		strlcpy(judgement->role_name, "?", NAMEDATALEN);
}

static SluiceHbaResult
match(const SluiceJudgement *judgement, const SluiceLogin *login, Oid role, const HbaLine **line)
{
	SluiceHbaQuery query = {
		.login = login,.database = get_database_name(MyDatabaseId),.role = judgement->role_name,.role_id = role
	};

	return sluice_hba_match(&query, line);
}

static bool
goes_by_certificate(const SluiceJudgement *judgement, const SluiceLogin *login, Oid role)
{
	const HbaLine *line;

	return match(judgement, login, role, &line) == SLUICE_HBA_FOUND && line->clientcert == clientCertFull;
}

/* True: it named a role; else the name is that of the stream's owner, or "". */
static bool
find_name(SluiceJudgement *judgement, const SluiceLogin *login, Oid *role)
{
	const char *name = login->user != NULL ? login->user : login->certificate_cn;
	SluiceStream *stream;

	if (name != NULL)
	{
		take_name(judgement, name);
		*role = get_role_oid(judgement->role_name, true);
		if (login->user != NULL || goes_by_certificate(judgement, login, *role))
			return true;
	}
	*role = InvalidOid;
	judgement->role_name[0] = '\0';
	stream = stream_of(judgement->record);
	if (stream != NULL && SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(stream->owner)))
	{
		strlcpy(judgement->role_name, GetUserNameFromId(stream->owner, false), NAMEDATALEN);
		*role = stream->owner;
	}
	return false;
}

/* ---- methods ---- */

static char *
host_of(const SluiceLogin *login)
{
	char		host[NI_MAXHOST] = "[local]";

	if (login->address.ss_family != AF_UNIX)
		(void) pg_getnameinfo_all(&login->address, login->address.ss_family == AF_INET ? sizeof(struct sockaddr_in) :
								  sizeof(struct sockaddr_in6), host, sizeof(host), NULL, 0, NI_NUMERICHOST);
	return pstrdup(host);
}

/* Who names no role does not learn whose the stream is, nor whether there is one. */
static const char *
told_name(const SluiceJudgement *judgement)
{
	return judgement->named ? judgement->role_name : "";
}

static void
reject(SluiceJudgement *judgement, const SluiceLogin *login, const char *what)
{
	turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED, "%s host \"%s\", user \"%s\", database \"%s\", %s", what, host_of(login),
			  told_name(judgement), get_database_name(MyDatabaseId), login->tls ? "SSL encryption" : "no encryption");
}

static void
want_authorization(SluiceJudgement *judgement)
{
	turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED,
			  "a role and its password are wanted: send the metadata \"authorization: Basic\" with base64 of ROLE:PASSWORD");
}

/* SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY.  (The server's own reader of it is in a header that wants Kerberos's.) */
static bool
read_secret(const char *stored, SluiceSecret *secret)
{
	char		salt[256];
	char		key[64];
	int			salt_length;

	if (sscanf(stored, "SCRAM-SHA-256$%d:%255[^$]$%63[^:]:", &secret->iterations, salt, key) != 3 ||
		pg_b64_dec_len(strlen(salt)) > SLUICE_SECRET_SALT_MAX)
		return false;
	salt_length = pg_b64_decode(salt, strlen(salt), (char *) secret->salt, SLUICE_SECRET_SALT_MAX);
	secret->salt_length = Max(salt_length, 0);
	return secret->iterations > 0 && secret->iterations <= SLUICE_SECRET_ITERATIONS_MAX && salt_length > 0 &&
		pg_b64_decode(key, strlen(key), (char *) secret->stored_key, SLUICE_SECRET_KEY_SIZE) == SLUICE_SECRET_KEY_SIZE;
}

/* It takes as long where there is nothing to compare with. */
static void
want_password(SluiceJudgement *judgement, const char *stored)
{
	judgement->sentence = SLUICE_WANTS_PASSWORD;
	judgement->secret_known = stored != NULL && read_secret(stored, &judgement->secret);
	if (!judgement->secret_known)
		judgement->secret = (SluiceSecret) {.salt_length = SCRAM_DEFAULT_SALT_LEN,.iterations = SCRAM_DEFAULT_ITERATIONS};
}

/* False: it was judged. */
static bool
check_password(SluiceJudgement *judgement, const SluiceLogin *login, bool named, UserAuth method)
{
	const char *detail = NULL;
	char	   *stored;

	if (judgement->proven)
		return true;
	if (!named || login->user == NULL || login->password == NULL)
	{
		want_authorization(judgement);
		return false;
	}
	stored = get_role_password(judgement->role_name, &detail);
	if (stored == NULL || get_password_type(stored) != PASSWORD_TYPE_MD5)
		want_password(judgement, stored);
	else if (method != uaSCRAM && plain_crypt_verify(judgement->role_name, stored, login->password, &detail) == STATUS_OK)
	{
		judgement->proven = true;
		return true;
	}
	else
		sluice_judgement_wrong_password(judgement);
	return false;
}

static bool
check_certificate(SluiceJudgement *judgement, const SluiceLogin *login, const HbaLine *line)
{
	const char *name = line->clientcertname == clientCertDN ? login->certificate_dn : login->certificate_cn;

	if (line->clientcert == clientCertOff)
		return true;
	if (login->certificate_dn == NULL)
	{
		turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED, "connection requires a valid client certificate");
		return false;
	}
	if (line->clientcert != clientCertFull)
		return true;
	if (name != NULL && name[0] != '\0' && pg_verify_mbstr(PG_UTF8, name, strlen(name), true) &&
		sluice_ident_permits(line->usermap, judgement->role_name, pg_any_to_server(name, strlen(name), PG_UTF8)))
		return true;
	turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED, "certificate authentication failed for user \"%s\"", told_name(judgement));
	return false;
}

/* Does it get past the line?  False: it was judged. */
static bool
pass_line(SluiceJudgement *judgement, const SluiceLogin *login, bool named, const HbaLine *line)
{
	judgement->hba_line = line->linenumber;
	switch (line->auth_method)
	{
		case uaTrust:
		case uaCert:
			return check_certificate(judgement, login, line);
		case uaPassword:
		case uaMD5:
		case uaSCRAM:
			return check_certificate(judgement, login, line) && check_password(judgement, login, named, line->auth_method);
		case uaReject:
			reject(judgement, login, "pg_hba.conf rejects connection for");
			return false;
		default:
			turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED,
					  "pg_hba.conf asks for the authentication method \"%s\", which gRPC clients cannot use: "
					  "it takes trust, scram-sha-256, md5, password or cert", hba_authname(line->auth_method));
			return false;
	}
}

static bool
pass_hba(SluiceJudgement *judgement, const SluiceLogin *login, bool named, Oid role)
{
	const HbaLine *line;

	switch (match(judgement, login, role, &line))
	{
		case SLUICE_HBA_FOUND:
			return pass_line(judgement, login, named, line);
		case SLUICE_HBA_NONE:
			reject(judgement, login, "no pg_hba.conf entry for");
			break;
		case SLUICE_HBA_WANTS_HOST:
			judgement->sentence = SLUICE_WANTS_HOST;
			break;
		case SLUICE_HBA_UNREAD:
			turn_away(judgement, SLUICE_STATUS_UNAVAILABLE, "pg_hba.conf could not be read: see the server's log");
			break;
	}
	return false;
}

/* ---- the role ---- */

static bool
check_standing(SluiceJudgement *judgement, Oid role)
{
	switch (sluice_access_standing(role))
	{
		case SLUICE_STANDING_GOOD:
			return true;
		case SLUICE_STANDING_NO_ROLE:
			turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED, "role \"%s\" does not exist", judgement->role_name);
			break;
		case SLUICE_STANDING_NO_LOGIN:
			turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED, "role \"%s\" is not permitted to log in", judgement->role_name);
			break;
		case SLUICE_STANDING_NO_CONNECTIONS:
			turn_away(judgement, SLUICE_STATUS_UNAVAILABLE, "database \"%s\" is not currently accepting connections",
					  get_database_name(MyDatabaseId));
			break;
		case SLUICE_STANDING_NO_CONNECT:
			turn_away(judgement, SLUICE_STATUS_PERMISSION_DENIED, "permission denied for database \"%s\": the role needs CONNECT",
					  get_database_name(MyDatabaseId));
			break;
	}
	return false;
}

/* -1: none */
static int
role_limit(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	int			limit;

	if (!HeapTupleIsValid(tuple))
		return -1;
	limit = ((Form_pg_authid) GETSTRUCT(tuple))->rolconnlimit;
	ReleaseSysCache(tuple);
	return limit;
}

static int
database_limit(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	int			limit;

	if (!HeapTupleIsValid(tuple))
		return -1;
	limit = ((Form_pg_database) GETSTRUCT(tuple))->datconnlimit;
	ReleaseSysCache(tuple);
	return limit;
}

/* Counted first, and taken back where it was one too many: two workers must not both see the last one free. */
static bool
take_place(SluiceQuota **place, uint64 key, int sessions, int limit)
{
	*place = sluice_quotas_take(key);
	if (*place == NULL)
		return false;
	if (sessions + sluice_quotas_count(key) <= limit)
		return true;
	atomic_fetch_sub(&(*place)->calls, 1);
	*place = NULL;
	return false;
}

/* A call counts as a session does; one that is open already has its place. */
static bool
take_quota(SluiceJudgement *judgement, Oid role)
{
	SluiceSender *sender = judgement->record->sender;
	int			limit;

	if (judgement->record->kind == SLUICE_CHECK || superuser_arg(role))
		return true;
	limit = role_limit(role);
	if (limit >= 0 && !take_place(&sender->role_quota, role, CountUserBackends(role), limit))
	{
		turn_away(judgement, SLUICE_STATUS_RESOURCE_EXHAUSTED, "too many connections for role \"%s\": end some, or raise its CONNECTION LIMIT",
				  judgement->role_name);
		return false;
	}
	limit = database_limit();
	if (limit < 0 || take_place(&sender->database_quota, SLUICE_QUOTA_DATABASE(MyDatabaseId), CountDBConnections(MyDatabaseId), limit))
		return true;
	turn_away(judgement, SLUICE_STATUS_RESOURCE_EXHAUSTED, "too many connections for database \"%s\": end some, or raise its CONNECTION LIMIT",
			  get_database_name(MyDatabaseId));
	return false;
}

void
sluice_judgement_step(void *argument)
{
	SluiceJudgement *judgement = argument;
	const SluiceLogin *login = judgement->record->sender->login;
	Oid			role;
	bool		named;

	judgement->hba_line = 0;
	if (login->mistake != NULL)
	{
		turn_away(judgement, SLUICE_STATUS_UNAUTHENTICATED, "%s", login->mistake);
		return;
	}
	judgement->named = named = find_name(judgement, login, &role);
	if (!pass_hba(judgement, login, named, role))
		return;
	/* Without a stream there is nobody to act as: the client is told that there is none. */
	if ((named || OidIsValid(role)) && (!check_standing(judgement, role) || !take_quota(judgement, role)))
		return;
	judgement->role = named ? role : InvalidOid;
	judgement->sentence = SLUICE_ADMITTED;
}
