/*
 * certificate_files.h
 *		The files with the certificate of the gRPC port: read, kept current, shown.
 */
#ifndef SLUICE_CERTIFICATE_FILES_H
#define SLUICE_CERTIFICATE_FILES_H

#include "postgres.h"

#include "credentials.h"
#include "transport.h"

/* At the start of a worker: FATAL where they are no good.  NULL: no TLS. */
extern SluiceCredentials *sluice_certificate_files_load(int worker, const SluiceTransport *transport);

/* The settings were reloaded: look at the files at once, and say again what is wrong with them. */
extern void sluice_certificate_files_reload(void);

/* In the worker's loop: every second look whether they have changed. */
extern void sluice_certificate_files_watch(void);

#endif							/* SLUICE_CERTIFICATE_FILES_H */
