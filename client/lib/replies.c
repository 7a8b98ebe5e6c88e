/*
 * replies.c
 *		What a program said about the rows of one activation, until it is sent.
 */
#include "replies.h"

#include <stdlib.h>
#include <string.h>

#include "../clock.h"

#define ACK_INTERVAL (5 * SLUICE_MILLISECOND)

static void
drop_nacks(SluiceReplies *replies)
{
	while (replies->first_nack != NULL)
	{
		SluiceNack *nack = replies->first_nack;

		replies->first_nack = nack->next;
		free(nack);
	}
	replies->last_nack = &replies->first_nack;
}

void
sluice_replies_begin(SluiceReplies *replies, int64_t position)
{
	drop_nacks(replies);
	replies->has_start = false;
	replies->has_ack = false;
	replies->acked_any = false;
	replies->acked = position;
	replies->sent = position;
	replies->nredriven = 0;
	replies->ndone = 0;
}

void
sluice_replies_release(SluiceReplies *replies)
{
	drop_nacks(replies);
	free(replies->redriven);
	memset(replies, 0, sizeof(*replies));
}

bool
sluice_replies_reserve(SluiceReplies *replies, uint64_t number, int64_t redrive)
{
	if (replies->nredriven == replies->room)
	{
		size_t		room = replies->room * 2 + 64;
		SluiceRedrivenRow *larger = realloc(replies->redriven, room * sizeof(SluiceRedrivenRow));

		if (larger == NULL)
			return false;
		replies->redriven = larger;
		replies->room = room;
	}
	replies->redriven[replies->nredriven++] = (SluiceRedrivenRow) {number, redrive};
	return true;
}

void
sluice_replies_ack(SluiceReplies *replies, int64_t offset, uint64_t number)
{
	replies->acked_any = true;
	if (offset > replies->acked)
	{
		replies->acked = offset;
		replies->has_ack = true;
	}
	while (replies->ndone < replies->nredriven && replies->redriven[replies->ndone].number <= number)
	{
		replies->ndone++;
		replies->has_ack = true;
	}
}

/* It was given back, and is acknowledged no more. */
static void
forget_redriven(SluiceReplies *replies, int64_t redrive)
{
	for (size_t i = replies->ndone; i < replies->nredriven; i++)
	{
		if (replies->redriven[i].redrive != redrive)
			continue;
		replies->nredriven--;
		memmove(&replies->redriven[i], &replies->redriven[i + 1], (replies->nredriven - i) * sizeof(SluiceRedrivenRow));
		return;
	}
}

/* At most as much as the server keeps, behind a whole character. */
static size_t
reason_length(const char *reason)
{
	size_t		length = strnlen(reason, SLUICE_SUBSCRIPTION_REASON_MAX + 1);

	if (length <= SLUICE_SUBSCRIPTION_REASON_MAX)
		return length;
	length = SLUICE_SUBSCRIPTION_REASON_MAX;
	while (length > 0 && ((unsigned char) reason[length]) >> 6 == 2)
		length--;
	return length;
}

bool
sluice_replies_nack(SluiceReplies *replies, const sluice_row *row, const char *reason)
{
	size_t		length = reason != NULL ? reason_length(reason) : 0;
	SluiceNack *nack = malloc(sizeof(SluiceNack) + length + 1);

	if (nack == NULL)
		return false;
	nack->next = NULL;
	nack->offset = row->offset;
	nack->redrive = row->redrive;
	memcpy(nack->reason, reason != NULL ? reason : "", length);
	nack->reason[length] = '\0';
	*replies->last_nack = nack;
	replies->last_nack = &nack->next;
	if (row->redrive != 0)
		forget_redriven(replies, row->redrive);
	return true;
}

static void
take_ack(SluiceReplies *replies, int64_t now, SluiceReply *reply)
{
	size_t		count = replies->ndone < SLUICE_SUBSCRIPTION_REDRIVEN_MAX ? replies->ndone :
		SLUICE_SUBSCRIPTION_REDRIVEN_MAX;

	reply->kind = SLUICE_REPLY_ACKNOWLEDGE;
	reply->offset = replies->acked > replies->sent ? replies->acked : 0;
	for (size_t i = 0; i < count; i++)
		reply->redriven[i] = replies->redriven[i].redrive;
	reply->nredriven = count;
	replies->ndone -= count;
	replies->nredriven -= count;
	if (count > 0)
		memmove(replies->redriven, replies->redriven + count, replies->nredriven * sizeof(SluiceRedrivenRow));
	replies->has_ack = replies->ndone > 0;
	replies->sent = replies->acked;
	replies->sent_at = now;
}

static void
take_nack(SluiceReplies *replies, SluiceReply *reply)
{
	SluiceNack *nack = replies->first_nack;

	reply->kind = SLUICE_REPLY_NACK;
	reply->offset = nack->offset;
	reply->redrive = nack->redrive;
	strcpy(reply->reason, nack->reason);
	replies->first_nack = nack->next;
	if (replies->first_nack == NULL)
		replies->last_nack = &replies->first_nack;
	free(nack);
}

bool
sluice_replies_take(SluiceReplies *replies, int64_t now, bool hurry, SluiceReply *reply, int64_t *due)
{
	*due = SLUICE_NEVER;
	if (replies->has_start)
	{
		replies->has_start = false;
		reply->kind = SLUICE_REPLY_START;
		reply->has_token = replies->start_has_token;
		reply->accept_fork = replies->accept_fork;
		reply->token = replies->token;
		return true;
	}
	if (replies->has_ack)
	{
		*due = replies->sent_at + ACK_INTERVAL;
		if (!hurry && replies->first_nack == NULL && now < *due)
			return false;
		take_ack(replies, now, reply);
		return true;
	}
	if (replies->first_nack == NULL)
		return false;
	take_nack(replies, reply);
	return true;
}
