/*
 * keys.h
 *		The tables of idempotency keys, within one transaction.
 */
#ifndef SLUICE_KEYS_H
#define SLUICE_KEYS_H

#include "postgres.h"

#include "access/genam.h"
#include "executor/tuptable.h"
#include "generations.h"
#include "record.h"
#include "utils/rel.h"

/* How a verdict is remembered with its key. */
#define SLUICE_KEY_STORED 's'
#define SLUICE_KEY_DEAD_LETTERED 'd'
#define SLUICE_KEY_FILTERED 'f'

typedef struct SluiceKeyTable
{
	Relation	heap;			/* NULL: not opened */
	Relation	index;
	struct IndexInfo *info;
	IndexScanDesc scan;			/* made when first probed */
	TupleTableSlot *slot;		/* of the scan */
	SnapshotData dirty;
} SluiceKeyTable;

typedef struct SluiceKeys
{
	SluiceGenerations generations;
	SluiceKeyTable current;
	SluiceKeyTable previous;	/* not opened where it is empty and takes no keys */
	bool		has_limit;		/* previous is frozen, and this is its greatest key */
	uint8		limit[SLUICE_KEY_SIZE];
} SluiceKeys;

typedef struct SluiceKeyEntry
{
	const uint8 *key;
	int64		payload_hash;
	int32		stream;
	char		verdict;
	bool		replace;		/* its row in the current generation, known as dead-lettered, goes */
} SluiceKeyEntry;

typedef enum SluiceKeyState
{
	SLUICE_KEY_UNKNOWN,
	SLUICE_KEY_KNOWN,
	SLUICE_KEY_BUSY				/* a transaction that is still open is writing it */
} SluiceKeyState;

typedef struct SluiceKeyFound
{
	char		verdict;
	int64		payload_hash;
	TransactionId writer;		/* KNOWN: who wrote it; BUSY: whom to wait for */
} SluiceKeyFound;

/* Read which generations are in use, and open them until the end of the transaction. */
extern void sluice_keys_begin(SluiceKeys *keys);

/* End of the batch: close what was opened.  Not called after an error. */
extern void sluice_keys_end(SluiceKeys *keys);

/*
 * Look a key up.  Only in the previous generation where skip_current is set:
 * the insertion into the current one finds what is there.
 */
extern SluiceKeyState sluice_keys_probe(SluiceKeys *keys, const uint8 *key, int32 stream,
										bool skip_current, SluiceKeyFound *found);

/*
 * Insert keys, sorted.  Never waits: false as soon as one of them is, or may
 * be, there already; the caller then rolls back.
 */
extern bool sluice_keys_insert(SluiceKeys *keys, SluiceKeyEntry *entries, int n);

#endif							/* SLUICE_KEYS_H */
