/*
 * json_scan.h
 *		A walk over the members of a JSON object, looked at no further than that takes.
 */
#ifndef SLUICE_JSON_SCAN_H
#define SLUICE_JSON_SCAN_H

#include <stdbool.h>

typedef struct SluiceScan
{
	const char *at;
	const char *end;
} SluiceScan;

extern void sluice_scan_skip_space(SluiceScan *scan);
extern bool sluice_scan_skip_byte(SluiceScan *scan, char byte);

/* name: between the quotes, escapes as they are. */
typedef void (*SluiceScanMember) (void *argument, SluiceScan name, SluiceScan value);

/* From the brace to the one that closes it, behind which the scan is then.  False: it is no object. */
extern bool sluice_scan_object(SluiceScan *scan, SluiceScanMember member, void *argument);

#endif							/* SLUICE_JSON_SCAN_H */
