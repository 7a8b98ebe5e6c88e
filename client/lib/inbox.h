/*
 * inbox.h
 *		Rows on their way from the subscriber's thread to the program, and what the program says about them.
 *
 * Messages wait here as they came, and are taken apart row by row by those who ask.
 * All of it is under one lock.  What is void is decided here: a new activation, a lost
 * connection, or a row that is given back makes all rows void that came before; they
 * are handed out no more, and answers to them are refused.  Rows of an at_most_once
 * subscription are never void, for they do not come again.
 */
#ifndef SLUICE_LIB_INBOX_H
#define SLUICE_LIB_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"
#include "subscription.h"

typedef struct SluiceInbox SluiceInbox;

/* The settings outlive it.  NULL: out of memory. */
extern SluiceInbox *sluice_inbox_create(const SluiceSettings *settings);
extern void sluice_inbox_free(SluiceInbox *inbox);

/* ---- for the subscriber's thread ---- */

/* Called when there is something to send, or room again.  With the lock held: it must not call the inbox. */
extern void sluice_inbox_on_ready(SluiceInbox *inbox, void (*ready) (void *argument), void *argument);

/* A standby, active or caught_up, or rows of the present epoch; copied.  False: out of memory. */
extern bool sluice_inbox_put(SluiceInbox *inbox, const SluiceResponse *response);

/* Enough lies here: no more should be read for now. */
extern bool sluice_inbox_full(SluiceInbox *inbox);

/*
 * What is to be sent now.  False: nothing; *due is the time to ask again (SLUICE_NEVER).  hurry: what
 * would wait for more of its kind is wanted at once.
 */
extern bool sluice_inbox_reply(SluiceInbox *inbox, int64_t now, bool hurry, SluiceReply *reply, int64_t *due);

/* The connection is gone, or there is to be none any more.  The offset to go on behind, where the server does not know it; NULL: none. */
extern const int64_t *sluice_inbox_lost(SluiceInbox *inbox, int64_t *resume);

/* It will not go on: those who ask get this error when they have what is left. */
extern void sluice_inbox_end(SluiceInbox *inbox, int error);

/* ---- for the program ---- */

extern int	sluice_inbox_next(SluiceInbox *inbox, int64_t deadline, sluice_row *row);
extern int	sluice_inbox_ack(SluiceInbox *inbox, const sluice_row *row);
extern int	sluice_inbox_nack(SluiceInbox *inbox, const sluice_row *row, const char *reason);
extern int	sluice_inbox_start(SluiceInbox *inbox, const sluice_row *active, const sluice_token *token, bool accept_fork);

/* next() returns ERROR_CLOSED. */
extern void sluice_inbox_stop(SluiceInbox *inbox);

/* stop(), and wait until nobody is in next(). */
extern void sluice_inbox_close(SluiceInbox *inbox);

/*
 * Was anything acknowledged of which the server did not say that it has it?  left: it has said so of the present
 * activation.  Of those before only a later position tells.
 */
extern bool sluice_inbox_owes(SluiceInbox *inbox, bool left);

/* All but state, attempts and connections. */
extern void sluice_inbox_fill(SluiceInbox *inbox, sluice_consumption *statistics);

#endif							/* SLUICE_LIB_INBOX_H */
