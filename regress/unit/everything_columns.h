/*
 * everything_columns.h
 *		A table for test.Everything (everything.proto), each field with the column that is natural or needs care.
 */
#ifndef SLUICE_EVERYTHING_COLUMNS_H
#define SLUICE_EVERYTHING_COLUMNS_H

#include "format.h"

#define PLAIN(name, type, type_name) {name, type, type_name, false, false, false}
#define ARRAY(name, type, type_name) {name, type, type_name, true, false, false}

static const SluiceColumn everything_columns[] = {
	PLAIN("f_double", SLUICE_COLUMN_FLOAT8, "double precision"),
	PLAIN("f_float", SLUICE_COLUMN_FLOAT4, "real"),
	PLAIN("f_int32", SLUICE_COLUMN_INT4, "integer"),
	PLAIN("f_int64", SLUICE_COLUMN_INT8, "bigint"),
	PLAIN("f_uint32", SLUICE_COLUMN_INT8, "bigint"),
	PLAIN("f_uint64", SLUICE_COLUMN_INT8, "bigint"),
	PLAIN("f_sint32", SLUICE_COLUMN_INT4, "integer"),
	PLAIN("f_sint64", SLUICE_COLUMN_NUMERIC, "numeric"),
	PLAIN("f_fixed32", SLUICE_COLUMN_INT8, "bigint"),
	PLAIN("f_fixed64", SLUICE_COLUMN_NUMERIC, "numeric"),
	PLAIN("f_sfixed32", SLUICE_COLUMN_INT4, "integer"),
	PLAIN("f_sfixed64", SLUICE_COLUMN_INT8, "bigint"),
	PLAIN("f_bool", SLUICE_COLUMN_BOOL, "boolean"),
	PLAIN("f_string", SLUICE_COLUMN_TEXT, "text"),
	PLAIN("f_bytes", SLUICE_COLUMN_BYTEA, "bytea"),
	PLAIN("f_enum_name", SLUICE_COLUMN_TEXT, "text"),
	PLAIN("f_enum_number", SLUICE_COLUMN_INT4, "integer"),
	PLAIN("o_int32", SLUICE_COLUMN_INT4, "integer"),
	PLAIN("o_string", SLUICE_COLUMN_TEXT, "text"),
	PLAIN("f_timestamp", SLUICE_COLUMN_TIMESTAMPTZ, "timestamp with time zone"),
	PLAIN("f_duration", SLUICE_COLUMN_INTERVAL, "interval"),
	PLAIN("w_double", SLUICE_COLUMN_FLOAT8, "double precision"),
	PLAIN("w_string", SLUICE_COLUMN_TEXT, "text"),
	PLAIN("w_bool", SLUICE_COLUMN_BOOL, "boolean"),
	PLAIN("w_uint64", SLUICE_COLUMN_NUMERIC, "numeric"),
	PLAIN("w_bytes", SLUICE_COLUMN_BYTEA, "bytea"),
	PLAIN("f_struct", SLUICE_COLUMN_JSONB, "jsonb"),
	ARRAY("r_int32", SLUICE_COLUMN_INT4, "integer"),
	ARRAY("r_string", SLUICE_COLUMN_TEXT, "text"),
	ARRAY("r_enum", SLUICE_COLUMN_TEXT, "text"),
	ARRAY("r_timestamp", SLUICE_COLUMN_TIMESTAMPTZ, "timestamp with time zone"),
	ARRAY("r_double", SLUICE_COLUMN_FLOAT8, "double precision"),
	ARRAY("r_bytes", SLUICE_COLUMN_BYTEA, "bytea"),
	ARRAY("r_bool", SLUICE_COLUMN_BOOL, "boolean"),
	PLAIN("r_json", SLUICE_COLUMN_JSONB, "jsonb"),
	ARRAY("r_wrapper", SLUICE_COLUMN_INT4, "integer"),
	PLAIN("f_point", SLUICE_COLUMN_JSONB, "jsonb"),
	PLAIN("r_point", SLUICE_COLUMN_JSON, "json"),
	PLAIN("m_point", SLUICE_COLUMN_JSONB, "jsonb"),
	PLAIN("m_int", SLUICE_COLUMN_JSONB, "jsonb"),
	PLAIN("m_bool", SLUICE_COLUMN_JSON, "json"),
	PLAIN("c_string", SLUICE_COLUMN_TEXT, "text"),
	PLAIN("c_int32", SLUICE_COLUMN_INT4, "integer"),
	PLAIN("c_point", SLUICE_COLUMN_JSONB, "jsonb"),
	PLAIN("c_timestamp", SLUICE_COLUMN_TIMESTAMP, "timestamp without time zone"),
	PLAIN("s_uuid", SLUICE_COLUMN_UUID, "uuid"),
	PLAIN("s_numeric", SLUICE_COLUMN_NUMERIC, "numeric"),
	PLAIN("s_timestamp", SLUICE_COLUMN_TIMESTAMPTZ, "timestamp with time zone"),
	PLAIN("s_jsonb", SLUICE_COLUMN_JSONB, "jsonb"),
	PLAIN("b_uuid", SLUICE_COLUMN_UUID, "uuid"),
	PLAIN("i_int4", SLUICE_COLUMN_INT4, "integer"),
	PLAIN("i_double", SLUICE_COLUMN_FLOAT8, "double precision"),
	PLAIN("i_text", SLUICE_COLUMN_TEXT, "text"),
	PLAIN("j_int64", SLUICE_COLUMN_JSONB, "jsonb"),
	PLAIN("j_default", SLUICE_COLUMN_TEXT, "text"),
	PLAIN("far", SLUICE_COLUMN_TEXT, "text")
};

#define NEVERYTHING ((int) (sizeof(everything_columns) / sizeof(everything_columns[0])))

#endif							/* SLUICE_EVERYTHING_COLUMNS_H */
