/*
 * column_shape.h
 *		A column of a table as the payload formats see it.
 */
#ifndef SLUICE_COLUMN_SHAPE_H
#define SLUICE_COLUMN_SHAPE_H

#include "postgres.h"

#include "catalog/pg_attribute.h"
#include "format.h"

/* Its strings are in the current memory context. */
extern SluiceColumn sluice_column_shape(Form_pg_attribute attribute);

#endif							/* SLUICE_COLUMN_SHAPE_H */
