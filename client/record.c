/*
 * record.c
 *		A record on its way to the server, kept until it is acknowledged.
 *
 * The message is written by hand: two length-delimited fields, the key (1)
 * and the payload (2), whose bytes the caller brings in the stream's format.
 */
#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define FIELD_KEY 0x0A			/* field 1, length-delimited */
#define FIELD_PAYLOAD 0x12		/* field 2, length-delimited */

static size_t
varint_size(size_t value)
{
	size_t		size = 1;

	while (value >= 0x80)
	{
		value >>= 7;
		size++;
	}
	return size;
}

static uint8_t *
put_varint(uint8_t *p, size_t value)
{
	while (value >= 0x80)
	{
		*p++ = (uint8_t) (value | 0x80);
		value >>= 7;
	}
	*p++ = (uint8_t) value;
	return p;
}

size_t
sluice_record_message_size(size_t key_length, size_t payload_length)
{
	return 1 + varint_size(key_length) + key_length + 1 + varint_size(payload_length) + payload_length;
}

SluiceClientRecord *
sluice_record_create(const char *key, size_t key_length, const char *payload, size_t payload_length)
{
	size_t		length = sluice_record_message_size(key_length, payload_length);
	SluiceClientRecord *record = sluice_memory_get(sizeof(SluiceClientRecord) + length);
	uint8_t    *p = record->message;

	memset(record, 0, sizeof(SluiceClientRecord));
	*p++ = FIELD_KEY;
	p = put_varint(p, key_length);
	record->key_offset = (uint32_t) (p - record->message);
	record->key_length = (uint32_t) key_length;
	record->length = (uint32_t) length;
	if (key_length > 0)
		memcpy(p, key, key_length);
	p += key_length;
	*p++ = FIELD_PAYLOAD;
	p = put_varint(p, payload_length);
	if (payload_length > 0)
		memcpy(p, payload, payload_length);
	return record;
}

void
sluice_record_list_append(SluiceRecordList *list, SluiceClientRecord *record)
{
	record->next = NULL;
	if (list->last != NULL)
		list->last->next = record;
	else
		list->first = record;
	list->last = record;
	list->count++;
	list->bytes += record->length;
}

void
sluice_record_list_append_all(SluiceRecordList *list, SluiceRecordList *other)
{
	if (other->first == NULL)
		return;
	if (list->last != NULL)
		list->last->next = other->first;
	else
		list->first = other->first;
	list->last = other->last;
	list->count += other->count;
	list->bytes += other->bytes;
	memset(other, 0, sizeof(*other));
}

SluiceClientRecord *
sluice_record_list_take_first(SluiceRecordList *list)
{
	SluiceClientRecord *record = list->first;

	if (record == NULL)
		return NULL;
	list->first = record->next;
	if (list->first == NULL)
		list->last = NULL;
	list->count--;
	list->bytes -= record->length;
	record->next = NULL;
	return record;
}

void
sluice_record_list_free(SluiceRecordList *list)
{
	SluiceClientRecord *record;

	while ((record = sluice_record_list_take_first(list)) != NULL)
		free(record);
}
