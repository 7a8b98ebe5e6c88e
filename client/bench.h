/*
 * bench.h
 *		The command "sluice bench".
 */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

extern int	sluice_bench_main(int argc, char **argv);

#endif							/* SLUICE_BENCH_H */
