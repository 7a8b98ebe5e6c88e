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

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static LogLine lines[LOG_LINES];
static size_t first;
static size_t count;
static size_t dropped;
static char last_reason[128];
static time_t handshake_at;		/* when a failed one was last told of */
static size_t handshakes_left_out;	/* since then */
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

/*
 * A handshake that failed is one line from gRPC, and any client can make many:
 * one a second is kept, and says how many were not.
 */
static void
put_handshake(const char *message)
{
	time_t		now = time(NULL);
	size_t		left_out = 0;
	bool		keep;

	pthread_mutex_lock(&mutex);
	keep = now != handshake_at;
	if (keep)
	{
		left_out = handshakes_left_out;
		handshakes_left_out = 0;
		handshake_at = now;
	}
	else
		handshakes_left_out++;
	pthread_mutex_unlock(&mutex);
	if (keep && left_out > 0)
		sluice_log_put('L', "gRPC: %s (and %zu failed handshakes before it)", message, left_out);
	else if (keep)
		sluice_log_put('L', "gRPC: %s", message);
}

/* Called by any gRPC thread, maybe inside a lock of gRPC's: copy and go. */
static void
grpc_hook(gpr_log_func_args *args)
{
	char		level = 'D';

	if (strncmp(args->message, HANDSHAKE_FAILED, strlen(HANDSHAKE_FAILED)) == 0)
	{
		put_handshake(args->message);
		return;
	}
	if (args->severity == GPR_LOG_SEVERITY_ERROR)
	{
		level = 'W';
		keep_reason(args->message);
		if (strstr(args->message, "Failed accept4") != NULL)
			atomic_store(&accept_failed, true);
	}
	sluice_log_put(level, "gRPC: %s", args->message);
}

void
sluice_log_install(void)
{
	atomic_store(&accept_failed, false);
	gpr_set_log_function(grpc_hook);
}
