/*
 * strain.h
 *		Whether a thread of this process is short of time.
 */
#ifndef SLUICE_STRAIN_H
#define SLUICE_STRAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct SluiceStrain
{
	int			fd;
	int64_t		time_us;		/* that the thread has run, and waited for its turn to run */
} SluiceStrain;

/* False, with errno: no descriptor, or no /proc. */
extern bool sluice_strain_open(SluiceStrain *strain, pid_t thread);
extern void sluice_strain_close(SluiceStrain *strain);

/*
 * Has it run, or wanted to, for half of the time since the last call, so many
 * microseconds ago, or more?  True also where the system does not say.
 */
extern bool sluice_strain_felt(SluiceStrain *strain, int64_t elapsed);

#endif							/* SLUICE_STRAIN_H */
