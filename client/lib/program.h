/*
 * program.h
 *		What a program calls itself towards the server.
 */
#ifndef SLUICE_LIB_PROGRAM_H
#define SLUICE_LIB_PROGRAM_H

#include "../sluice.h"

#define SLUICE_PROGRAM_LIBRARY "libsluice " SLUICE_VERSION

/* Its own name is cut to so many bytes. */
#define SLUICE_PROGRAM_MAX 128
#define SLUICE_PROGRAM_ROOM (SLUICE_PROGRAM_MAX + sizeof(" (" SLUICE_PROGRAM_LIBRARY ")"))

/* "program (library)"; the program's name is cut behind a whole character, and may be NULL or empty. */
extern void sluice_program_describe(char out[SLUICE_PROGRAM_ROOM], const char *program);

#endif							/* SLUICE_LIB_PROGRAM_H */
