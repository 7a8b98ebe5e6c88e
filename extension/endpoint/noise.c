/*
 * noise.c
 *		What connections were good for.
 *
 * A connection is known as long as it has calls, and IDLE_MAX of them longer,
 * for those who open one call after the other.
 */
#include "noise.h"

#include <stdlib.h>

#include "client_address.h"

#define IDLE_MAX 4096

void
sluice_noise_init(SluiceNoise *noise)
{
	pthread_mutex_init(&noise->mutex, NULL);
	for (int i = 0; i < SLUICE_NOISE_CHAINS; i++)
		LIST_INIT(&noise->chains[i]);
	TAILQ_INIT(&noise->idle);
	noise->nidle = 0;
}

void
sluice_noise_free(SluiceNoise *noise)
{
	for (int i = 0; i < SLUICE_NOISE_CHAINS; i++)
	{
		SluiceTalker *talker;

		while ((talker = LIST_FIRST(&noise->chains[i])) != NULL)
		{
			LIST_REMOVE(talker, chain);
			free(talker);
		}
	}
	pthread_mutex_destroy(&noise->mutex);
}

static struct SluiceTalkerChain *
chain_of(SluiceNoise *noise, const struct sockaddr_storage *address)
{
	return &noise->chains[sluice_client_address_hash(address) % SLUICE_NOISE_CHAINS];
}

static SluiceTalker *
find(SluiceNoise *noise, const struct sockaddr_storage *address)
{
	SluiceTalker *talker;

	LIST_FOREACH(talker, chain_of(noise, address), chain)
	{
		if (sluice_client_address_equal(&talker->address, address))
			return talker;
	}
	return NULL;
}

static void
leave_idle(SluiceNoise *noise, SluiceTalker *talker)
{
	TAILQ_REMOVE(&noise->idle, talker, idle_link);
	noise->nidle--;
}

static SluiceTalker *
make(SluiceNoise *noise, const struct sockaddr_storage *address)
{
	SluiceTalker *talker = calloc(1, sizeof(*talker));

	if (talker == NULL)
		return NULL;
	talker->address = *address;
	LIST_INSERT_HEAD(chain_of(noise, address), talker, chain);
	return talker;
}

SluiceTalker *
sluice_noise_join(SluiceNoise *noise, const struct sockaddr_storage *address)
{
	SluiceTalker *talker;

	pthread_mutex_lock(&noise->mutex);
	talker = find(noise, address);
	if (talker == NULL)
		talker = make(noise, address);
	else if (talker->calls == 0)
		leave_idle(noise, talker);
	if (talker != NULL)
		talker->calls++;
	pthread_mutex_unlock(&noise->mutex);
	return talker;
}

void
sluice_noise_trust(SluiceTalker *talker)
{
	if (talker != NULL)
		talker->trusted = true;
}

static void
forget_oldest(SluiceNoise *noise)
{
	SluiceTalker *oldest = TAILQ_FIRST(&noise->idle);

	leave_idle(noise, oldest);
	LIST_REMOVE(oldest, chain);
	free(oldest);
}

void
sluice_noise_leave(SluiceNoise *noise, SluiceTalker *talker, bool admitted)
{
	if (talker == NULL)
		return;
	pthread_mutex_lock(&noise->mutex);
	talker->voids += !admitted;
	talker->calls--;
	if (talker->calls == 0)
	{
		TAILQ_INSERT_TAIL(&noise->idle, talker, idle_link);
		if (++noise->nidle > IDLE_MAX)
			forget_oldest(noise);
	}
	pthread_mutex_unlock(&noise->mutex);
}

SluiceTalk
sluice_noise_take(SluiceNoise *noise, const struct sockaddr_storage *address)
{
	SluiceTalk	talk = {0};
	SluiceTalker *talker;

	pthread_mutex_lock(&noise->mutex);
	talker = find(noise, address);
	if (talker != NULL)
	{
		talk.calls = talker->calls;
		talk.voids = atomic_exchange(&talker->voids, 0);
		talk.trusted = talker->trusted;
	}
	pthread_mutex_unlock(&noise->mutex);
	return talk;
}
