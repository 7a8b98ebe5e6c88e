/*
 * dead_letter.h
 *		Records that their target refused.
 */
#ifndef SLUICE_DEAD_LETTER_H
#define SLUICE_DEAD_LETTER_H

#include "piece.h"

/* Write a dead letter for each item with that verdict and a reason. */
extern void sluice_dead_letter_write(SluiceStream *stream, SluiceItem *items, int nitems);

#endif							/* SLUICE_DEAD_LETTER_H */
