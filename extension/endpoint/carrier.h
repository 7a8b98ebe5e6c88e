/*
 * carrier.h
 *		What calls that carry records have in common: IngestData, Publish and Subscribe.
 *
 * A carrier has records with the main thread (out) and answers for its client.
 * Where there is no room for more it is paused; when it ends, its status goes
 * out after its last answer.  Where the client left, it stays until the main
 * thread has given back its records.
 *
 * A method of this kind begins its struct with a SluiceCarrier and has the
 * members proceed, resume (if it ever pauses), settled and forget in its SluiceMethod.
 */
#ifndef SLUICE_CARRIER_H
#define SLUICE_CARRIER_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include <sys/queue.h>

#include <grpc/grpc.h>

#include "board.h"
#include "call.h"
#include "record.h"
#include "room.h"

typedef struct SluiceCarrier
{
	SluiceCall	call;			/* first, for the casts */
	TAILQ_ENTRY(SluiceCarrier) answering_link;
	TAILQ_ENTRY(SluiceCarrier) paused_link;
	TAILQ_ENTRY(SluiceCarrier) throttled_link;
	bool		answering;		/* the loop looks after it before it waits again */
	bool		paused;			/* not read for lack of room */
	bool		ending;			/* nothing more is read */
	struct SluiceBucket *throttled_by;	/* not read because this is empty; or NULL */
	int64_t		throttled_at;	/* since then; this and the next are monotonic microseconds */
	int64_t		begun_at;
	int64_t		ends_at;		/* its client is to connect again then; 0: never */
	SluiceSender sender;
	SluiceShare *share;			/* of the room of its stream's name */
	SluiceUsage usage;
	size_t		reserved;		/* records of the room that are this call's alone */
	SluiceNotice notice;		/* what is shown of it */
	size_t		out;			/* handed to the main thread, not back yet */
	SluiceRecord check;			/* asks the main thread whether the client may still be here */
	bool		checking;		/* it was handed over */
	grpc_byte_buffer *held;		/* a message that was read and waits for room, or for its turn */
	grpc_status_code end_status;
	const char *end_reason;		/* for sluice-reason, or NULL; static */
	uint64_t	end_sequence;	/* for sluice-last-sequence, with some reasons */
	char		end_message[256];
} SluiceCarrier;

/*
 * Take over what the request says of its sender: stream NULL takes the name
 * from the metadata.  False: the call was ended.
 */
extern bool sluice_carrier_begin(SluiceCarrier *carrier, const grpc_metadata_array *metadata);

/* A name for the stream in place of the metadata's.  False: it is no stream's name, the call ends with this message. */
extern bool sluice_carrier_take_stream(SluiceCarrier *carrier, const char *name, size_t length, const char *otherwise);

/* The stream's name is known: join its share.  False: no memory for another call (the caller ends it). */
extern bool sluice_carrier_join(SluiceCarrier *carrier);

/* Have the loop look after this call before it waits again. */
extern void sluice_carrier_schedule(SluiceCarrier *carrier);

extern void sluice_carrier_pause(SluiceCarrier *carrier);

/* What it waited for may be there: with what it holds, else it reads on. */
extern void sluice_carrier_go_on(SluiceCarrier *carrier);

/* Nothing more is read; the first reason stands. */
extern void sluice_carrier_finish(SluiceCarrier *carrier, grpc_status_code status, const char *format, ...)
			__attribute__((format(printf, 3, 4)));

/*
 * For what the main thread, or a message, gives as reason.  Refused: something
 * stays without an answer, so that a call that was half-closed does not end with OK.
 */
extern void sluice_carrier_finish_for(SluiceCarrier *carrier, grpc_status_code status, const char *reason, const char *message);
extern void sluice_carrier_refused(SluiceCarrier *carrier, const SluiceRefusal *refusal, const char *otherwise);

/* Hand a record (the first of a run) to the main thread. */
extern void sluice_carrier_hand_over(SluiceCarrier *carrier, SluiceRecord *record);

/* Room in memory for so much more, and back. */
extern void sluice_carrier_take_room(SluiceCarrier *carrier, size_t records, size_t bytes);
extern void sluice_carrier_give_room(SluiceCarrier *carrier, size_t records, size_t bytes);
extern bool sluice_carrier_has_room(const SluiceCarrier *carrier, size_t records, size_t bytes);

/* The same for a subscription, whose records are its own until it ends.  False: there are too many. */
extern bool sluice_carrier_reserve(SluiceCarrier *carrier, size_t records);
extern void sluice_carrier_load(SluiceCarrier *carrier, size_t bytes);
extern void sluice_carrier_unload(SluiceCarrier *carrier, size_t bytes);

/* Send the status, with sluice-reason where there is one. */
extern void sluice_carrier_end(SluiceCarrier *carrier);

/* Members of SluiceMethod that all carriers share. */
extern void sluice_carrier_drained(SluiceCall *call);
extern void sluice_carrier_over(SluiceCarrier *carrier);	/* to be called by the method's own */
extern bool sluice_carrier_destroy(SluiceCall *call);

/* ---- for the loop ---- */

/* A record came back from the main thread. */
extern void sluice_carrier_settled(struct SluiceNetwork *network, SluiceRecord *record);

/* Send what is to be sent on calls that have nothing under way. */
extern void sluice_carrier_answer(struct SluiceNetwork *network);

/* Look at some of the paused calls: is there room for them now? */
extern void sluice_carrier_resume(struct SluiceNetwork *network);

/* Ask the main thread whether the clients of the calls that are open may still be here. */
extern void sluice_carrier_check(struct SluiceNetwork *network);

/* Free what the main thread has not given back.  For the very end. */
extern void sluice_carrier_forget(struct SluiceNetwork *network);

#endif							/* SLUICE_CARRIER_H */
