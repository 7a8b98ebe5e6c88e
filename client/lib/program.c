/*
 * program.c
 *		What a program calls itself towards the server.
 */
#include "program.h"

#include <stdio.h>
#include <string.h>

void
sluice_program_describe(char out[SLUICE_PROGRAM_ROOM], const char *program)
{
	size_t		length = program != NULL ? strnlen(program, SLUICE_PROGRAM_MAX + 1) : 0;

	if (length > SLUICE_PROGRAM_MAX)
	{
		length = SLUICE_PROGRAM_MAX;
		while (length > 0 && ((unsigned char) program[length]) >> 6 == 2)
			length--;
	}
	if (length > 0)
		sprintf(out, "%.*s (" SLUICE_PROGRAM_LIBRARY ")", (int) length, program);
	else
		strcpy(out, SLUICE_PROGRAM_LIBRARY);
}
