/*
 * gate.c
 *		Who may come in: pg_hba.conf, passwords, certificates and what the role is allowed.
 *
 * A client is judged in a transaction of its own (judgement.c).  What that cannot decide at
 * once is done in a thread beside: comparing a password with a SCRAM secret, some
 * milliseconds of computing, in one thread; looking up the name of an address,
 * which may take as long as it likes, in another one (lookup.h).  Then it is judged again.
 *
 * Whoever guesses passwords pays, not the worker: of one address no more than PER_ADDRESS
 * clients are compared at a time, in their order, and a wrong password is told FAILURE_US
 * later and keeps its place until then.  Of those that wait for a place there are no more
 * than WAITING_PER_ADDRESS either, for they are calls: and nobody waits that has left.
 *
 * An open call is judged again, by what was found of its password when it began, when the
 * configuration was reloaded or the roles or databases of the server were changed.
 */
#include "postgres.h"

#include "gate.h"

#include "attempt.h"
#include "common/saslprep.h"
#include "common/scram-common.h"
#include "errand.h"
#include "hba.h"
#include "ident.h"
#include "judgement.h"
#include "lib/ilist.h"
#include "lookup.h"
#include "origin.h"
#include "postmaster/postmaster.h"
#include "refusal.h"
#include "settlement.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define PER_ADDRESS 4
#define WAITING_PER_ADDRESS 256
#define FAILURE_US USECS_PER_SEC

/* Open calls are not checked more often than that, whatever is altered. */
#define CHECK_INTERVAL_US (100 * INT64CONST(1000))

/* Those that wait are looked through for who has left. */
#define SWEEP_INTERVAL_US (100 * INT64CONST(1000))

/* Lines about clients that were turned away, or could not be judged, a second. */
#define LOG_LINES 20

/* An address that passwords are compared for. */
typedef struct Origin
{
	SluiceOrigin key;			/* hash key */
	int			busy;			/* of them, at most PER_ADDRESS */
	dlist_head	waiting;		/* Applicants */
	int			nwaiting;		/* of them, at most WAITING_PER_ADDRESS */
} Origin;

/* A client whose password is to be compared. */
typedef struct Applicant
{
	SluiceErrand errand;		/* first, for the casts */
	dlist_node	node;			/* of its origin's waiting, or of the gate's failed */
	SluiceJudgement judgement;
	Origin	   *origin;
	char	   *password;		/* malloc'ed; as it was sent, until its turn comes */
	bool		fits;
	int64		begun_at;
	int64		answer_at;
} Applicant;

struct SluiceGate
{
	SluiceNetwork *network;
	SluiceGateAdmit admit;
	void	   *argument;
	SluiceErrands *secrets;		/* NULL until the first one */
	SluiceLookups *lookups;		/* the same */
	HTAB	   *origins;
	dlist_head	failed;			/* Applicants with a wrong password, by answer_at */
	int			applicants;
	int			waiting;		/* of them, for a place of their address */
	int64		sweep_at;
	int64		check_at;
	const char *drain_message;	/* NULL: not draining */
	bool		suspects_drop;
	MemoryContext context;		/* of one turn */
	int64		log_second;
	int			log_lines;
};

/* Roles, memberships, or databases were altered. */
static bool suspicious = false;

static void
catalog_changed(Datum arg, int cacheid, uint32 hash)
{
	suspicious = true;
}

SluiceGate *
sluice_gate_create(SluiceNetwork *network, SluiceGateAdmit admit, void *argument)
{
	SluiceGate *gate = MemoryContextAllocZero(TopMemoryContext, sizeof(*gate));
	HASHCTL		control = {.keysize = sizeof(SluiceOrigin),.entrysize = sizeof(Origin)};

	gate->network = network;
	gate->admit = admit;
	gate->argument = argument;
	gate->origins = hash_create("sluice origins", 64, &control, HASH_ELEM | HASH_BLOBS);
	gate->context = AllocSetContextCreate(TopMemoryContext, "sluice gate", ALLOCSET_DEFAULT_SIZES);
	dlist_init(&gate->failed);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, catalog_changed, (Datum) 0);
	sluice_hba_load();
	sluice_ident_load();
	return gate;
}

/* ---- what is said ---- */

/* A client can have lines written: not too many. */
static bool
may_log(SluiceGate *gate)
{
	int64		second = sluice_settlement_clock() / USECS_PER_SEC;

	if (second != gate->log_second)
	{
		gate->log_second = second;
		gate->log_lines = 0;
	}
	return gate->log_lines++ < LOG_LINES;
}

