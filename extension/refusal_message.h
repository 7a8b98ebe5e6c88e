/*
 * refusal_message.h
 *		The message that a call is refused with.
 */
#ifndef SLUICE_REFUSAL_MESSAGE_H
#define SLUICE_REFUSAL_MESSAGE_H

#include "postgres.h"

#include "record.h"

/* From the server's encoding to UTF-8, and clipped between characters. */
extern PGDLLEXPORT void sluice_refusal_message(SluiceRefusal *refusal, const char *format, va_list args) pg_attribute_printf(2, 0);

#endif							/* SLUICE_REFUSAL_MESSAGE_H */
