/*
 * claims.h
 *		The producers of a batch: what of their records may be stored, and their account of it.
 *
 * A claim is what one call of a producer has in a batch.  It is decided from the
 * producer's row, which is locked first: what was settled before is passed over,
 * what does not follow waits for what is missing, what another call has
 * superseded is refused.  Records are settled in their order only: where one of
 * them has to wait, all behind it wait, too.
 */
#ifndef SLUICE_CLAIMS_H
#define SLUICE_CLAIMS_H

#include "postgres.h"

#include "producers.h"

struct SluiceBatch;
struct SluiceItem;
struct SluiceShare;

typedef struct SluiceClaim
{
	struct SluiceShare *share;
	SluiceSender *sender;
	struct SluiceItem **items;	/* by sequence */
	int			nitems;
	int			capacity;
	int			from;			/* the items [from, to) are to be settled now */
	int			to;
	int			placed;			/* items that were given their place in a piece */
	SluiceProducerRow row;
	bool		locked;			/* row is ours to write */
	int64		resent;
	SluiceRefusal *refusal;		/* its call is to end; or NULL */
} SluiceClaim;

typedef struct SluiceClaims
{
	SluiceProducers producers;
	SluiceClaim *claims;
	int			n;
	int			capacity;
} SluiceClaims;

/* Collect the claims of a batch, lock their rows, and decide.  Before keys are looked at. */
extern void sluice_claims_begin(struct SluiceBatch *batch);

/* After keys are known: behind what has to wait, everything of the same producer does. */
extern void sluice_claims_cut(struct SluiceBatch *batch);

/* After the records are stored: behind what was left without a verdict, everything of the same producer waits, too. */
extern void sluice_claims_trim(struct SluiceBatch *batch);

/* Then: put gaps on the books and write the rows. */
extern void sluice_claims_settle(struct SluiceBatch *batch);

/* End of the batch.  Not called after an error. */
extern void sluice_claims_end(struct SluiceBatch *batch);

#endif							/* SLUICE_CLAIMS_H */
