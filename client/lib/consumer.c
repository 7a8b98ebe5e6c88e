/*
 * consumer.c
 *		A consumer: its options, an inbox, and the subscriber that fills it.
 *
 * Nothing happens here: this is where the two are put together and taken apart.
 * A child of a process that has a consumer open is told that it is closed, and touches nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "inbox.h"
#include "process.h"
#include "settings.h"
#include "subscriber.h"

/* Between two tries where there was no memory for a row. */
#define MEMORY_PAUSE (SLUICE_SECOND / 10)

struct sluice_consumer
{
	unsigned	generation;		/* of the process that opened it */
	sluice_options *options;	/* the strings of settings */
	SluiceSettings settings;
	SluiceInbox *inbox;
	SluiceSubscriber *subscriber;
};

static bool
is_ours(const sluice_consumer *consumer)
{
	return consumer != NULL && consumer->generation == sluice_process_generation();
}

static void
dispose(sluice_consumer *consumer)
{
	if (consumer->inbox != NULL)
		sluice_inbox_free(consumer->inbox);
	sluice_options_free(consumer->options);
	free(consumer);
}

static int
start(sluice_consumer *consumer, const sluice_options *options, SluiceError *error)
{
	int			code;

	consumer->options = sluice_options_copy(options);
	if (consumer->options == NULL)
		return SLUICE_ERROR_MEMORY;
	code = sluice_options_settings(consumer->options, SLUICE_ROLE_CONSUMER, &consumer->settings, error->text,
								   sizeof(error->text));
	if (code != SLUICE_OK)
		return code;
	consumer->inbox = sluice_inbox_create(&consumer->settings);
	if (consumer->inbox == NULL)
		return SLUICE_ERROR_MEMORY;
	return sluice_subscriber_start(&consumer->settings, consumer->inbox, &consumer->subscriber, error);
}

int
sluice_consumer_open(const sluice_options *options, sluice_consumer **consumer, char *message, size_t message_size)
{
	sluice_consumer *made;
	SluiceError error = {""};
	int			code;

	if (consumer == NULL || options == NULL)
		return sluice_error_tell(SLUICE_ERROR_INVALID, "", message, message_size);
	*consumer = NULL;
	made = sluice_process_watch() ? calloc(1, sizeof(sluice_consumer)) : NULL;
	if (made == NULL)
		return sluice_error_tell(SLUICE_ERROR_MEMORY, "", message, message_size);
	made->generation = sluice_process_generation();
	code = start(made, options, &error);
	if (code != SLUICE_OK)
	{
		dispose(made);
		return sluice_error_tell(code, error.text, message, message_size);
	}
	*consumer = made;
	return sluice_error_tell(SLUICE_OK, "", message, message_size);
}

int
sluice_consumer_next(sluice_consumer *consumer, int64_t timeout, sluice_row *row)
{
	if (!is_ours(consumer))
		return SLUICE_ERROR_CLOSED;
	if (row == NULL)
		return SLUICE_ERROR_INVALID;
	return sluice_inbox_next(consumer->inbox, timeout == 0 ? 0 : sluice_clock_deadline(timeout), row);
}

int
sluice_consumer_ack(sluice_consumer *consumer, const sluice_row *row)
{
	if (!is_ours(consumer))
		return SLUICE_ERROR_CLOSED;
	return row != NULL ? sluice_inbox_ack(consumer->inbox, row) : SLUICE_ERROR_INVALID;
}

int
sluice_consumer_nack(sluice_consumer *consumer, const sluice_row *row, const char *reason)
{
	if (!is_ours(consumer))
		return SLUICE_ERROR_CLOSED;
	return row != NULL ? sluice_inbox_nack(consumer->inbox, row, reason) : SLUICE_ERROR_INVALID;
}

int
sluice_consumer_start(sluice_consumer *consumer, const sluice_row *active, const sluice_token *token, bool accept_fork)
{
	if (!is_ours(consumer))
		return SLUICE_ERROR_CLOSED;
	return active != NULL ? sluice_inbox_start(consumer->inbox, active, token, accept_fork) : SLUICE_ERROR_INVALID;
}

void
sluice_consumer_stop(sluice_consumer *consumer)
{
	if (is_ours(consumer))
		sluice_inbox_stop(consumer->inbox);
}

static void
pause_for_memory(void)
{
	struct timespec pause = {0, MEMORY_PAUSE};

	nanosleep(&pause, NULL);
}

int
sluice_consumer_run(sluice_consumer *consumer, sluice_row_callback callback, void *argument)
{
	sluice_row	row;
	int			code;

	for (;;)
	{
		const char *reason = NULL;

		code = sluice_consumer_next(consumer, -1, &row);
		if (code == SLUICE_ERROR_MEMORY)
			pause_for_memory();
		if (code == SLUICE_ERROR_MEMORY || code == SLUICE_ERROR_TIMEOUT)
			continue;
		if (code != SLUICE_OK)
			return code;
		switch (callback(argument, &row, &reason))
		{
			case SLUICE_ANSWER_ACK:
				sluice_consumer_ack(consumer, &row);
				break;
			case SLUICE_ANSWER_NACK:
				while (sluice_consumer_nack(consumer, &row, reason) == SLUICE_ERROR_MEMORY)
					pause_for_memory();
				break;
			case SLUICE_ANSWER_LATER:
				break;
			case SLUICE_ANSWER_STOP:
				return SLUICE_OK;
		}
	}
}

void
sluice_consumer_statistics(sluice_consumer *consumer, sluice_consumption *statistics, size_t size)
{
	sluice_consumption all;

	memset(&all, 0, sizeof(all));
	if (is_ours(consumer))
	{
		sluice_inbox_fill(consumer->inbox, &all);
		sluice_subscriber_statistics(consumer->subscriber, &all);
	}
	else
		all.state = SLUICE_STATE_CLOSED;
	memset(statistics, 0, size);
	memcpy(statistics, &all, size < sizeof(all) ? size : sizeof(all));
}

void
sluice_consumer_message(sluice_consumer *consumer, char *message, size_t message_size)
{
	if (message == NULL || message_size == 0)
		return;
	message[0] = '\0';
	if (is_ours(consumer))
		sluice_subscriber_message(consumer->subscriber, message, message_size);
}

int
sluice_consumer_close(sluice_consumer *consumer, int64_t timeout)
{
	bool		confirmed;

	if (!is_ours(consumer))
		return SLUICE_ERROR_CLOSED;
	sluice_inbox_close(consumer->inbox);
	confirmed = sluice_subscriber_stop(consumer->subscriber, timeout == 0 ? 0 : sluice_clock_deadline(timeout));
	dispose(consumer);
	return confirmed ? SLUICE_OK : SLUICE_ERROR_TIMEOUT;
}
