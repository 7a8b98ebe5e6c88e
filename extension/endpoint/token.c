/*
 * token.c
 *		Tokens: where, and as of which state of which server, rows were delivered.
 */
#include "postgres.h"

#include "token.h"

#include "access/timeline.h"
#include "access/xlog.h"

void
sluice_token_make(SluiceToken *token, const uint8 *stream_uid, int64 offset)
{
	memcpy(token->stream_uid, stream_uid, SLUICE_UID_SIZE);
	token->system_identifier = GetSystemIdentifier();
	token->timeline = GetWALInsertionTimeLine();
	/* What was delivered is flushed (horizon.c); what is behind that a crash may take, which is no fork. */
	token->lsn = GetFlushRecPtr(NULL);
	token->offset = offset;
}

/* Has this timeline left the token's before the token was made? */
static bool
left_before(const SluiceToken *token)
{
	TimeLineID	here = GetWALInsertionTimeLine();
	XLogRecPtr	left;

	if (token->timeline == here)
		return token->lsn > GetXLogInsertRecPtr();
	left = tliSwitchPoint(token->timeline, readTimeLineHistory(here), NULL);
	return token->lsn > left;
}

/* Is the token's timeline one that this server has gone through? */
static bool
is_ancestor(const SluiceToken *token)
{
	return token->timeline != 0 && tliInHistory(token->timeline, readTimeLineHistory(GetWALInsertionTimeLine()));
}

SluiceTokenCheck
sluice_token_check(const SluiceToken *token, const uint8 *stream_uid)
{
	if (memcmp(token->stream_uid, stream_uid, SLUICE_UID_SIZE) != 0)
		return SLUICE_TOKEN_OTHER_STREAM;
	if (token->system_identifier != GetSystemIdentifier() || !is_ancestor(token) || left_before(token))
		return SLUICE_TOKEN_FORKED;
	return SLUICE_TOKEN_GOOD;
}