static void
log_refusal(SluiceGate *gate, const SluiceJudgement *judgement)
{
	char	   *message = sluice_settlement_printable(pstrdup(judgement->refusal.message));

	if (!may_log(gate))
		return;
	ereport(LOG,
			(errmsg("gRPC client at %s was turned away: %s", judgement->record->sender->address, message),
			 judgement->hba_line == 0 ? 0 :
			 errdetail("It matched line %d of pg_hba.conf.", judgement->hba_line)));
}

static void
turn_away(SluiceGate *gate, const SluiceJudgement *judgement)
{
	log_refusal(gate, judgement);
	sluice_refuse_for(gate->network, judgement->record, &judgement->refusal);
}

/* Nothing of the password stays. */
static void
forget_password(SluiceRecord *record)
{
	SluiceLogin *login = record->sender->login;

	sluice_login_forget(login->password);
	login->password = NULL;
}

static void
let_in(SluiceGate *gate, const SluiceJudgement *judgement)
{
	SluiceRecord *record = judgement->record;
	SluiceSender *sender = record->sender;

	forget_password(record);
	if (record->kind != SLUICE_CHECK)
	{
		sender->role = judgement->role;
		sender->login->proven = judgement->proven;
		gate->admit(gate->argument, record);
		return;
	}
	if (sender->role != judgement->role)
	{
		sluice_refuse(gate->network, record, SLUICE_STATUS_UNAVAILABLE, "the role of this call is another one now: open it again");
		return;
	}
	record->verdict = SLUICE_OPENED;
	sluice_network_deliver(gate->network, &record, 1);
}

/* ---- threads beside ---- */

