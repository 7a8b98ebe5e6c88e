/*
 * transport_status.h
 *		The certificates of the workers as others can see them: what is behind
 *		sluice.stat_tls.
 */
#ifndef SLUICE_TRANSPORT_STATUS_H
#define SLUICE_TRANSPORT_STATUS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#define SLUICE_TRANSPORT_FAILURE_SIZE 512

/* Names and serial number are ASCII, as is the failure where the server's own is not UTF-8. */
typedef struct SluiceTransportStatus
{
	int			pid;
	bool		enabled;		/* else nothing of the rest is set */
	char		subject[256];	/* RFC 2253 */
	char		issuer[256];
	char		serial[64];		/* hexadecimal */
	TimestampTz not_before;
	TimestampTz not_after;
	TimestampTz loaded_at;
	TimestampTz failed_at;		/* the last that was not taken; 0: none */
	char		failure[SLUICE_TRANSPORT_FAILURE_SIZE];
} SluiceTransportStatus;

/* For _PG_init: hooks that ask for the memory. */
extern void sluice_transport_status_install(void);

/* The worker's: show this one. */
extern PGDLLEXPORT void sluice_transport_status_show(int worker, const SluiceTransportStatus *status);

#endif							/* SLUICE_TRANSPORT_STATUS_H */
