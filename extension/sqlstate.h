/*
 * sqlstate.h
 *		What an error means for the record that raised it.
 */
#ifndef SLUICE_SQLSTATE_H
#define SLUICE_SQLSTATE_H

#include "postgres.h"

typedef enum SluiceErrorClass
{
	SLUICE_ERROR_DATA,			/* the record's own fault: a dead letter */
	SLUICE_ERROR_RETRY			/* transient, or an operator's to mend: held and tried again */
} SluiceErrorClass;

extern SluiceErrorClass sluice_sqlstate_class(int sqlerrcode);

/* The same of an error that was caught. */
extern SluiceErrorClass sluice_sqlstate_class_of(const ErrorData *error);

#endif							/* SLUICE_SQLSTATE_H */