static SluiceErrands *
start_thread(SluiceGate *gate, const char *name)
{
	SluiceErrands *errands = sluice_errands_start(name, sluice_network_wakeup_fd(gate->network));

	if (errands == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a thread for clients that log in: %m")));
	return errands;
}

static bool
has_left(const Applicant *applicant)
{
	return atomic_load(&applicant->judgement.record->sender->gone);
}

static void
compare(SluiceErrand *errand)
{
	Applicant  *applicant = (Applicant *) errand;

	applicant->fits = !has_left(applicant) &&
		sluice_secret_fits(&applicant->judgement.secret, applicant->password) &&
		applicant->judgement.secret_known;
}

static Applicant *
new_applicant(SluiceGate *gate, const SluiceJudgement *judgement)
{
	Applicant  *applicant = MemoryContextAllocZero(TopMemoryContext, sizeof(*applicant));

	applicant->errand.run = compare;
	applicant->judgement = *judgement;
	applicant->begun_at = sluice_settlement_clock();
	gate->applicants++;
	return applicant;
}

static void
free_applicant(SluiceGate *gate, Applicant *applicant)
{
	sluice_login_forget(applicant->password);
	pfree(applicant);
	gate->applicants--;
}

/* As a client would have normalized it, which takes its time with a long one: so not before it has its turn. */
static void
normalize(Applicant *applicant)
{
	char	   *prepared;
	char	   *copy;

	if (pg_saslprep(applicant->password, &prepared) != SASLPREP_SUCCESS)
		return;
	copy = strdup(prepared);
	if (copy == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	sluice_login_forget(applicant->password);
	applicant->password = copy;
}

static void
give_place(SluiceGate *gate, Applicant *applicant)
{
	applicant->origin->busy++;
	normalize(applicant);
	sluice_errands_add(gate->secrets, &applicant->errand);
}

static void
refuse_crowd(SluiceGate *gate, SluiceRecord *record)
{
	sluice_refuse(gate->network, record, SLUICE_STATUS_RESOURCE_EXHAUSTED,
				  "too many clients of this address are logging in: try again later");
}

static Origin *
origin_of(SluiceGate *gate, const struct sockaddr_storage *address)
{
	SluiceOrigin key = sluice_origin_of(address);
	bool		found;
	Origin	   *origin = hash_search(gate->origins, &key, HASH_ENTER, &found);

	if (!found)
	{
		origin->busy = origin->nwaiting = 0;
		dlist_init(&origin->waiting);
	}
	return origin;
}

static void
begin_comparing(SluiceGate *gate, const SluiceJudgement *judgement)
{
	SluiceLogin *login = judgement->record->sender->login;
	Origin	   *origin = origin_of(gate, &login->address);
	Applicant  *applicant;

	if (origin->nwaiting == WAITING_PER_ADDRESS)
	{
		refuse_crowd(gate, judgement->record);
		return;
	}
	if (gate->secrets == NULL)
		gate->secrets = start_thread(gate, "sluice secrets");
	applicant = new_applicant(gate, judgement);
	applicant->origin = origin;
	applicant->password = login->password;
	login->password = NULL;
	if (origin->busy < PER_ADDRESS)
	{
		give_place(gate, applicant);
		return;
	}
	dlist_push_tail(&origin->waiting, &applicant->node);
	origin->nwaiting++;
	gate->waiting++;
}

static void
begin_looking_up(SluiceGate *gate, const SluiceJudgement *judgement)
{
	if (gate->lookups == NULL)
		gate->lookups = sluice_lookups_create(start_thread(gate, "sluice hosts"));
	if (!sluice_lookups_add(gate->lookups, judgement->record, judgement->proven))
		refuse_crowd(gate, judgement->record);
}

/* ---- judging ---- */

static bool
is_moot(SluiceGate *gate, SluiceRecord *record)
{
	if (atomic_load(&record->sender->gone))
		sluice_refuse(gate->network, record, SLUICE_STATUS_UNAVAILABLE, "the client has left");
	else if (gate->drain_message != NULL)
		sluice_refuse(gate->network, record, SLUICE_STATUS_UNAVAILABLE, gate->drain_message);
	else
		return false;
	return true;
}

static void
judge(SluiceGate *gate, SluiceRecord *record, bool proven)
{
	SluiceJudgement judgement = {.record = record,.proven = proven};
	SluiceFailure failure;

	if (is_moot(gate, record))
		return;
	if (!sluice_attempt(sluice_judgement_step, &judgement, &failure))
	{
		gate->suspects_drop = true;
		if (may_log(gate))
			ereport(LOG,
					(errcode(failure.sqlstate),
					 errmsg("could not look up the role of a client: %s", failure.message)));
		sluice_refuse(gate->network, record, SLUICE_STATUS_UNAVAILABLE,
					  psprintf("the role could not be looked up (SQLSTATE %s), open the call again", unpack_sql_state(failure.sqlstate)));
		return;
	}
	switch (judgement.sentence)
	{
		case SLUICE_ADMITTED:
			let_in(gate, &judgement);
			break;
		case SLUICE_TURNED_AWAY:
			turn_away(gate, &judgement);
			break;
		case SLUICE_WRONG_PASSWORD:
			/* With an MD5 password the comparing is quick: it takes the same way, and as long, all the same. */
			judgement.secret_known = false;
			judgement.secret.iterations = SCRAM_DEFAULT_ITERATIONS;
			begin_comparing(gate, &judgement);
			break;
		case SLUICE_WANTS_HOST:
			begin_looking_up(gate, &judgement);
			break;
		case SLUICE_WANTS_PASSWORD:
			begin_comparing(gate, &judgement);
			break;
	}
}

void
sluice_gate_add(SluiceGate *gate, SluiceRecord *record)
{
	judge(gate, record, record->sender->login->proven);
}

/* ---- a turn ---- */

static void
stop_waiting(SluiceGate *gate, Applicant *applicant)
{
	dlist_delete(&applicant->node);
	applicant->origin->nwaiting--;
	gate->waiting--;
}

/* It is settled: the next one of its address may be compared. */
static void
leave_origin(SluiceGate *gate, Origin *origin)
{
	origin->busy--;
	if (!dlist_is_empty(&origin->waiting))
	{
		Applicant  *next = dlist_head_element(Applicant, node, &origin->waiting);

		stop_waiting(gate, next);
		give_place(gate, next);
	}
	else if (origin->busy == 0)
		(void) hash_search(gate->origins, &origin->key, HASH_REMOVE, NULL);
}

static void
take_compared(SluiceGate *gate)
{
	Applicant  *applicant;

	while (gate->secrets != NULL && (applicant = (Applicant *) sluice_errands_take(gate->secrets)) != NULL)
	{
		if (!applicant->fits)
		{
			applicant->answer_at = sluice_settlement_clock() + FAILURE_US;
			dlist_push_tail(&gate->failed, &applicant->node);
			continue;
		}
		leave_origin(gate, applicant->origin);
		judge(gate, applicant->judgement.record, true);
		free_applicant(gate, applicant);
	}
}

static void
take_looked_up(SluiceGate *gate)
{
	SluiceRecord *record;
	bool		proven;

	while (gate->lookups != NULL && (record = sluice_lookups_take(gate->lookups, &proven)) != NULL)
		judge(gate, record, proven);
}

static void
answer_failed(SluiceGate *gate)
{
	int64		now = sluice_settlement_clock();

	while (!dlist_is_empty(&gate->failed))
	{
		Applicant  *applicant = dlist_head_element(Applicant, node, &gate->failed);

		if (applicant->answer_at > now && gate->drain_message == NULL)
			break;
		dlist_delete(&applicant->node);
		sluice_judgement_wrong_password(&applicant->judgement);
		turn_away(gate, &applicant->judgement);
		leave_origin(gate, applicant->origin);
		free_applicant(gate, applicant);
	}
}

static bool
has_waited_long(int64 begun_at)
{
	return sluice_settlement_clock() - begun_at >= AuthenticationTimeout * USECS_PER_SEC;
}

/* For sluice_lookups_sweep(). */
static bool
settle_lookup(void *argument, SluiceRecord *record, int64 begun_at)
{
	SluiceGate *gate = argument;

	if (is_moot(gate, record))
		return true;
	if (!has_waited_long(begun_at))
		return false;
	sluice_refuse(gate->network, record, SLUICE_STATUS_UNAVAILABLE, "looking up the name of the client's address takes too long: try again later");
	return true;
}

static bool
anybody_waits(const SluiceGate *gate)
{
	return gate->waiting > 0 || (gate->lookups != NULL && sluice_lookups_pending(gate->lookups));
}

/* Whoever waits is a call that nobody else can have: not longer than its client does, and than the server would. */
static void
sweep_waiting(SluiceGate *gate, int64 now)
{
	HASH_SEQ_STATUS status;
	Origin	   *origin;

	if (!anybody_waits(gate) || now < gate->sweep_at)
		return;
	gate->sweep_at = now + SWEEP_INTERVAL_US;
	if (gate->lookups != NULL)
		sluice_lookups_sweep(gate->lookups, settle_lookup, gate);
	hash_seq_init(&status, gate->origins);
	while ((origin = hash_seq_search(&status)) != NULL)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, &origin->waiting)
		{
			Applicant  *applicant = dlist_container(Applicant, node, iter.cur);

			if (!is_moot(gate, applicant->judgement.record))
			{
				if (!has_waited_long(applicant->begun_at))
					continue;
				refuse_crowd(gate, applicant->judgement.record);
			}
			stop_waiting(gate, applicant);
			free_applicant(gate, applicant);
		}
	}
}

