/*
 * json_scan.c
 *		A walk over the members of a JSON object.
 */
#include "json_scan.h"

#include <stddef.h>
#include <string.h>

void
sluice_scan_skip_space(SluiceScan *scan)
{
	while (scan->at < scan->end &&
		   (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\r' || *scan->at == '\n'))
		scan->at++;
}

bool
sluice_scan_skip_byte(SluiceScan *scan, char byte)
{
	if (scan->at >= scan->end || *scan->at != byte)
		return false;
	scan->at++;
	return true;
}

/* A string with its quotes; the text between them, escapes as they are. */
static bool
skip_string(SluiceScan *scan, SluiceScan *inside)
{
	if (!sluice_scan_skip_byte(scan, '"'))
		return false;
	inside->at = scan->at;
	while (scan->at < scan->end && *scan->at != '"')
	{
		if ((unsigned char) *scan->at < 0x20)
			return false;
		if (*scan->at == '\\' && ++scan->at >= scan->end)
			return false;
		scan->at++;
	}
	inside->end = scan->at;
	return sluice_scan_skip_byte(scan, '"');
}

/* An object or array: up to the bracket that closes it. */
static bool
skip_nested(SluiceScan *scan)
{
	SluiceScan	inside;
	size_t		depth = 0;

	while (scan->at < scan->end)
	{
		switch (*scan->at)
		{
			case '"':
				if (!skip_string(scan, &inside))
					return false;
				continue;
			case '{':
			case '[':
				depth++;
				break;
			case '}':
			case ']':
				depth--;
				break;
			default:
				break;
		}
		scan->at++;
		if (depth == 0)
			return true;
	}
	return false;
}

/* Any value; a number or word goes up to what cannot be part of one. */
static bool
skip_value(SluiceScan *scan)
{
	SluiceScan	inside;
	const char *start = scan->at;

	if (scan->at >= scan->end)
		return false;
	if (*scan->at == '"')
		return skip_string(scan, &inside);
	if (*scan->at == '{' || *scan->at == '[')
		return skip_nested(scan);
	while (scan->at < scan->end && memchr(",}] \t\r\n", *scan->at, 7) == NULL)
		scan->at++;
	return scan->at > start;
}

bool
sluice_scan_object(SluiceScan *scan, SluiceScanMember member, void *argument)
{
	SluiceScan	name;
	SluiceScan	value;

	if (!sluice_scan_skip_byte(scan, '{'))
		return false;
	sluice_scan_skip_space(scan);
	if (sluice_scan_skip_byte(scan, '}'))
		return true;
	for (;;)
	{
		sluice_scan_skip_space(scan);
		if (!skip_string(scan, &name))
			return false;
		sluice_scan_skip_space(scan);
		if (!sluice_scan_skip_byte(scan, ':'))
			return false;
		sluice_scan_skip_space(scan);
		value.at = scan->at;
		if (!skip_value(scan))
			return false;
		value.end = scan->at;
		member(argument, name, value);
		sluice_scan_skip_space(scan);
		if (sluice_scan_skip_byte(scan, '}'))
			return true;
		if (!sluice_scan_skip_byte(scan, ','))
			return false;
	}
}
