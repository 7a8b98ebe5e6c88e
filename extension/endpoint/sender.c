/*
 * sender.c
 *		What a call tells of its client: stream, address, and what it logs in with.
 */
#include "sender.h"

#include <stdlib.h>
#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "client_address.h"
#include "login.h"
#include "peer.h"
#include "quota.h"

/* gRPC writes "ipv4:127.0.0.1:4711", "ipv6:%5B::1%5D:4711", "unix:" */
static char *
readable_peer(const char *peer)
{
	const char *from = peer;
	char	   *address;
	char	   *to;

	if (strncmp(peer, "ipv4:", 5) == 0 || strncmp(peer, "ipv6:", 5) == 0)
		from += 5;
	address = to = malloc(strlen(from) + 1);
	while (address != NULL && *from != '\0')
	{
		if (strncmp(from, "%5B", 3) == 0 || strncmp(from, "%5D", 3) == 0)
		{
			*to++ = from[2] == 'B' ? '[' : ']';
			from += 3;
		}
		else
			*to++ = *from++;
	}
	if (address != NULL)
		*to = '\0';
	return address;
}

/* The value of sluice-stream, "" without it; NULL: too long, or out of memory. */
static char *
stream_name(const grpc_metadata_array *metadata)
{
	for (size_t i = 0; i < metadata->count; i++)
	{
		const grpc_slice *value = &metadata->metadata[i].value;

		if (grpc_slice_str_cmp(metadata->metadata[i].key, "sluice-stream") != 0)
			continue;
		if (GRPC_SLICE_LENGTH(*value) > SLUICE_STREAM_NAME_MAX)
			return NULL;
		return strndup((const char *) GRPC_SLICE_START_PTR(*value), GRPC_SLICE_LENGTH(*value));
	}
	return strdup("");
}

/* What TLS tells of it.  False: out of memory. */
static bool
read_certificate(SluiceLogin *login, grpc_call *grpc)
{
	SluicePeer	peer;

	if (!sluice_peer_read(grpc, &peer))
		return false;
	login->tls = peer.tls;
	login->certificate_cn = peer.cn;
	login->certificate_dn = peer.dn;
	return true;
}

static void
read_authorization(SluiceLogin *login, const grpc_metadata_array *metadata)
{
	for (size_t i = 0; i < metadata->count; i++)
	{
		const grpc_slice *value = &metadata->metadata[i].value;

		if (grpc_slice_str_cmp(metadata->metadata[i].key, "authorization") == 0)
			sluice_login_read_authorization(login, (const char *) GRPC_SLICE_START_PTR(*value), GRPC_SLICE_LENGTH(*value));
	}
}

bool
sluice_sender_read(SluiceSender *sender, grpc_call *grpc, const grpc_metadata_array *metadata)
{
	char	   *peer = grpc_call_get_peer(grpc);
	bool		complete = false;

	sender->stream = stream_name(metadata);
	sender->address = readable_peer(peer);
	sender->login = calloc(1, sizeof(SluiceLogin));
	if (sender->login != NULL)
	{
		sluice_client_address_parse(&sender->login->address, peer);
		sluice_client_address_drop_port(&sender->login->address);
		read_authorization(sender->login, metadata);
		complete = read_certificate(sender->login, grpc);
	}
	gpr_free(peer);
	return complete && sender->stream != NULL && sender->address != NULL;
}

/* The call counts no more. */
static void
give_quota(SluiceQuota *quota)
{
	if (quota != NULL)
		atomic_fetch_sub(&quota->calls, 1);
}

void
sluice_sender_free(SluiceSender *sender)
{
	give_quota(sender->role_quota);
	give_quota(sender->database_quota);
	sluice_login_free(sender->login);
	free(sender->stream);
	free(sender->address);
}
