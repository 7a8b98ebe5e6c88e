/*
 * sender.h
 *		What a call tells of its client: stream and address.
 */
#ifndef SLUICE_SENDER_H
#define SLUICE_SENDER_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include <stdbool.h>

#include <grpc/grpc.h>

#include "record.h"

/* In bytes.  Longer names are no stream's. */
#define SLUICE_STREAM_NAME_MAX 255

/* False, with stream or address NULL: the name is too long, or out of memory. */
extern bool sluice_sender_read(SluiceSender *sender, grpc_call *grpc, const grpc_metadata_array *metadata);
extern void sluice_sender_free(SluiceSender *sender);

#endif							/* SLUICE_SENDER_H */
