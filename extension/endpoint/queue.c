/*
 * queue.c
 *		Records in a row, linked through themselves.
 */
#include "queue.h"

#include <string.h>

void
sluice_queue_append(SluiceQueue *queue, SluiceRecord *record)
{
	record->next = NULL;
	if (queue->last)
		queue->last->next = record;
	else
		queue->first = record;
	queue->last = record;
	queue->count++;
}

void
sluice_queue_prepend(SluiceQueue *queue, SluiceRecord *record)
{
	record->next = queue->first;
	queue->first = record;
	if (queue->last == NULL)
		queue->last = record;
	queue->count++;
}

SluiceRecord *
sluice_queue_pop(SluiceQueue *queue)
{
	SluiceRecord *record = queue->first;

	if (record == NULL)
		return NULL;
	queue->first = record->next;
	if (queue->first == NULL)
		queue->last = NULL;
	queue->count--;
	record->next = NULL;
	return record;
}

void
sluice_queue_prepend_all(SluiceQueue *target, SluiceQueue *source)
{
	if (source->count == 0)
		return;
	source->last->next = target->first;
	target->first = source->first;
	if (target->last == NULL)
		target->last = source->last;
	target->count += source->count;
	memset(source, 0, sizeof(*source));
}
