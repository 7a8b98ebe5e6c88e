/*
 * producer.c
 *		A producer: its options, a buffer, and the publisher that empties it.
 *
 * Nothing happens here: this is where the two are put together and taken apart.
 * A child of a process that has a producer open shares its memory and none
 * of its threads: it is told that the producer is closed, and touches nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "buffer.h"
#include "process.h"
#include "publisher.h"
#include "settings.h"

struct sluice_producer
{
	unsigned	generation;		/* of the process that opened it */
	sluice_options *options;	/* the strings of settings */
	SluiceSettings settings;
	SluiceBuffer *buffer;
	SluicePublisher *publisher;
};

static bool
is_ours(const sluice_producer *producer)
{
	return producer != NULL &&
		producer->generation == sluice_process_generation();
}

static void
dispose(sluice_producer *producer)
{
	sluice_options_free(producer->options);
	free(producer);
}

static int
start(sluice_producer *producer, SluiceError *error)
{
	int			code = sluice_buffer_open(&producer->settings, &producer->buffer, error);

	if (code != SLUICE_OK)
		return code;
	code = sluice_publisher_start(&producer->settings, producer->buffer, &producer->publisher, error);
	if (code != SLUICE_OK)
		sluice_buffer_close(producer->buffer);
	return code;
}

int
sluice_producer_open(const sluice_options *options, sluice_producer **producer, char *message, size_t message_size)
{
	sluice_producer *made;
	SluiceError error = {""};
	int			code;

	if (producer == NULL || options == NULL)
		return sluice_error_tell(SLUICE_ERROR_INVALID, "", message, message_size);
	*producer = NULL;
	made = sluice_process_watch() ? calloc(1, sizeof(sluice_producer)) : NULL;
	if (made == NULL)
		return sluice_error_tell(SLUICE_ERROR_MEMORY, "", message, message_size);
	made->generation = sluice_process_generation();
	made->options = sluice_options_copy(options);
	if (made->options == NULL)
		code = SLUICE_ERROR_MEMORY;
	else
		code = sluice_options_settings(made->options, SLUICE_ROLE_PRODUCER, &made->settings, error.text,
									   sizeof(error.text));
	if (code == SLUICE_OK)
		code = start(made, &error);
	if (code != SLUICE_OK)
	{
		dispose(made);
		return sluice_error_tell(code, error.text, message, message_size);
	}
	*producer = made;
	return sluice_error_tell(SLUICE_OK, "", message, message_size);
}

int
sluice_send(sluice_producer *producer, const sluice_record *record, uint64_t *sequence)
{
	if (!is_ours(producer))
		return SLUICE_ERROR_CLOSED;
	if (record == NULL)
		return SLUICE_ERROR_INVALID;
	return sluice_buffer_put(producer->buffer, record, sequence);
}

int
sluice_flush(sluice_producer *producer, int64_t timeout)
{
	if (!is_ours(producer))
		return SLUICE_ERROR_CLOSED;
	return sluice_buffer_flush(producer->buffer, sluice_clock_deadline(timeout));
}

void
sluice_producer_statistics(sluice_producer *producer, sluice_statistics *statistics, size_t size)
{
	sluice_statistics all;

	memset(&all, 0, sizeof(all));
	if (is_ours(producer))
	{
		sluice_buffer_fill_statistics(producer->buffer, &all);
		sluice_publisher_statistics(producer->publisher, &all);
	}
	else
		all.state = SLUICE_STATE_CLOSED;
	memset(statistics, 0, size);
	memcpy(statistics, &all, size < sizeof(all) ? size : sizeof(all));
}

void
sluice_producer_message(sluice_producer *producer, char *message, size_t message_size)
{
	if (message == NULL || message_size == 0)
		return;
	message[0] = '\0';
	if (is_ours(producer))
		sluice_publisher_message(producer->publisher, message, message_size);
}

int
sluice_producer_close(sluice_producer *producer, int64_t timeout)
{
	int			flushed;
	int			closed;

	if (!is_ours(producer))
		return SLUICE_ERROR_CLOSED;
	flushed = sluice_buffer_flush(producer->buffer, sluice_clock_deadline(timeout));
	sluice_buffer_end(producer->buffer, SLUICE_ERROR_CLOSED);
	sluice_publisher_stop(producer->publisher);
	closed = sluice_buffer_close(producer->buffer);
	dispose(producer);
	return closed != SLUICE_OK ? closed : flushed;
}
