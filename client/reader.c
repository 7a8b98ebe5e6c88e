/*
 * reader.c
 *		The thread that reads the input and makes its records.
 *
 * It reads a piece of the input, takes all complete records out of it, and
 * hands them over in one batch before it reads (and perhaps waits) again: so
 * records of a slow input leave at once, and those of a fast one cost little.
 * Every wait for input is a poll() that sluice_reader_stop() ends, too.
 */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "uuid7.h"

#define READ_SIZE 262144
#define BATCH_COUNT 512
#define BATCH_BYTES 262144

struct SluiceReader
{
	const SluiceReaderOptions *options;
	SluiceQueue *queue;
	pthread_t	thread;
	int			stop_fd;
	atomic_bool stopping;
	SluiceUuid7 uuid7;
	SluiceRecordList batch;

	/* The present file. */
	size_t		source;
	int			fd;
	SluiceInput *input;
	char	   *buffer;
	size_t		start;			/* of the bytes not yet used */
	size_t		filled;
	size_t		capacity;
	bool		at_end;

	bool		complete;
	uint64_t	last_line;		/* 0: no record yet */
	size_t		last_source;
	char		error[768];
};

typedef enum Step
{
	STEP_ON,					/* more to do in this file */
	STEP_NEXT_FILE,
	STEP_QUIT					/* error, stopped, or nobody wants the records */
} Step;

static const char *
file_name(const SluiceReader *reader, size_t source)
{
	const char *name = reader->options->files[source];

	return strcmp(name, "-") == 0 ? "<stdin>" : name;
}

static Step
fail_at_line(SluiceReader *reader, uint64_t line, const char *message)
{
	snprintf(reader->error, sizeof(reader->error), "%s:%llu: %s", file_name(reader, reader->source),
			 (unsigned long long) line, message);
	return STEP_QUIT;
}

static Step
fail_at_file(SluiceReader *reader, const char *what)
{
	snprintf(reader->error, sizeof(reader->error), "could not %s \"%s\": %s", what,
			 file_name(reader, reader->source), strerror(errno));
	return STEP_QUIT;
}

static Step
push_batch(SluiceReader *reader)
{
	if (reader->batch.count == 0)
		return STEP_ON;
	return sluice_queue_push(reader->queue, &reader->batch) ? STEP_ON : STEP_QUIT;
}

static Step
open_file(SluiceReader *reader)
{
	const char *name = reader->options->files[reader->source];

	/* Without blocking, or a FIFO that nobody writes to could not be left. */
	reader->fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (reader->fd < 0)
		return fail_at_file(reader, "open");
	reader->input = sluice_input_create(reader->options->format, reader->options->key_column,
										reader->options->max_record);
	reader->start = 0;
	reader->filled = 0;
	reader->at_end = false;
	return STEP_ON;
}

static void
close_file(SluiceReader *reader)
{
	if (reader->input != NULL)
		sluice_input_free(reader->input);
	reader->input = NULL;
	if (reader->fd > STDERR_FILENO)
		close(reader->fd);
	reader->fd = -1;
}

/* Until there is something to read; QUIT when stopped. */
static Step
wait_for_input(SluiceReader *reader)
{
	struct pollfd fds[2] = {{reader->fd, POLLIN, 0}, {reader->stop_fd, POLLIN, 0}};

	for (;;)
	{
		if (atomic_load(&reader->stopping))
			return STEP_QUIT;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return fail_at_file(reader, "wait for");
		if (fds[1].revents != 0)
			return STEP_QUIT;
		if (fds[0].revents != 0)
			return STEP_ON;
	}
}

/* Room behind the unused bytes; the limits of input.c bound how many these are. */
static void
make_room(SluiceReader *reader)
{
	if (reader->start > 0)
	{
		memmove(reader->buffer, reader->buffer + reader->start, reader->filled - reader->start);
		reader->filled -= reader->start;
		reader->start = 0;
	}
	if (reader->capacity - reader->filled < READ_SIZE)
	{
		reader->capacity = reader->filled + READ_SIZE > reader->capacity * 2 ?
			reader->filled + READ_SIZE : reader->capacity * 2;
		reader->buffer = sluice_memory_resize(reader->buffer, reader->capacity);
	}
}

static Step
read_more(SluiceReader *reader)
{
	ssize_t		n;

	make_room(reader);
	for (;;)
	{
		Step		step = wait_for_input(reader);

		if (step != STEP_ON)
			return step;
		n = read(reader->fd, reader->buffer + reader->filled, reader->capacity - reader->filled);
		if (n >= 0)
			break;
		if (errno != EINTR && errno != EAGAIN)
			return fail_at_file(reader, "read");
	}
	reader->filled += (size_t) n;
	reader->at_end = n == 0;
	return STEP_ON;
}

