/*
 * record.h
 *		A record on its way to the server, kept until it is acknowledged.
 *
 * It holds the bytes of its ingestion.IngestDataRequest, encoded once, so
 * that sending it again costs what sending it costs.  It belongs to the thread
 * that made it until it is pushed into a queue (queue.h), then to the sender.
 */
#ifndef SLUICE_CLIENT_RECORD_H
#define SLUICE_CLIENT_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define SLUICE_KEY_MAX_LENGTH 1024	/* what the server takes: proto/ingestion.proto */
#define SLUICE_ENTITY_MAX_LENGTH 255	/* what libsluice takes: sluice.h */

typedef struct SluiceClientRecord
{
	struct SluiceClientRecord *next;	/* in a list, in the order of sending */
	struct SluiceClientRecord *previous;	/* in the window */
	struct SluiceClientRecord *chain;	/* next key in the window's bucket */
	struct SluiceClientRecord *twin;	/* next record of the same key, younger */
	struct SluiceClientRecord *last_twin;	/* only in the oldest of its key */
	uint64_t	hash;			/* of the key */
	uint64_t	order;			/* in the window */
	int64_t		due;			/* when it left, or was to leave, where somebody measures */
	uint64_t	line;			/* where it came from, for messages */
	uint32_t	source;
	uint32_t	key_offset;		/* in message */
	uint32_t	key_length;
	uint32_t	length;			/* of message */
	uint8_t		message[];
} SluiceClientRecord;

typedef struct SluiceRecordList
{
	SluiceClientRecord *first;
	SluiceClientRecord *last;
	size_t		count;
	size_t		bytes;			/* of the messages */
} SluiceRecordList;

/* Bytes of the message for a key and a payload of these lengths. */
extern size_t sluice_record_message_size(size_t key_length, size_t payload_length);

/* The caller has checked that sluice_record_message_size() is below 2^31. */
extern SluiceClientRecord *sluice_record_create(const char *key, size_t key_length,
												const char *payload, size_t payload_length);

extern void sluice_record_list_append(SluiceRecordList *list, SluiceClientRecord *record);
extern void sluice_record_list_append_all(SluiceRecordList *list, SluiceRecordList *other);	/* empties other */
extern SluiceClientRecord *sluice_record_list_take_first(SluiceRecordList *list);	/* NULL when empty */
extern void sluice_record_list_free(SluiceRecordList *list);

#endif							/* SLUICE_CLIENT_RECORD_H */
