/* queue: nothing lost or out of order between two threads, bounded, woken when starving. */
#include "queue.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

#define RECORDS 200000
#define LIMIT 100
#define BATCH 7

static sem_t woken;
static bool accepted;

static void
wake(void *argument)
{
	(void) argument;
	sem_post(&woken);
}

static void *
push_all(void *argument)
{
	SluiceQueue *queue = argument;
	SluiceRecordList batch;

	memset(&batch, 0, sizeof(batch));
	accepted = true;
	for (uint64_t i = 1; i <= RECORDS && accepted; i++)
	{
		SluiceClientRecord *record = sluice_record_create("k", 1, "p", 1);

		record->line = i;
		sluice_record_list_append(&batch, record);
		if (batch.count == BATCH || i == RECORDS)
			accepted = sluice_queue_push(queue, &batch);
	}
	sluice_queue_finish(queue);
	return NULL;
}

/* Takes until the end, sleeping only when starving; a lost wake-up hangs, and alarm() ends that. */
static void
test_all_arrive(void)
{
	SluiceQueue *queue = sluice_queue_create(LIMIT, 1000000);
	SluiceRecordList list;
	pthread_t	thread;
	uint64_t	next = 1;
	size_t		most = 0;
	bool		in_order = true;

	memset(&list, 0, sizeof(list));
	sluice_queue_set_wake(queue, wake, NULL);
	pthread_create(&thread, NULL, push_all, queue);
	while (sluice_queue_take(queue, &list))
	{
		SluiceClientRecord *record;

		if (list.count == 0)
			sem_wait(&woken);
		most = list.count > most ? list.count : most;
		while ((record = sluice_record_list_take_first(&list)) != NULL)
		{
			in_order = in_order && record->line == next++;
			free(record);
		}
	}
	pthread_join(thread, NULL);
	ok(in_order && next == RECORDS + 1, "all arrive in order");
	ok(most < LIMIT + BATCH, "never more than the bound and a batch");
	sluice_queue_free(queue);
}

static void
test_close(void)
{
	SluiceQueue *queue = sluice_queue_create(LIMIT, 1000000);
	SluiceRecordList list;
	pthread_t	thread;

	memset(&list, 0, sizeof(list));
	sluice_queue_set_wake(queue, wake, NULL);
	pthread_create(&thread, NULL, push_all, queue);
	while (list.count == 0)
		sluice_queue_take(queue, &list);
	sluice_queue_close(queue);
	pthread_join(thread, NULL);
	ok(!accepted, "closing ends a push that waits, and all after it");
	sluice_record_list_free(&list);
	sluice_queue_free(queue);
}

static void
test_bytes(void)
{
	SluiceQueue *queue = sluice_queue_create(1000000, 1);
	SluiceRecordList list;

	memset(&list, 0, sizeof(list));
	sluice_record_list_append(&list, sluice_record_create("key", 3, "payload", 7));
	ok(list.bytes == 14 && sluice_record_message_size(3, 7) == 14 && memcmp(list.first->message, "\x0A\x03key\x12\x07payload", 14) == 0,
	   "a message is the two fields");
	ok(sluice_queue_push(queue, &list) && list.count == 0, "a batch larger than the bound gets in when there is nothing");
	ok(sluice_queue_take(queue, &list) && list.count == 1, "and out");
	sluice_queue_finish(queue);
	sluice_record_list_free(&list);
	ok(!sluice_queue_take(queue, &list), "then it is finished");
	sluice_queue_free(queue);
}

int
main(void)
{
	alarm(60);
	sem_init(&woken, 0, 0);
	test_all_arrive();
	test_close();
	test_bytes();
	return done_testing();
}
