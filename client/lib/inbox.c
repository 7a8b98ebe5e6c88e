/*
 * inbox.c
 *		Rows on their way from the subscriber's thread to the program, and what the program says about them.
 */
#include "inbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "replies.h"
#include "sluice.pb-c.h"

/* A message of rows, or an event. */
typedef struct Entry
{
	struct Entry *next;
	uint64_t	generation;
	sluice_event event;
	sluice_encoding encoding;
	uint64_t	epoch;
	int64_t		offset;			/* event */
	int64_t		previous;		/* rows: what the next one of them follows */
	sluice_token token;
	SluiceWire	rows;			/* those that were not handed out */
	size_t		length;
	uint8_t		bytes[];
} Entry;

struct SluiceInbox
{
	const SluiceSettings *settings;
	pthread_mutex_t lock;
	pthread_cond_t arrived;		/* or stopped, or ended, or nobody is in next() any more */
	void		(*ready) (void *argument);
	void	   *ready_argument;

	Entry	   *first;
	Entry	  **last;
	Entry	   *current;		/* whose rows are being handed out; not in the list */
	size_t		bytes;			/* of all of them */
	int			takers;			/* in next() */
	bool		stopped;
	int			error;			/* it will not go on */

	/* the activation */
	uint64_t	generation;		/* what has another one is void */
	uint64_t	epoch;			/* 0: not active */
	bool		answers;		/* rows are to be acknowledged */
	bool		keeps;			/* at_most_once: nothing is void */
	bool		given_back;		/* a row was: the next activation is waited for */
	bool		awaits_start;
	bool		caught_up;
	bool		impatient;		/* the program waits, and what it said is not sent yet */
	sluice_encoding encoding;
	SluiceReplies replies;

	int64_t		owed;			/* acknowledged through here on a connection that was lost; 0: the server has it */
	int64_t		taken;			/* the last offset that was handed out, or the position */
	bool		knows;			/* there is such a one */
	uint64_t	number;
	sluice_consumption counted;
};

SluiceInbox *
sluice_inbox_create(const SluiceSettings *settings)
{
	SluiceInbox *inbox = calloc(1, sizeof(SluiceInbox));
	pthread_condattr_t attributes;

	if (inbox == NULL)
		return NULL;
	inbox->settings = settings;
	inbox->last = &inbox->first;
	sluice_replies_begin(&inbox->replies, 0);
	pthread_mutex_init(&inbox->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&inbox->arrived, &attributes);
	pthread_condattr_destroy(&attributes);
	return inbox;
}

/* ---- with the lock held ---- */

static void
make_ready(SluiceInbox *inbox)
{
	if (inbox->ready != NULL)
		inbox->ready(inbox->ready_argument);
}

static bool
is_full(const SluiceInbox *inbox)
{
	return inbox->bytes >= inbox->settings->memory;
}

static void
drop_entry(SluiceInbox *inbox, Entry *entry)
{
	bool		was_full = is_full(inbox);

	inbox->bytes -= sizeof(Entry) + entry->length;
	free(entry);
	if (was_full && !is_full(inbox))
		make_ready(inbox);
}

static void
drop_all(SluiceInbox *inbox)
{
	while (inbox->first != NULL)
	{
		Entry	   *entry = inbox->first;

		inbox->first = entry->next;
		drop_entry(inbox, entry);
	}
	inbox->last = &inbox->first;
}

/* What came before counts no more.  What is being handed out goes with the next call for a row. */
static void
make_void(SluiceInbox *inbox)
{
	inbox->caught_up = false;
	if (inbox->keeps)
		return;
	inbox->generation++;
	drop_all(inbox);
}

static bool
lies_ready(const SluiceInbox *inbox)
{
	return inbox->first != NULL ||
		(inbox->current != NULL && inbox->current->generation == inbox->generation &&
		 inbox->current->rows.at < inbox->current->rows.end);
}

/* ---- the subscriber's thread ---- */

void
sluice_inbox_free(SluiceInbox *inbox)
{
	drop_all(inbox);
	if (inbox->current != NULL)
		drop_entry(inbox, inbox->current);
	sluice_replies_release(&inbox->replies);
	pthread_cond_destroy(&inbox->arrived);
	pthread_mutex_destroy(&inbox->lock);
	free(inbox);
}

void
sluice_inbox_on_ready(SluiceInbox *inbox, void (*ready) (void *argument), void *argument)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->ready = ready;
	inbox->ready_argument = argument;
	pthread_mutex_unlock(&inbox->lock);
}

