/*
 * health.h
 *		grpc.health.v1.Health.
 */
#ifndef SLUICE_HEALTH_H
#define SLUICE_HEALTH_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include <stdbool.h>

struct SluiceNetwork;

/* Tells all watchers where it changes. */
extern void sluice_health_set_serving(struct SluiceNetwork *network, bool serving);

#endif							/* SLUICE_HEALTH_H */
