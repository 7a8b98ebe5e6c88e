/*
 * status.h
 *		What a thread that has connections does, for those who ask: state, sentence, counters; and the log.
 */
#ifndef SLUICE_LIB_STATUS_H
#define SLUICE_LIB_STATUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

#define SLUICE_STATUS_MESSAGE_MAX 512

typedef struct SluiceStatus
{
	const SluiceSettings *settings;
	pthread_mutex_t lock;
	sluice_state state;
	char		message[SLUICE_STATUS_MESSAGE_MAX];
	atomic_uint_fast64_t attempts;
	atomic_uint_fast64_t connections;
} SluiceStatus;

extern void sluice_status_init(SluiceStatus *status, const SluiceSettings *settings);
extern void sluice_status_release(SluiceStatus *status);

/* The state alone: what went wrong before is still what went wrong last. */
extern void sluice_status_enter(SluiceStatus *status, sluice_state state);

/* State, message and a line of the log; level INFO is nothing that went wrong: there is no message then. */
extern void sluice_status_tell(SluiceStatus *status, sluice_state state, sluice_level level,
										 const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* From any thread. */
extern sluice_state sluice_status_state(SluiceStatus *status);
extern void sluice_status_message(SluiceStatus *status, char *message, size_t message_size);

#endif							/* SLUICE_LIB_STATUS_H */
