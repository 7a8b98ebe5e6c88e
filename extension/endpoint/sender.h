/*
 * sender.h
 *		What a call tells of its client: stream, address, and what it logs in with.
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

/* False: the name of the stream is too long (stream is NULL, the rest is not), or out of memory. */
extern bool sluice_sender_read(SluiceSender *sender, grpc_call *grpc, const grpc_metadata_array *metadata);
extern void sluice_sender_free(SluiceSender *sender);

#endif							/* SLUICE_SENDER_H */
