/*
 * buffer_command.h
 *		The command "sluice buffer".
 */
#ifndef SLUICE_BUFFER_COMMAND_H
#define SLUICE_BUFFER_COMMAND_H

extern int	sluice_buffer_main(int argc, char **argv);

#endif							/* SLUICE_BUFFER_COMMAND_H */
