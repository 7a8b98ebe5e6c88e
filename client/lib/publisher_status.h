/*
 * publisher_status.h
 *		What a publisher does, for those who ask: state, sentence, counters; and the log.
 */
#ifndef SLUICE_LIB_PUBLISHER_STATUS_H
#define SLUICE_LIB_PUBLISHER_STATUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"

#define SLUICE_PUBLISHER_MESSAGE_MAX 512

typedef struct SluicePublisherStatus
{
	const SluiceSettings *settings;
	pthread_mutex_t lock;
	sluice_state state;
	char		message[SLUICE_PUBLISHER_MESSAGE_MAX];
	atomic_uint_fast64_t attempts;
	atomic_uint_fast64_t connections;
} SluicePublisherStatus;

extern void sluice_publisher_status_init(SluicePublisherStatus *status, const SluiceSettings *settings);
extern void sluice_publisher_status_release(SluicePublisherStatus *status);

/* The state alone: what went wrong before is still what went wrong last. */
extern void sluice_publisher_status_enter(SluicePublisherStatus *status, sluice_state state);

/* State, message and a line of the log; level INFO is nothing that went wrong: there is no message then. */
extern void sluice_publisher_status_tell(SluicePublisherStatus *status, sluice_state state, sluice_level level,
										 const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* From any thread. */
extern void sluice_publisher_status_copy(SluicePublisherStatus *status, sluice_statistics *statistics);
extern void sluice_publisher_status_message(SluicePublisherStatus *status, char *message, size_t message_size);

#endif							/* SLUICE_LIB_PUBLISHER_STATUS_H */