void
sluice_gate_turn(SluiceGate *gate)
{
	MemoryContext old = MemoryContextSwitchTo(gate->context);
	int64		now = sluice_settlement_clock();

	take_compared(gate);
	take_looked_up(gate);
	sweep_waiting(gate, now);
	answer_failed(gate);
	if (suspicious && now >= gate->check_at && gate->drain_message == NULL)
	{
		suspicious = false;
		gate->check_at = now + CHECK_INTERVAL_US;
		sluice_network_check(gate->network);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(gate->context);
}

int64
sluice_gate_next(const SluiceGate *gate)
{
	int64		next = suspicious && gate->drain_message == NULL ? gate->check_at : PG_INT64_MAX;

	if (anybody_waits(gate))
		next = Min(next, gate->sweep_at);
	if (gate->failed.head.next != &gate->failed.head)
		next = Min(next, dlist_container(Applicant, node, gate->failed.head.next)->answer_at);
	return next;
}

void
sluice_gate_reload(SluiceGate *gate)
{
	sluice_hba_load();
	sluice_ident_load();
	suspicious = true;
	gate->check_at = 0;
}

/* ---- the end ---- */

void
sluice_gate_drain(SluiceGate *gate, const char *message)
{
	gate->drain_message = message;
	gate->sweep_at = 0;
}

bool
sluice_gate_done(const SluiceGate *gate)
{
	return gate->applicants == 0 && (gate->lookups == NULL || !sluice_lookups_pending(gate->lookups));
}

bool
sluice_gate_suspects_drop(SluiceGate *gate)
{
	bool		suspects = gate->suspects_drop;

	gate->suspects_drop = false;
	return suspects;
}

/* A look-up of a name may take long; that thread touches nothing of the process's end and is left. */
void
sluice_gate_stop(SluiceGate *gate)
{
	if (gate->secrets != NULL)
		sluice_errands_stop(gate->secrets);
	gate->secrets = NULL;
}
