/*
 * publication.h
 *		The messages of Publish but for batches (encoding.h), as bytes.
 *
 * What is sent is made by protobuf-c.  What comes is walked by hand: it may be
 * anything, is bounded before memory is taken, and then of the form that
 * proto/sluice.proto promises.
 */
#ifndef SLUICE_LIB_PUBLICATION_H
#define SLUICE_LIB_PUBLICATION_H

#include "buffer.h"

/* No Open or Report is longer. */
#define SLUICE_PUBLICATION_MAX 1536

#define SLUICE_PUBLICATION_DEAD_MAX 1000

/* These return the length.  program may be NULL or empty. */
extern size_t sluice_publication_write_open(uint8_t out[SLUICE_PUBLICATION_MAX], const SluiceOpening *opening,
											const char *program);
extern size_t sluice_publication_write_report(uint8_t out[SLUICE_PUBLICATION_MAX], const SluiceBacklogReport *report,
											  int64_t clock);

/* opened->dead points into dead.  False: it is no Opened, or not such a one. */
extern bool sluice_publication_read_opened(const uint8_t *bytes, size_t length, SluiceOpened *opened,
										   uint64_t dead[SLUICE_PUBLICATION_DEAD_MAX]);

/* An Ack; the memory is used again by the next one. */
typedef struct SluicePublicationAck
{
	uint64_t	through;
	SluiceSettled *exceptions;
	size_t		nexceptions;
	size_t		room;
} SluicePublicationAck;

/* ERROR_PROTOCOL: it is no Ack, or not such a one.  ERROR_MEMORY. */
extern int sluice_publication_read_ack(const uint8_t *bytes, size_t length, SluicePublicationAck *ack);
extern void sluice_publication_release_ack(SluicePublicationAck *ack);

#endif							/* SLUICE_LIB_PUBLICATION_H */
