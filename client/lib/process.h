/*
 * process.h
 *		In which process something was opened.
 *
 * A child of a process that has a producer or a consumer open shares its memory and none
 * of its threads.
 */
#ifndef SLUICE_LIB_PROCESS_H
#define SLUICE_LIB_PROCESS_H

#include <stdbool.h>

/* How many forks lie between this process and the one that loaded the library: cheaper to ask than getpid(). */
extern unsigned sluice_process_generation(void);

/* Begin to count them, before anything is opened.  False: out of memory. */
extern bool sluice_process_watch(void);

#endif							/* SLUICE_LIB_PROCESS_H */
