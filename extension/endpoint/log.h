/*
 * log.h
 *		Log lines of the network thread and of gRPC, on their way to the main thread.
 *
 * gRPC's hook has no argument and its threads may outlive a network (they end
 * in their own time after grpc_shutdown), so there is one log a process, and
 * it is never freed.  Any thread may put lines; a mutex is held for the copy
 * of one line.  A peer can make gRPC write many lines (a failed handshake is
 * one each, of which one a second is kept): what does not fit until the main thread reads is counted and
 * reported in one line.
 */
#ifndef SLUICE_LOG_H
#define SLUICE_LOG_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include <stdbool.h>
#include <stddef.h>

/* From now on gRPC logs here instead of to stderr. */
extern void sluice_log_install(void);

extern void sluice_log_put(char level, const char *format,...) __attribute__((format(printf, 2, 3)));

/* The oldest line; false: none. */
extern bool sluice_log_take(char *level, char *line, size_t line_size);

/* Has gRPC lost a listener since the last call?  (After one failed accept4 it never accepts again.) */
extern bool sluice_log_accept_failed(void);

/* The operating system's reason in gRPC's last error line, "" for none; and forget it. */
extern void sluice_log_last_reason(char *reason, size_t reason_size);

#endif							/* SLUICE_LOG_H */
