/*
 * version.c
 *		The library's version, which is the header's that it was built with.
 */
#include "../sluice.h"

const char *
sluice_version(void)
{
	return SLUICE_VERSION;
}
