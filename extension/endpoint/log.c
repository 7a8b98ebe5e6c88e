/*
 * log.c
 *		Log lines of the network thread and of gRPC, on their way to the main thread.
 */
#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <grpc/support/log.h>

#define LOG_LINES 128
#define LOG_LINE_SIZE 480
#define HANDSHAKE_FAILED "Handshake failed"

typedef struct LogLine
{
	char		level;
	char		text[LOG_LINE_SIZE];
} LogLine;

/* Lines that a client can have written: so many of them a second, and the first one of the next says how many were left out. */
typedef struct Tide
{
	char		level;
	unsigned	max;
	const char *what;			/* they are */
	time_t		second;
	unsigned	n;				/* in it */
	size_t		left_out;
} Tide;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static LogLine lines[LOG_LINES];
static size_t first;
static size_t count;
static size_t dropped;
static char last_reason[128];
static Tide handshakes = {.level = 'L',.max = 1,.what = "failed handshakes"};
static Tide errors = {.level = 'W',.max = 5,.what = "lines of gRPC"};
static _Atomic bool accept_failed;

/* gRPC quotes what peers have sent: no line may carry bytes that a log or a database cannot take. */
static void
make_plain(char *text)
{
	for (char *c = text; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	}
}

static void
put_line(char level, const char *text)
{
	pthread_mutex_lock(&mutex);
	if (count == LOG_LINES)
		dropped++;
	else
	{
		LogLine    *line = &lines[(first + count++) % LOG_LINES];

		line->level = level;
		snprintf(line->text, sizeof(line->text), "%s", text);
		make_plain(line->text);
	}
	pthread_mutex_unlock(&mutex);
}

void
sluice_log_put(char level, const char *format,...)
{
	char		text[LOG_LINE_SIZE];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put_line(level, text);
}

bool
sluice_log_take(char *level, char *line, size_t line_size)
{
	bool		found = true;

	pthread_mutex_lock(&mutex);
	if (count > 0)
	{
		*level = lines[first].level;
		snprintf(line, line_size, "%s", lines[first].text);
		first = (first + 1) % LOG_LINES;
		count--;
	}
	else if (dropped > 0)
	{
		*level = 'W';
		snprintf(line, line_size, "%zu log lines of the network thread were dropped", dropped);
		dropped = 0;
	}
	else
		found = false;
	pthread_mutex_unlock(&mutex);
	return found;
}

/* gRPC writes the cause of a failed system call as os_error:"..." */
static void
keep_reason(const char *message)
{
	static const char mark[] = "os_error:\"";
	const char *reason = strstr(message, mark);
	size_t		length;

	if (reason == NULL)
		return;
	reason += sizeof(mark) - 1;
	length = strcspn(reason, "\"");
	pthread_mutex_lock(&mutex);
	snprintf(last_reason, sizeof(last_reason), "%.*s", (int) (length < 100 ? length : 100), reason);
	pthread_mutex_unlock(&mutex);
}

void
sluice_log_last_reason(char *reason, size_t reason_size)
{
	pthread_mutex_lock(&mutex);
	snprintf(reason, reason_size, "%s", last_reason);
	last_reason[0] = '\0';
	pthread_mutex_unlock(&mutex);
}

bool
sluice_log_accept_failed(void)
{
	if (!atomic_load_explicit(&accept_failed, memory_order_relaxed))
		return false;
	return atomic_exchange(&accept_failed, false);
}

/* The line is to be kept; the number of those that were not, before it. */
static bool
admits(Tide *tide, size_t *left_out)
{
	time_t		now = time(NULL);
	bool		kept;

	*left_out = 0;
	pthread_mutex_lock(&mutex);
	if (now != tide->second)
	{
		*left_out = tide->left_out;
		tide->left_out = 0;
		tide->second = now;
		tide->n = 0;
	}
	kept = tide->n < tide->max;
	if (kept)
		tide->n++;
	else
		tide->left_out++;
	pthread_mutex_unlock(&mutex);
	return kept;
}

static void
put_one_of(Tide *tide, const char *message)
{
	size_t		left_out;

	if (!admits(tide, &left_out))
		return;
	if (left_out > 0)
		sluice_log_put(tide->level, "gRPC: %s (and %zu %s before it)", message, left_out, tide->what);
	else
		sluice_log_put(tide->level, "gRPC: %s", message);
}

/* Called by any gRPC thread, maybe inside a lock of gRPC's: copy and go. */
static void
grpc_hook(gpr_log_func_args *args)
{
	if (strncmp(args->message, HANDSHAKE_FAILED, strlen(HANDSHAKE_FAILED)) == 0)
		put_one_of(&handshakes, args->message);
	else if (args->severity == GPR_LOG_SEVERITY_ERROR)
	{
		keep_reason(args->message);
		if (strstr(args->message, "Failed accept4") != NULL)
			atomic_store(&accept_failed, true);
		put_one_of(&errors, args->message);
	}
	else
		sluice_log_put('D', "gRPC: %s", args->message);
}

void
sluice_log_install(void)
{
	atomic_store(&accept_failed, false);
	gpr_set_log_function(grpc_hook);
}
