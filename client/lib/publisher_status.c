/*
 * publisher_status.c
 *		What a publisher does, for those who ask: state, sentence, counters; and the log.
 */
#include "publisher_status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
sluice_publisher_status_init(SluicePublisherStatus *status, const SluiceSettings *settings)
{
	memset(status, 0, sizeof(*status));
	status->settings = settings;
	status->state = SLUICE_STATE_CONNECTING;
	pthread_mutex_init(&status->lock, NULL);
}

void
sluice_publisher_status_release(SluicePublisherStatus *status)
{
	pthread_mutex_destroy(&status->lock);
}

void
sluice_publisher_status_enter(SluicePublisherStatus *status, sluice_state state)
{
	pthread_mutex_lock(&status->lock);
	status->state = state;
	pthread_mutex_unlock(&status->lock);
}

void
sluice_publisher_status_tell(SluicePublisherStatus *status, sluice_state state, sluice_level level, const char *format, ...)
{
	char		text[SLUICE_PUBLISHER_MESSAGE_MAX];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);

	pthread_mutex_lock(&status->lock);
	status->state = state;
	strcpy(status->message, level == SLUICE_LEVEL_INFO ? "" : text);
	pthread_mutex_unlock(&status->lock);
	if (status->settings->on_log != NULL)
		status->settings->on_log(status->settings->log_argument, level, text);
}

void
sluice_publisher_status_copy(SluicePublisherStatus *status, sluice_statistics *statistics)
{
	pthread_mutex_lock(&status->lock);
	statistics->state = status->state;
	pthread_mutex_unlock(&status->lock);
	statistics->attempts = atomic_load(&status->attempts);
	statistics->connections = atomic_load(&status->connections);
}

void
sluice_publisher_status_message(SluicePublisherStatus *status, char *message, size_t message_size)
{
	if (message_size == 0)
		return;
	pthread_mutex_lock(&status->lock);
	snprintf(message, message_size, "%s", status->message);
	pthread_mutex_unlock(&status->lock);
}
