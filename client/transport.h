/*
 * transport.h
 *		Values as gRPC wants them.
 */
#ifndef SLUICE_TRANSPORT_H
#define SLUICE_TRANSPORT_H

#include <stdlib.h>
#include <string.h>

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include "clock.h"

static inline grpc_arg
sluice_transport_integer(const char *key, int value)
{
	grpc_arg	arg;

	memset(&arg, 0, sizeof(arg));
	arg.type = GRPC_ARG_INTEGER;
	arg.key = (char *) key;
	arg.value.integer = value;
	return arg;
}

static inline grpc_arg
sluice_transport_string(const char *key, const char *value)
{
	grpc_arg	arg;

	memset(&arg, 0, sizeof(arg));
	arg.type = GRPC_ARG_STRING;
	arg.key = (char *) key;
	arg.value.string = (char *) value;
	return arg;
}

/* deadline: as sluice_clock_now(). */
static inline gpr_timespec
sluice_transport_deadline(int64_t deadline)
{
	gpr_timespec when;

	if (deadline == SLUICE_NEVER)
		return gpr_inf_future(GPR_CLOCK_MONOTONIC);
	when.tv_sec = deadline / SLUICE_SECOND;
	when.tv_nsec = (int32_t) (deadline % SLUICE_SECOND);
	when.clock_type = GPR_CLOCK_MONOTONIC;
	return when;
}

static inline void
sluice_transport_drop_line(gpr_log_func_args *args)
{
	(void) args;
}

/* What matters comes as the status of a call; gRPC's own lines, on stderr, are for those who ask for them. */
static inline void
sluice_transport_quiet(void)
{
	if (getenv("GRPC_VERBOSITY") == NULL)
		gpr_set_log_function(sluice_transport_drop_line);
}

#endif							/* SLUICE_TRANSPORT_H */
