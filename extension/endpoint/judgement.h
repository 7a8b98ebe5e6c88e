/*
 * judgement.h
 *		What pg_hba.conf and the role's attributes say about one client.
 */
#ifndef SLUICE_JUDGEMENT_H
#define SLUICE_JUDGEMENT_H

#include "postgres.h"

#include "record.h"
#include "secret.h"

typedef enum SluiceSentence
{
	SLUICE_ADMITTED,
	SLUICE_TURNED_AWAY,			/* refusal tells why */
	SLUICE_WRONG_PASSWORD,		/* the same, but it is told later: guessing takes time */
	SLUICE_WANTS_HOST,			/* the name of its address is to be looked up, then judge again */
	SLUICE_WANTS_PASSWORD		/* its password is to be compared with secret; where it fits, judge again as proven */
} SluiceSentence;

typedef struct SluiceJudgement
{
	SluiceRecord *record;
	bool		proven;			/* its password was found right: when the call began, or just now */

	SluiceSentence sentence;
	SluiceRefusal refusal;
	Oid			role;			/* InvalidOid: the owner of its stream, as it names none */
	char		role_name[NAMEDATALEN];
	bool		named;			/* by the client, or its certificate; else it is that of the stream's owner, or "" */
	int			hba_line;		/* that decided; 0: none */
	SluiceSecret secret;
	bool		secret_known;	/* false: compare all the same, and say that it does not fit */
} SluiceJudgement;

/* A step for sluice_attempt(): argument is a SluiceJudgement with its first members set. */
extern void sluice_judgement_step(void *argument);

/* A refusal for a password that does not fit, in a transaction or not. */
extern void sluice_judgement_wrong_password(SluiceJudgement *judgement);

#endif							/* SLUICE_JUDGEMENT_H */
