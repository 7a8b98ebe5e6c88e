/*
 * response.h
 *		What a consumer is told: serialized SubscribeResponses.
 *
 * Plain C.  Each function appends one whole message to an empty buffer.
 */
#ifndef SLUICE_RESPONSE_H
#define SLUICE_RESPONSE_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "consumer.h"

extern void sluice_response_standby(SluiceBuffer *message);
extern void sluice_response_active(SluiceBuffer *message, uint64_t epoch, const SluiceToken *token,
								   uint8_t guarantee, uint8_t encoding, uint32_t max_in_flight);

/* rows: any number of field "rows" of sluice.v1.Rows (reading.h).  The token's offset is of the last of them. */
extern void sluice_response_rows(SluiceBuffer *message, uint64_t epoch, int64_t previous, const SluiceToken *token,
								 const void *rows, size_t length);
extern void sluice_response_caught_up(SluiceBuffer *message, uint64_t epoch, int64_t offset);

#endif							/* SLUICE_RESPONSE_H */
