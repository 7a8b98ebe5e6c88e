/*
 * send.h
 *		The command "sluice send".
 */
#ifndef SLUICE_SEND_H
#define SLUICE_SEND_H

extern int	sluice_send_main(int argc, char **argv);

#endif							/* SLUICE_SEND_H */
