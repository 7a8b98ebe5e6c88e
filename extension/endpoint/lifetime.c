/*
 * lifetime.c
 *		Calls that the clock ends: of clients that never say what they want, and at their age.
 */
#include "lifetime.h"

#include <stdlib.h>

#include "thread.h"
#include "throttle.h"

/* From 0.9 to 1.1 of it. */
static int64_t
jittered(SluiceNetwork *network, int64_t age)
{
	return age / 10 * 9 + age / 5 * (rand_r(&network->dice) % 1024) / 1024;
}

void
sluice_lifetime_begin(SluiceCarrier *carrier)
{
	SluiceNetwork *network = carrier->call.network;
	int64_t		age = (int64_t) network->settings.max_connection_age_ms * 1000;

	carrier->begun_at = network->turn_at;
	if (age > 0 && carrier->call.method->ingests)
		carrier->ends_at = network->turn_at + jittered(network, age);
}

static void
look(SluiceNetwork *network, SluiceCarrier *carrier)
{
	SluiceCall *call = &carrier->call;
	int64_t		opening_timeout = (int64_t) network->settings.opening_timeout_ms * 1000;

	if (call->method->awaits && !call->spoken && network->turn_at - carrier->begun_at >= opening_timeout)
		sluice_carrier_finish(carrier, GRPC_STATUS_DEADLINE_EXCEEDED,
							  "the first message of the call did not come within %d seconds (authentication_timeout)",
							  network->settings.opening_timeout_ms / 1000);
	else if (carrier->ends_at > 0 && network->turn_at >= carrier->ends_at)
	{
		call->moves = true;
		sluice_carrier_finish_for(carrier, GRPC_STATUS_UNAVAILABLE, "RECONNECT",
								  "the connection has reached sluice.max_connection_age: connect again");
	}
}

void
sluice_lifetime_look(SluiceNetwork *network)
{
	SluiceCall *call;

	TAILQ_FOREACH(call, &network->calls, link)
	{
		SluiceCarrier *carrier = (SluiceCarrier *) call;

		if (call->over || call->method->settled == NULL)
			continue;
		sluice_throttle_keep(carrier);
		if (!carrier->ending)
			look(network, carrier);
	}
}