static Entry *
make_entry(const SluiceResponse *response)
{
	static const sluice_event events[] = {
		[SLUICE_RESPONSE_STANDBY] = SLUICE_EVENT_STANDBY,
		[SLUICE_RESPONSE_ACTIVE] = SLUICE_EVENT_ACTIVE,
		[SLUICE_RESPONSE_ROWS] = SLUICE_EVENT_ROW,
		[SLUICE_RESPONSE_CAUGHT_UP] = SLUICE_EVENT_CAUGHT_UP
	};
	size_t		length = (size_t) (response->rows.end - response->rows.at);
	Entry	   *entry = malloc(sizeof(Entry) + length);

	if (entry == NULL)
		return NULL;
	memset(entry, 0, sizeof(Entry));
	entry->event = events[response->kind];
	entry->epoch = response->epoch;
	entry->offset = response->offset;
	entry->previous = response->previous;
	entry->token = response->token;
	entry->length = length;
	if (length > 0)
		memcpy(entry->bytes, response->rows.at, length);
	entry->rows = (SluiceWire) {entry->bytes, entry->bytes + length};
	return entry;
}

static bool
is_wanted(const SluiceInbox *inbox, SluiceResponseKind kind)
{
	return kind == SLUICE_RESPONSE_ROWS || inbox->settings->events ||
		(kind == SLUICE_RESPONSE_ACTIVE && inbox->settings->wants_start);
}

static void
activate(SluiceInbox *inbox, const SluiceResponse *response)
{
	make_void(inbox);
	inbox->epoch = response->epoch;
	inbox->answers = response->guarantee == SLUICE__V1__GUARANTEE__AT_LEAST_ONCE;
	inbox->keeps = response->guarantee == SLUICE__V1__GUARANTEE__AT_MOST_ONCE;
	inbox->encoding = (sluice_encoding) response->encoding;
	inbox->given_back = false;
	inbox->awaits_start = inbox->settings->wants_start;
	inbox->taken = response->offset;
	if (response->offset >= inbox->owed)
		inbox->owed = 0;
	inbox->knows = true;
	sluice_replies_begin(&inbox->replies, response->offset);
	inbox->counted.activations++;
}

static void
append(SluiceInbox *inbox, Entry *entry)
{
	entry->generation = inbox->generation;
	entry->encoding = inbox->encoding;
	*inbox->last = entry;
	inbox->last = &entry->next;
	inbox->bytes += sizeof(Entry) + entry->length;
	pthread_cond_broadcast(&inbox->arrived);
}

bool
sluice_inbox_put(SluiceInbox *inbox, const SluiceResponse *response)
{
	Entry	   *entry = NULL;

	if (is_wanted(inbox, response->kind))
	{
		entry = make_entry(response);
		if (entry == NULL)
			return false;
	}
	pthread_mutex_lock(&inbox->lock);
	if (response->kind == SLUICE_RESPONSE_ACTIVE)
		activate(inbox, response);
	if (inbox->given_back && response->kind != SLUICE_RESPONSE_STANDBY)
		free(entry);
	else
	{
		inbox->caught_up |= response->kind == SLUICE_RESPONSE_CAUGHT_UP;
		if (entry != NULL)
			append(inbox, entry);
	}
	pthread_mutex_unlock(&inbox->lock);
	return true;
}

bool
sluice_inbox_full(SluiceInbox *inbox)
{
	bool		full;

	pthread_mutex_lock(&inbox->lock);
	full = is_full(inbox);
	pthread_mutex_unlock(&inbox->lock);
	return full;
}

bool
sluice_inbox_reply(SluiceInbox *inbox, int64_t now, bool hurry, SluiceReply *reply, int64_t *due)
{
	bool		found;

	pthread_mutex_lock(&inbox->lock);
	hurry = hurry || inbox->impatient || !lies_ready(inbox);
	inbox->impatient = false;
	found = sluice_replies_take(&inbox->replies, now, hurry, reply, due);
	if (found)
	{
		reply->epoch = inbox->epoch;
		inbox->counted.acknowledgements += reply->kind == SLUICE_REPLY_ACKNOWLEDGE;
	}
	pthread_mutex_unlock(&inbox->lock);
	return found;
}

