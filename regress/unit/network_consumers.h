/*
 * network_consumers.h
 *		Consumers as the main thread has them, by script, for network_server.c.
 */
#ifndef SLUICE_NETWORK_CONSUMERS_H
#define SLUICE_NETWORK_CONSUMERS_H

#include "endpoint/consumer.h"
#include "endpoint/network.h"

/* A record of a consumer's has arrived. */
extern void network_consumers_take(SluiceNetwork *network, SluiceRecord *record);

/* What was kept goes on. */
extern void network_consumers_release(SluiceNetwork *network);

/* One line. */
extern void network_consumers_print(void);

/* After the network thread's end. */
extern void network_consumers_free(void);

#endif							/* SLUICE_NETWORK_CONSUMERS_H */
