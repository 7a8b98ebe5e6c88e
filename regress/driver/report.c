/*
 * report.c
 *		What the driver prints: lines of JSON on standard output.
 */
#include "producer.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A line of /proc/self/status in kilobytes. */
static long
memory_kb(const char *what)
{
	FILE	   *file = fopen("/proc/self/status", "r");
	char		line[256];
	long		kb = -1;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		if (strncmp(line, what, strlen(what)) == 0)
			sscanf(line + strlen(what), ": %ld", &kb);
	}
	if (file != NULL)
		fclose(file);
	return kb;
}

void
report_memory(const char *when)
{
	printf("{\"when\":\"%s\",\"at\":%.3f,\"rss_kb\":%ld,\"peak_kb\":%ld,\"anonymous_kb\":%ld}\n", when, producer_now(),
		   memory_kb("VmRSS"), memory_kb("VmHWM"), memory_kb("RssAnon"));
	fflush(stdout);
}

static void
print_producer(const Producer *producer)
{
	sluice_statistics now;
	char		message[512];

	sluice_producer_statistics(producer->handle, &now, sizeof(now));
	sluice_producer_message(producer->handle, message, sizeof(message));
	for (char *c = message; *c != '\0'; c++)
		*c = *c == '"' || *c == '\\' || (unsigned char) *c < ' ' ? '\'' : *c;
	printf("{\"name\":\"%s\",\"sent_ok\":%ld,\"fatal\":%d,\"message\":\"%s\",\"state\":%d", producer->name,
		   atomic_load(&producer->sent), atomic_load(&producer->fatal), message, (int) now.state);
#define FIGURE(member) printf(",\"" #member "\":%llu", (unsigned long long) now.member)
	FIGURE(last_sequence);
	FIGURE(acknowledged_through);
	FIGURE(buffered_records);
	FIGURE(file_bytes);
	FIGURE(put);
	FIGURE(stored);
	FIGURE(duplicates);
	FIGURE(dead_lettered);
	FIGURE(filtered);
	FIGURE(dropped);
	FIGURE(lost);
	FIGURE(set_aside);
	FIGURE(settled_before);
	FIGURE(sent);
	FIGURE(resent);
	FIGURE(attempts);
	FIGURE(connections);
	FIGURE(syncs);
#undef FIGURE
	printf(",\"told_dropped\":%lu,\"told_set_aside\":%lu}", atomic_load(&producer->told[SLUICE_VERDICT_DROPPED]),
		   atomic_load(&producer->told[SLUICE_VERDICT_SET_ASIDE]));
}

void
report_end(const Settings *settings, const Producer *producers, const atomic_ulong errors[ERRORS])
{
	bool		first = true;

	printf("{\"when\":\"end\",\"at\":%.3f,\"rss_kb\":%ld,\"peak_kb\":%ld,\"errors\":{", producer_now(), memory_kb("VmRSS"), memory_kb("VmHWM"));
	for (int i = 0; i < ERRORS; i++)
	{
		if (atomic_load(&errors[i]) == 0)
			continue;
		printf("%s\"%d\":%lu", first ? "" : ",", i, atomic_load(&errors[i]));
		first = false;
	}
	printf("},\"producers\":[");
	for (int i = 0; i < settings->producers; i++)
	{
		printf("%s", i > 0 ? "," : "");
		print_producer(&producers[i]);
	}
	printf("]}\n");
	fflush(stdout);
}
