/*
 * exit_status.h
 *		How the programs of this directory end.  A contract: docs/sluice-send.md, docs/sluice-subscribe.md.
 *
 * The meanings are those of "sluice send".  "sluice subscribe": rows done with for records acknowledged, rows given back for
 * dead letters, and FENCED where the position does not fit the server.
 */
#ifndef SLUICE_EXIT_STATUS_H
#define SLUICE_EXIT_STATUS_H

typedef enum SluiceExit
{
	SLUICE_EXIT_OK = 0,			/* the whole input is acknowledged, nothing was dead-lettered */
	SLUICE_EXIT_INPUT = 1,		/* wrong usage or input; what came before is acknowledged */
	SLUICE_EXIT_DEAD_LETTERS = 2,	/* all acknowledged, some as dead letters (with --once: or given up, or lost) */
	SLUICE_EXIT_GAVE_UP = 3,	/* records are unacknowledged */
	SLUICE_EXIT_REFUSED = 4,	/* the server refuses */
	SLUICE_EXIT_STOPPED = 5,	/* a signal came before the end of the input; what was read is acknowledged */
	SLUICE_EXIT_FENCED = 6		/* the buffer is fenced or forked: sluice buffer repair */
} SluiceExit;

#endif							/* SLUICE_EXIT_STATUS_H */
