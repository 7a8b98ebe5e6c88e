/*
 * status.c
 *		What a thread that has connections does, for those who ask: state, sentence, counters; and the log.
 */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
sluice_status_init(SluiceStatus *status, const SluiceSettings *settings)
{
	memset(status, 0, sizeof(*status));
	status->settings = settings;
	status->state = SLUICE_STATE_CONNECTING;
	pthread_mutex_init(&status->lock, NULL);
}

void
sluice_status_release(SluiceStatus *status)
{
	pthread_mutex_destroy(&status->lock);
}

void
sluice_status_enter(SluiceStatus *status, sluice_state state)
{
	pthread_mutex_lock(&status->lock);
	status->state = state;
	pthread_mutex_unlock(&status->lock);
}

void
sluice_status_tell(SluiceStatus *status, sluice_state state, sluice_level level, const char *format, ...)
{
	char		text[SLUICE_STATUS_MESSAGE_MAX];
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

sluice_state
sluice_status_state(SluiceStatus *status)
{
	sluice_state state;

	pthread_mutex_lock(&status->lock);
	state = status->state;
	pthread_mutex_unlock(&status->lock);
	return state;
}

void
sluice_status_message(SluiceStatus *status, char *message, size_t message_size)
{
	if (message_size == 0)
		return;
	pthread_mutex_lock(&status->lock);
	snprintf(message, message_size, "%s", status->message);
	pthread_mutex_unlock(&status->lock);
}
