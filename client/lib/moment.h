/*
 * moment.h
 *		A point in time as text: "2026-01-31T23:59:59.5Z".
 */
#ifndef SLUICE_LIB_MOMENT_H
#define SLUICE_LIB_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A date, then perhaps "T" or a blank and hours and minutes, seconds, up to six digits of a
 * second; then perhaps a zone, "Z", "+hh:mm" or "-hh:mm", else it is UTC.  The years 1970 to 9999; microseconds since
 * 1970-01-01 UTC.  False: it is no such time.
 */
extern bool sluice_moment_read(const char *text, int64_t *microseconds);

#endif							/* SLUICE_LIB_MOMENT_H */
