/*
 * salvage.h
 *		What can still be read of damaged buffers.
 */
#ifndef SLUICE_LIB_SALVAGE_H
#define SLUICE_LIB_SALVAGE_H

#include "repair.h"

extern int sluice_salvage(const SluiceRepairJob *job);

#endif							/* SLUICE_LIB_SALVAGE_H */
