/*
 * call.h
 *		One gRPC call, whatever its method.
 *
 * The state machine that all methods share: it owns the grpc_call, knows which
 * batches are under way and when all is over.  What a call means is its
 * method's: a table of functions, one for each thing that can happen to a
 * call.  A method's own state is a struct that begins with a SluiceCall.
 *
 * Life of a call, seen by its method:
 *
 *	begin		it was accepted; nothing was read or sent yet
 *	received	a message came that was asked for by sluice_call_read
 *	half_closed	the client will send no more
 *	sent		the message of sluice_call_send has passed flow control
 *	drained		the server is to go: end as soon as what was taken is answered
 *	over		the client has the status, or is gone: no more calls into gRPC
 *	destroy		after over and after the last batch: free it.  False: still
 *				needed; the method then calls sluice_call_free itself
 *
 * All of it happens in the network thread.
 */
#ifndef SLUICE_CALL_H
#define SLUICE_CALL_H

#ifdef POSTGRES_H
#error "the gRPC side does not compile where postgres.h was included"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <grpc/grpc.h>

/* Calls of methods that do not ingest (health, reflection, refusals) have this much room beside max_calls. */
#define SLUICE_OTHER_CALLS_MAX 1024

typedef struct SluiceCall SluiceCall;
typedef struct SluiceMethod SluiceMethod;
struct SluiceNetwork;
struct SluiceRecord;

/* What a completion queue event does.  Tags live as long as what they belong to. */
typedef struct SluiceTag
{
	void		(*run) (void *owner, bool success);
	void	   *owner;
} SluiceTag;

struct SluiceMethod
{
	const char *path;			/* "/package.Service/Method" */
	size_t		call_size;
	bool		ingests;		/* counted by max_calls and in the counters */
	bool		awaits;			/* its client speaks first: see lifetime.h */
	uint8_t		shown;			/* SluiceConnectionMethod, for carriers */
	void		(*begin) (SluiceCall *call, const grpc_metadata_array *metadata);
	void		(*received) (SluiceCall *call, grpc_byte_buffer *message);	/* owns it now */
	void		(*half_closed) (SluiceCall *call);
	void		(*sent) (SluiceCall *call);
	void		(*drained) (SluiceCall *call);
	void		(*over) (SluiceCall *call);
	bool		(*destroy) (SluiceCall *call);

	/* Of carriers (carrier.h) alone. */
	void		(*proceed) (SluiceCall *call);	/* send the next thing, if it is time for it */
	void		(*resume) (SluiceCall *call);	/* there may be room again: read on */
	void		(*settled) (SluiceCall *call, struct SluiceRecord *record);	/* back from the main thread */
	void		(*forget) (SluiceCall *call);	/* free the records that did not come back */
};

struct SluiceCall
{
	TAILQ_ENTRY(SluiceCall) link;	/* in the network's calls */
	struct SluiceNetwork *network;
	const SluiceMethod *method;
	grpc_call  *grpc;			/* NULL once it was released */
	struct SluiceTalker *talker;	/* its connection; NULL: a unix socket */
	grpc_byte_buffer *message;	/* RECV_MESSAGE writes here */
	int			cancelled;		/* RECV_CLOSE_ON_SERVER writes here */
	int			batches;		/* under way */
	int64_t		sending_since;	/* monotonic microseconds */
	bool		opened;			/* initial metadata was sent */
	bool		reading;
	bool		sending;
	bool		half_closed;
	bool		spoken;			/* a message has come */
	bool		admitted;		/* its client was let in */
	bool		moves;			/* it ends so that its client connects again */
	bool		ended;			/* the status was sent */
	bool		over;
	bool		patient;		/* its client may take all its time to read: see sluice_call_cut_off_stalled */
	grpc_metadata *trailers;		/* go with the status; the method's, or NULL */
	size_t		ntrailers;
	SluiceTag	close_tag;
	SluiceTag	open_tag;
	SluiceTag	read_tag;
	SluiceTag	send_tag;
	SluiceTag	end_tag;
};

/* What grpc_server_request_call fills in. */
typedef struct SluiceRequest
{
	grpc_call  *grpc;
	grpc_call_details details;
	grpc_metadata_array metadata;
} SluiceRequest;

/* Take a new call; request->grpc is the call's from here on. */
extern void sluice_call_accept(struct SluiceNetwork *network, SluiceRequest *request);

/* Its client was let in: its connection is trusted from now on (noise.h). */
extern void sluice_call_admit(SluiceCall *call);

extern void sluice_call_open(SluiceCall *call);
extern void sluice_call_read(SluiceCall *call);

/* Takes the slice over.  more: another one will follow at once, so do not write to the socket yet. */
extern void sluice_call_send(SluiceCall *call, grpc_slice message, bool more);
extern void sluice_call_end(SluiceCall *call, grpc_status_code status, const char *message);

/*
 * Cut off calls whose client has not read for a long time what was sent to it.
 * Not those that are patient: subscribers read when they are ready, and what a call
 * holds for them is bounded (room.h).
 */
extern void sluice_call_cut_off_stalled(struct SluiceNetwork *network, int64_t now);

/* Release what is over.  To be called last: the call may be gone afterwards. */
extern void sluice_call_settle(SluiceCall *call);
extern void sluice_call_free(SluiceCall *call);

/* The bytes of a message, which has this length; false: it came compressed though nobody asked for that. */
extern bool sluice_call_copy_message(const grpc_byte_buffer *message, uint8_t *bytes, size_t length);

/* The same in memory of their own, for protobuf-c; NULL: failed.  Destroys the message; free() the result. */
extern uint8_t *sluice_call_message_bytes(grpc_byte_buffer *message, size_t *length);

/* The methods. */
extern const SluiceMethod sluice_ingest_call_method;
extern const SluiceMethod sluice_publish_call_method;
extern const SluiceMethod sluice_subscribe_call_method;
extern const SluiceMethod sluice_unsubscribe_call_method;
extern const SluiceMethod sluice_health_check_method;
extern const SluiceMethod sluice_health_watch_method;
extern const SluiceMethod sluice_reflection_v1_method;
extern const SluiceMethod sluice_reflection_v1alpha_method;

#endif							/* SLUICE_CALL_H */