static bool
generate_key(SluiceReader *reader, char text[SLUICE_UUID_TEXT_LENGTH])
{
	struct timespec now;
	uint8_t		uuid[16];

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (!sluice_uuid7_next(&reader->uuid7, (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000, uuid))
		return false;
	sluice_uuid_to_text(uuid, text);
	return true;
}

static Step
add_record(SluiceReader *reader, const SluiceInputRecord *found)
{
	char		uuid[SLUICE_UUID_TEXT_LENGTH];
	const char *key = found->key;
	size_t		key_length = found->key_length;
	size_t		size;
	SluiceClientRecord *record;

	if (key == NULL)
	{
		if (!generate_key(reader, uuid))
			return fail_at_line(reader, found->line, "could not generate a key: no random numbers");
		key = uuid;
		key_length = sizeof(uuid);
	}
	size = sluice_record_message_size(key_length, found->payload_length);
	if (size > reader->options->max_record)
	{
		char		message[160];

		snprintf(message, sizeof(message), "the record has %zu bytes, more than the largest allowed, %zu "
				 "(--max-record-size)", size, reader->options->max_record);
		return fail_at_line(reader, found->line, message);
	}
	record = sluice_record_create(key, key_length, found->payload, found->payload_length);
	record->line = found->line;
	record->source = (uint32_t) reader->source;
	sluice_record_list_append(&reader->batch, record);
	reader->last_line = found->line;
	reader->last_source = reader->source;
	if (reader->batch.count >= BATCH_COUNT || reader->batch.bytes >= BATCH_BYTES)
		return push_batch(reader);
	return STEP_ON;
}

/* All complete records of the buffer. */
static Step
take_records(SluiceReader *reader)
{
	for (;;)
	{
		SluiceInputRecord found;
		SluiceInputResult result;
		size_t		used;
		Step		step;

		result = sluice_input_next(reader->input, reader->buffer + reader->start,
								   reader->filled - reader->start, reader->at_end, &used, &found);
		if (result == SLUICE_INPUT_RECORD)
		{
			step = add_record(reader, &found);
			reader->start += used;
			if (step != STEP_ON)
				return step;
			continue;
		}
		reader->start += used;
		if (result == SLUICE_INPUT_MORE)
			return STEP_ON;
		if (result == SLUICE_INPUT_END)
			return STEP_NEXT_FILE;
		return fail_at_line(reader, sluice_input_line(reader->input), sluice_input_error(reader->input));
	}
}

static Step
read_file(SluiceReader *reader)
{
	Step		step = open_file(reader);

	while (step == STEP_ON)
	{
		/* What is complete leaves before we may have to wait for more. */
		step = push_batch(reader);
		if (step == STEP_ON)
			step = read_more(reader);
		if (step == STEP_ON)
			step = take_records(reader);
	}
	close_file(reader);
	return step;
}

static void *
read_files(void *argument)
{
	SluiceReader *reader = argument;
	Step		step = STEP_NEXT_FILE;

	for (size_t i = 0; i < reader->options->nfiles && step == STEP_NEXT_FILE; i++)
	{
		reader->source = i;
		step = read_file(reader);
	}
	reader->complete = step == STEP_NEXT_FILE;
	push_batch(reader);
	sluice_queue_finish(reader->queue);
	return NULL;
}

SluiceReader *
sluice_reader_start(const SluiceReaderOptions *options, SluiceQueue *queue)
{
	SluiceReader *reader = sluice_memory_get_zeroed(sizeof(SluiceReader));

	reader->options = options;
	reader->queue = queue;
	reader->fd = -1;
	atomic_init(&reader->stopping, false);
	reader->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (reader->stop_fd < 0 || pthread_create(&reader->thread, NULL, read_files, reader) != 0)
	{
		fprintf(stderr, "sluice: could not start a thread\n");
		exit(1);
	}
	return reader;
}

void
sluice_reader_stop(SluiceReader *reader)
{
	uint64_t	one = 1;

	atomic_store(&reader->stopping, true);
	while (write(reader->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

void
sluice_reader_join(SluiceReader *reader)
{
	pthread_join(reader->thread, NULL);
}

void
sluice_reader_free(SluiceReader *reader)
{
	close(reader->stop_fd);
	free(reader->buffer);
	free(reader);
}

const char *
sluice_reader_error(const SluiceReader *reader)
{
	return reader->error[0] != '\0' ? reader->error : NULL;
}

bool
sluice_reader_complete(const SluiceReader *reader)
{
	return reader->complete;
}

void
sluice_reader_locate(const SluiceReader *reader, const SluiceClientRecord *record, char *place, size_t size)
{
	uint64_t	line = record != NULL ? record->line : reader->last_line;
	size_t		source = record != NULL ? record->source : reader->last_source;

	place[0] = '\0';
	if (line > 0)
		snprintf(place, size, "%s:%llu", file_name(reader, source), (unsigned long long) line);
}
