/*
 * describe.c
 *		Prints the library's options for pages.py: owner, name, type, default, range and meaning, with tabs between.
 */
#include <stdio.h>

#include "sluice.h"

int
main(void)
{
	sluice_option_description about;

	for (size_t i = 0; sluice_options_describe(i, &about); i++)
		printf("%s\t%s\t%s\t%s\t%s\t%s\n", about.scope, about.name, about.type, about.initial, about.range, about.meaning);
	return fflush(stdout) != 0;
}
