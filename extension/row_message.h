/*
 * row_message.h
 *		A row as field "rows" of sluice.v1.Rows, plain C.
 *
 * The payload is written by the caller between begin and end, so that it needs not be copied.
 */
#ifndef SLUICE_ROW_MESSAGE_H
#define SLUICE_ROW_MESSAGE_H

#include <stdint.h>

#include "buffer.h"

/* Make room for what lies before the payload.  Returns where the message begins. */
extern size_t sluice_row_message_begin(SluiceBuffer *rows, int64_t offset);

/* All behind that is the payload.  redrive, attempts: as in sluice.v1.Row. */
extern void sluice_row_message_end(SluiceBuffer *rows, size_t begin, int64_t offset, int64_t redrive, uint32_t attempts);

#endif							/* SLUICE_ROW_MESSAGE_H */
