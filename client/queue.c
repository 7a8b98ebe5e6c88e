/*
 * queue.c
 *		Records on their way from the thread that makes them to the sender.
 *
 * One mutex guards everything.  The lists are handed over whole, so it is
 * taken once for hundreds of records.  A batch is let in while the queue is
 * below its bounds, so these are exceeded by at most one batch.
 */
#include "queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "memory.h"

struct SluiceQueue
{
	pthread_mutex_t mutex;
	pthread_cond_t room;		/* signalled when the list was taken, or the queue closed */
	SluiceRecordList list;
	size_t		max_count;
	size_t		max_bytes;
	bool		finished;
	bool		closed;
	bool		starving;		/* take() found nothing: the next push wakes it */
	void		(*wake) (void *);
	void	   *wake_argument;
};

SluiceQueue *
sluice_queue_create(size_t max_count, size_t max_bytes)
{
	SluiceQueue *queue = sluice_memory_get_zeroed(sizeof(SluiceQueue));

	pthread_mutex_init(&queue->mutex, NULL);
	pthread_cond_init(&queue->room, NULL);
	queue->max_count = max_count;
	queue->max_bytes = max_bytes;
	return queue;
}

void
sluice_queue_set_wake(SluiceQueue *queue, void (*wake) (void *), void *argument)
{
	pthread_mutex_lock(&queue->mutex);
	queue->wake = wake;
	queue->wake_argument = argument;
	pthread_mutex_unlock(&queue->mutex);
}

void
sluice_queue_free(SluiceQueue *queue)
{
	sluice_record_list_free(&queue->list);
	pthread_cond_destroy(&queue->room);
	pthread_mutex_destroy(&queue->mutex);
	free(queue);
}

/* With the mutex held, so that the taker cannot have gone meanwhile. */
static void
wake_taker(SluiceQueue *queue)
{
	if (queue->starving && queue->wake != NULL)
	{
		queue->starving = false;
		queue->wake(queue->wake_argument);
	}
}

bool
sluice_queue_push(SluiceQueue *queue, SluiceRecordList *batch)
{
	bool		taken;

	pthread_mutex_lock(&queue->mutex);
	while (!queue->closed && (queue->list.count >= queue->max_count || queue->list.bytes >= queue->max_bytes))
		pthread_cond_wait(&queue->room, &queue->mutex);
	taken = !queue->closed;
	if (taken)
	{
		sluice_record_list_append_all(&queue->list, batch);
		wake_taker(queue);
	}
	pthread_mutex_unlock(&queue->mutex);
	if (!taken)
		sluice_record_list_free(batch);
	return taken;
}

void
sluice_queue_finish(SluiceQueue *queue)
{
	pthread_mutex_lock(&queue->mutex);
	queue->finished = true;
	wake_taker(queue);
	pthread_mutex_unlock(&queue->mutex);
}

bool
sluice_queue_take(SluiceQueue *queue, SluiceRecordList *list)
{
	bool		more;

	pthread_mutex_lock(&queue->mutex);
	more = queue->list.count > 0 || !queue->finished;
	if (queue->list.count > 0)
	{
		sluice_record_list_append_all(list, &queue->list);
		pthread_cond_signal(&queue->room);
	}
	else
		queue->starving = !queue->finished;
	pthread_mutex_unlock(&queue->mutex);
	return more;
}

size_t
sluice_queue_close(SluiceQueue *queue)
{
	size_t		dropped;

	pthread_mutex_lock(&queue->mutex);
	dropped = queue->list.count;
	queue->closed = true;
	queue->wake = NULL;
	sluice_record_list_free(&queue->list);
	pthread_cond_signal(&queue->room);
	pthread_mutex_unlock(&queue->mutex);
	return dropped;
}
