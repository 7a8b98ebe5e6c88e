/*
 * reader.c
 *		The thread that reads the input and makes its records.
 *
 * It reads a piece of the input, and hands over one after the other all complete
 * records in it before it reads (and perhaps waits) again.
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
#include <unistd.h>

#include "memory.h"

#define READ_SIZE 262144

struct SluiceReader
{
	const SluiceReaderOptions *options;
	pthread_t	thread;
	int			stop_fd;
	atomic_bool stopping;

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
file_name(const SluiceReaderOptions *options, size_t source)
{
	const char *name = options->files[source];

	return strcmp(name, "-") == 0 ? "<stdin>" : name;
}

static Step
fail_at_line(SluiceReader *reader, uint64_t line, const char *message)
{
	snprintf(reader->error, sizeof(reader->error), "%s:%llu: %s", file_name(reader->options, reader->source),
			 (unsigned long long) line, message);
	return STEP_QUIT;
}

static Step
fail_at_file(SluiceReader *reader, const char *what)
{
	snprintf(reader->error, sizeof(reader->error), "could not %s \"%s\": %s", what,
			 file_name(reader->options, reader->source), strerror(errno));
	return STEP_QUIT;
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
	sluice_input_want_entity(reader->input, reader->options->entity_column);
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

static Step
hand_over(SluiceReader *reader, const SluiceInputRecord *found)
{
	char		message[512] = "";

	if (reader->options->take(reader->options->argument, found, reader->source, message, sizeof(message)))
	{
		reader->last_line = found->line;
		reader->last_source = reader->source;
		return STEP_ON;
	}
	return message[0] != '\0' ? fail_at_line(reader, found->line, message) : STEP_QUIT;
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
			step = hand_over(reader, &found);
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
	reader->options->ended(reader->options->argument);
	return NULL;
}

SluiceReader *
sluice_reader_start(const SluiceReaderOptions *options)
{
	SluiceReader *reader = sluice_memory_get_zeroed(sizeof(SluiceReader));

	reader->options = options;
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
sluice_reader_locate(const SluiceReaderOptions *options, SluicePlace place, char *text, size_t size)
{
	snprintf(text, size, "%s:%llu", file_name(options, place.source), (unsigned long long) place.line);
}

bool
sluice_reader_last(const SluiceReader *reader, SluicePlace *place)
{
	*place = (SluicePlace) {reader->last_source, reader->last_line};
	return reader->last_line > 0;
}
