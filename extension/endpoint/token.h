/*
 * token.h
 *		Tokens: where, and as of which state of which server, rows were delivered.
 *
 * A consumer that keeps its own position keeps the token with it.  When it
 * comes back with a token from commits that this server does not have (a standby
 * took over that had not received them, or a backup was restored), its position
 * may be that of other rows by now, and it is told so (FORKED).  Comparing
 * offsets with the sequence would not find that: both may have gone on since.
 */
#ifndef SLUICE_TOKEN_H
#define SLUICE_TOKEN_H

#include "postgres.h"

#include "consumer.h"

/* As of now: what is handed out was committed, and flushed, before. */
extern void sluice_token_make(SluiceToken *token, const uint8 *stream_uid, int64 offset);

typedef enum SluiceTokenCheck
{
	SLUICE_TOKEN_GOOD,
	SLUICE_TOKEN_OTHER_STREAM,
	SLUICE_TOKEN_FORKED
} SluiceTokenCheck;

/* May read timeline history files, which throws where they cannot be read. */
extern SluiceTokenCheck sluice_token_check(const SluiceToken *token, const uint8 *stream_uid);

#endif							/* SLUICE_TOKEN_H */