const int64_t *
sluice_inbox_lost(SluiceInbox *inbox, int64_t *resume)
{
	bool		resumes;

	pthread_mutex_lock(&inbox->lock);
	make_void(inbox);
	if (inbox->replies.acked_any && inbox->replies.acked > inbox->owed)
		inbox->owed = inbox->replies.acked;
	inbox->epoch = 0;
	inbox->given_back = false;
	inbox->awaits_start = false;
	sluice_replies_begin(&inbox->replies, inbox->taken);
	resumes = inbox->knows && *inbox->settings->subscription == '\0';
	*resume = inbox->taken;
	pthread_mutex_unlock(&inbox->lock);
	return resumes ? resume : NULL;
}

void
sluice_inbox_end(SluiceInbox *inbox, int error)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->error = error;
	pthread_cond_broadcast(&inbox->arrived);
	pthread_mutex_unlock(&inbox->lock);
}

/* ---- the program: rows ---- */

/* ERROR_TIMEOUT: the current message has no more. */
static int
hand_out(SluiceInbox *inbox, sluice_row *row)
{
	Entry	   *entry = inbox->current;
	SluiceWire	before = entry->rows;

	if (entry->generation != inbox->generation || !sluice_subscription_next_row(&entry->rows, row))
		return SLUICE_ERROR_TIMEOUT;
	if (row->redrive != 0 && inbox->answers && !sluice_replies_reserve(&inbox->replies, inbox->number + 1, row->redrive))
	{
		entry->rows = before;
		return SLUICE_ERROR_MEMORY;
	}
	row->previous = entry->previous;
	if (row->redrive == 0)
		entry->previous = inbox->taken = row->offset;
	row->token = entry->token;
	row->token.offset = entry->previous;
	row->number = ++inbox->number;
	inbox->counted.rows++;
	inbox->counted.bytes += row->payload_length;
	inbox->counted.again += row->attempts > 0;
	return SLUICE_OK;
}

/* The next message becomes the current one.  False: there is none. */
static bool
advance(SluiceInbox *inbox)
{
	if (inbox->current != NULL)
		drop_entry(inbox, inbox->current);
	inbox->current = inbox->first;
	if (inbox->first == NULL)
		return false;
	inbox->first = inbox->first->next;
	if (inbox->first == NULL)
		inbox->last = &inbox->first;
	return true;
}

static void
fill(const Entry *entry, sluice_row *row)
{
	memset(row, 0, sizeof(*row));
	row->event = entry->event;
	row->encoding = entry->encoding;
	row->epoch = entry->epoch;
	row->offset = entry->offset;
	row->token = entry->token;
}

/* ERROR_TIMEOUT: there is nothing now. */
static int
take(SluiceInbox *inbox, sluice_row *row)
{
	if (inbox->stopped)
		return SLUICE_ERROR_CLOSED;
	while (inbox->current != NULL || inbox->first != NULL)
	{
		if (inbox->current != NULL && inbox->current->event == SLUICE_EVENT_ROW)
		{
			int			code;

			fill(inbox->current, row);
			code = hand_out(inbox, row);
			if (code != SLUICE_ERROR_TIMEOUT)
				return code;
		}
		if (advance(inbox) && inbox->current->event != SLUICE_EVENT_ROW)
		{
			fill(inbox->current, row);
			return SLUICE_OK;
		}
	}
	return inbox->error != SLUICE_OK ? inbox->error : SLUICE_ERROR_TIMEOUT;
}

/* False: the time is over. */
static bool
wait(SluiceInbox *inbox, int64_t deadline)
{
	struct timespec time = {deadline / SLUICE_SECOND, deadline % SLUICE_SECOND};

	if (deadline <= sluice_clock_now())
		return false;
	if (inbox->replies.has_ack)
	{
		inbox->impatient = true;
		make_ready(inbox);
	}
	if (deadline == SLUICE_NEVER)
		return pthread_cond_wait(&inbox->arrived, &inbox->lock) == 0;
	return pthread_cond_timedwait(&inbox->arrived, &inbox->lock, &time) == 0;
}

int
sluice_inbox_next(SluiceInbox *inbox, int64_t deadline, sluice_row *row)
{
	int			code;

	pthread_mutex_lock(&inbox->lock);
	inbox->takers++;
	while ((code = take(inbox, row)) == SLUICE_ERROR_TIMEOUT && wait(inbox, deadline))
		continue;
	inbox->takers--;
	if (inbox->takers == 0 && inbox->stopped)
		pthread_cond_broadcast(&inbox->arrived);
	pthread_mutex_unlock(&inbox->lock);
	return code;
}

