/*
 * subscription_ddl.h
 *		sluice.create_subscription, drop_subscription, seek.
 */
#ifndef SLUICE_SUBSCRIPTION_DDL_H
#define SLUICE_SUBSCRIPTION_DDL_H

#include "postgres.h"

/* The stream, locked against everybody, is being dropped: its subscriptions go with it. */
extern void sluice_subscription_ddl_drop_all(int32 stream_id);

#endif							/* SLUICE_SUBSCRIPTION_DDL_H */
