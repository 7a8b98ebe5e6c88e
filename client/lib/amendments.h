/*
 * amendments.h
 *		What has to change in the store because records became gaps.
 */
#ifndef SLUICE_LIB_AMENDMENTS_H
#define SLUICE_LIB_AMENDMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SluiceAmendment
{
	enum
	{
		SLUICE_AMEND_DROP,		/* the records from..to go */
		SLUICE_AMEND_ERASE,		/* the gap that begins at `from` goes: another one has its sequences */
		SLUICE_AMEND_WRITE		/* the gap that has `from` is to be written as it then is */
	}			kind;
	int			reason;			/* of a gap that is written, once that is known */
	uint64_t	from;
	uint64_t	to;
} SluiceAmendment;

typedef struct SluiceAmendments
{
	SluiceAmendment *list;
	size_t		count;
	size_t		size;
} SluiceAmendments;

/* Room for so many more; false: out of memory. */
extern bool sluice_amendments_reserve(SluiceAmendments *amendments, size_t more);

/* There is room. */
extern void sluice_amendments_drop(SluiceAmendments *amendments, uint64_t from, uint64_t to);
extern void sluice_amendments_erase(SluiceAmendments *amendments, uint64_t from);
extern void sluice_amendments_write(SluiceAmendments *amendments, uint64_t from);
extern void sluice_amendments_free(SluiceAmendments *amendments);

#endif							/* SLUICE_LIB_AMENDMENTS_H */