void
sluice_inbox_stop(SluiceInbox *inbox)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->stopped = true;
	pthread_cond_broadcast(&inbox->arrived);
	pthread_mutex_unlock(&inbox->lock);
}

void
sluice_inbox_close(SluiceInbox *inbox)
{
	sluice_inbox_stop(inbox);
	pthread_mutex_lock(&inbox->lock);
	while (inbox->takers > 0)
		pthread_cond_wait(&inbox->arrived, &inbox->lock);
	pthread_mutex_unlock(&inbox->lock);
}

/* ---- the program: answers ---- */

/* OK: an answer to it can be sent. */
static int
judge(const SluiceInbox *inbox, const sluice_row *row)
{
	if (row->event != SLUICE_EVENT_ROW || row->number == 0 || row->number > inbox->number)
		return SLUICE_ERROR_INVALID;
	return row->epoch == inbox->epoch && !inbox->given_back ? SLUICE_OK : SLUICE_ERROR_STALE;
}

int
sluice_inbox_ack(SluiceInbox *inbox, const sluice_row *row)
{
	int			code;

	pthread_mutex_lock(&inbox->lock);
	code = judge(inbox, row);
	if (code != SLUICE_ERROR_INVALID && !inbox->answers)
		code = SLUICE_OK;
	else if (code == SLUICE_OK)
	{
		bool		had = inbox->replies.has_ack;

		sluice_replies_ack(&inbox->replies, row->redrive != 0 ? row->previous : row->offset, row->number);
		if (inbox->replies.acked >= inbox->owed)
			inbox->owed = 0;
		if (inbox->replies.has_ack && (!had || !lies_ready(inbox)))
			make_ready(inbox);
	}
	pthread_mutex_unlock(&inbox->lock);
	return code;
}

int
sluice_inbox_nack(SluiceInbox *inbox, const sluice_row *row, const char *reason)
{
	int			code;

	pthread_mutex_lock(&inbox->lock);
	code = judge(inbox, row);
	if (!inbox->answers || (code == SLUICE_OK && row->redrive == 0 && row->offset <= inbox->replies.acked))
		code = SLUICE_ERROR_INVALID;
	if (code == SLUICE_OK && !sluice_replies_nack(&inbox->replies, row, reason))
		code = SLUICE_ERROR_MEMORY;
	if (code == SLUICE_OK)
	{
		inbox->counted.nacks++;
		if (row->redrive == 0)
		{
			make_void(inbox);
			inbox->given_back = true;
		}
		make_ready(inbox);
	}
	pthread_mutex_unlock(&inbox->lock);
	return code;
}

int
sluice_inbox_start(SluiceInbox *inbox, const sluice_row *active, const sluice_token *token, bool accept_fork)
{
	int			code = SLUICE_OK;

	pthread_mutex_lock(&inbox->lock);
	if (active->event != SLUICE_EVENT_ACTIVE)
		code = SLUICE_ERROR_INVALID;
	else if (active->epoch != inbox->epoch)
		code = SLUICE_ERROR_STALE;
	else if (!inbox->awaits_start)
		code = SLUICE_ERROR_INVALID;
	else
	{
		SluiceReplies *replies = &inbox->replies;

		inbox->awaits_start = false;
		replies->has_start = true;
		replies->start_has_token = token != NULL;
		replies->accept_fork = accept_fork;
		if (token != NULL)
		{
			replies->token = *token;
			inbox->taken = replies->acked = replies->sent = token->offset;
		}
		make_ready(inbox);
	}
	pthread_mutex_unlock(&inbox->lock);
	return code;
}

/* ---- for those who ask ---- */

bool
sluice_inbox_owes(SluiceInbox *inbox, bool left)
{
	bool		owes;

	pthread_mutex_lock(&inbox->lock);
	owes = inbox->owed > 0 || (inbox->replies.acked_any && !left);
	pthread_mutex_unlock(&inbox->lock);
	return owes;
}

void
sluice_inbox_fill(SluiceInbox *inbox, sluice_consumption *statistics)
{
	pthread_mutex_lock(&inbox->lock);
	*statistics = inbox->counted;
	statistics->caught_up = inbox->caught_up;
	statistics->epoch = inbox->epoch;
	statistics->offset = inbox->taken;
	statistics->acknowledged = inbox->answers ? inbox->replies.acked : inbox->taken;
	statistics->waiting_bytes = inbox->bytes;
	pthread_mutex_unlock(&inbox->lock);
}
