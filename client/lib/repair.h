/*
 * repair.h
 *		A repair and whom to tell of it.
 */
#ifndef SLUICE_LIB_REPAIR_H
#define SLUICE_LIB_REPAIR_H

#include "../sluice.h"

typedef struct SluiceRepairJob
{
	const char *directory;
	const sluice_repair *repair;
	sluice_check_callback callback;
	void	   *argument;
} SluiceRepairJob;

extern void sluice_repair_tell(const SluiceRepairJob *job, bool error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif							/* SLUICE_LIB_REPAIR_H */
