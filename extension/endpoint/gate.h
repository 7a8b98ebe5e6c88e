/*
 * gate.h
 *		Who may come in: pg_hba.conf, passwords, certificates and what the role is allowed.
 *
 * A record that opens a call (SLUICE_OPEN, SLUICE_SUBSCRIBE, SLUICE_UNSUBSCRIBE) passes here
 * first, and a SLUICE_CHECK of a call that is open only here.
 */
#ifndef SLUICE_GATE_H
#define SLUICE_GATE_H

#include "postgres.h"

#include "network.h"

typedef struct SluiceGate SluiceGate;

/* Where a record goes that was let in.  Its sender has its role by then. */
typedef void (*SluiceGateAdmit) (void *argument, SluiceRecord *record);

extern SluiceGate *sluice_gate_create(SluiceNetwork *network, SluiceGateAdmit admit, void *argument);

/* Let it in, or refuse it; now, or when its password was checked. */
extern void sluice_gate_add(SluiceGate *gate, SluiceRecord *record);

/* Take what the threads beside have done, answer what is due, have open calls checked where something was changed. */
extern void sluice_gate_turn(SluiceGate *gate);

/* When something is due, on the main thread's clock; PG_INT64_MAX: never. */
extern int64 sluice_gate_next(const SluiceGate *gate);

/* The configuration was read again: so are pg_hba.conf and pg_ident.conf. */
extern void sluice_gate_reload(SluiceGate *gate);

/* From now on all are refused with UNAVAILABLE and the message, which must stay. */
extern void sluice_gate_drain(SluiceGate *gate, const char *message);

/* Nobody waits. */
extern bool sluice_gate_done(const SluiceGate *gate);

/* Has a look-up failed in a way that may mean that the extension is gone?  Asking clears it. */
extern bool sluice_gate_suspects_drop(SluiceGate *gate);

/* The process ends: no thread of the gate's computes any more. */
extern void sluice_gate_stop(SluiceGate *gate);

#endif							/* SLUICE_GATE_H */
