/*
 * version.c
 *		The library's version, which the build tells (SLUICE_VERSION).
 */
#include "../sluice.h"

const char *
sluice_version(void)
{
	return SLUICE_VERSION;
}
