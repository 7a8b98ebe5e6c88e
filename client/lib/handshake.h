/*
 * handshake.h
 *		What the transport's words for a connection that did not come up mean.
 */
#ifndef SLUICE_LIB_HANDSHAKE_H
#define SLUICE_LIB_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "settings.h"

/* Writes a sentence that tells what is wrong and which option it concerns; false: the words are plain enough. */
extern bool sluice_handshake_explain(const char *words, const SluiceSettings *settings, char *text, size_t size);

#endif							/* SLUICE_LIB_HANDSHAKE_H */
