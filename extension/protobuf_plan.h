/*
 * protobuf_plan.h
 *		Which field of a message goes to which column, and how.
 */
#ifndef SLUICE_PROTOBUF_PLAN_H
#define SLUICE_PROTOBUF_PLAN_H

#include "descriptor.h"
#include "format.h"

typedef enum SluicePlanAction
{
	SLUICE_PLAN_DROP = 0,		/* no column, and unknown_fields = 'ignore' */
	SLUICE_PLAN_OVERFLOW,		/* a member of the overflow object */
	SLUICE_PLAN_SCALAR,			/* straight from the wire */
	SLUICE_PLAN_ENUM_NAME,		/* the same, by name */
	SLUICE_PLAN_JSON_TEXT,		/* a string that holds JSON */
	SLUICE_PLAN_TIMESTAMP,
	SLUICE_PLAN_DURATION,
	SLUICE_PLAN_WRAPPER,
	SLUICE_PLAN_JSON,			/* noted, then written as JSON */
	SLUICE_PLAN_ARRAY			/* noted, then written as an array literal */
} SluicePlanAction;

typedef struct SluiceFieldPlan
{
	const SluiceField *field;
	int			column;			/* -1 for DROP and OVERFLOW */
	uint8_t		action;			/* SluicePlanAction */
	uint8_t		wire_type;		/* of one value that is not packed */
	bool		json_text;		/* WRAPPER of a string that holds JSON */
	bool		empty_is_absent;	/* SCALAR, JSON_TEXT: no presence, and the column has no value for empty text */
} SluiceFieldPlan;

typedef struct SluiceProtobufPlan
{
	SluiceArena arena;
	const SluiceMessageType *type;
	SluiceFieldPlan *fields;	/* by index of the type's fields */
	SluiceValue *absent;		/* by column: its value where the field is absent */
	bool		oneofs;			/* some field is in a oneof */
} SluiceProtobufPlan;

/*
 * Fills in *plan, and the format's filled and text_only.  Where it fails the
 * arena is still to be freed.
 */
extern bool sluice_protobuf_plan_make(SluiceFormat *format, const SluiceFormatOptions *options,
									  SluiceProtobufPlan *plan, SluiceFormatError *error);

/* Can the column hold what the field holds? */
extern bool sluice_protobuf_plan_fits(const SluiceField *field, const SluiceColumn *column);

/* The columns that hold a message whole, for a table that is made for it. */
extern bool sluice_protobuf_plan_table_columns(const SluiceFormatOptions *options,
											   SluiceBuffer *out, SluiceFormatError *error);

#endif							/* SLUICE_PROTOBUF_PLAN_H */
