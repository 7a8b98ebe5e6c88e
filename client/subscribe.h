/*
 * subscribe.h
 *		The commands "sluice subscribe" and "sluice unsubscribe".
 */
#ifndef SLUICE_SUBSCRIBE_H
#define SLUICE_SUBSCRIBE_H

extern int	sluice_subscribe_main(int argc, char **argv);
extern int	sluice_unsubscribe_main(int argc, char **argv);

#endif							/* SLUICE_SUBSCRIBE_H */
