/*
 * isolate.h
 *		Storing what can be stored of some records, whatever the others do.
 */
#ifndef SLUICE_ISOLATE_H
#define SLUICE_ISOLATE_H

#include "piece.h"

/*
 * Store the items of the piece in subtransactions.  A record that fails alone
 * with a data error gets the verdict dead-lettered and its reason.  An error of
 * another kind is thrown, with nothing stored that the caller's own
 * subtransaction would not undo; except that, where patient is set, a record that
 * alone raises it while neighbours are stored stays pending, and is
 * dead-lettered after sluice.max_attempts.
 */
extern void sluice_isolate_store(SluicePiece *piece, bool patient);

#endif							/* SLUICE_ISOLATE_H */
