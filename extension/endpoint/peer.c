/*
 * peer.c
 *		What TLS tells of the client of a call.
 */
#include "peer.h"

#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>

static const grpc_auth_property *
find(const grpc_auth_context *context, const char *name)
{
	grpc_auth_property_iterator iterator = grpc_auth_context_find_properties_by_name(context, name);

	return grpc_auth_property_iterator_next(&iterator);
}

/* The value as a C string; what is missing, empty or has a NUL in it is none. */
static bool
copy(const grpc_auth_context *context, const char *name, char **text)
{
	const grpc_auth_property *property = find(context, name);

	*text = NULL;
	if (property == NULL || property->value_length == 0 ||
		memchr(property->value, '\0', property->value_length) != NULL)
		return true;
	*text = strndup(property->value, property->value_length);
	return *text != NULL;
}

static bool
is_tls(const grpc_auth_context *context)
{
	const grpc_auth_property *type = find(context, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);

	return type != NULL && strcmp(type->value, GRPC_SSL_TRANSPORT_SECURITY_TYPE) == 0;
}

bool
sluice_peer_read(grpc_call *call, SluicePeer *peer)
{
	grpc_auth_context *context = grpc_call_auth_context(call);
	bool		ok = true;

	memset(peer, 0, sizeof(*peer));
	if (context == NULL)
		return true;
	peer->tls = is_tls(context);
	if (peer->tls)
		ok = copy(context, GRPC_X509_CN_PROPERTY_NAME, &peer->cn) &&
			copy(context, GRPC_X509_SUBJECT_PROPERTY_NAME, &peer->dn);
	grpc_auth_context_release(context);
	if (!ok)
		sluice_peer_free(peer);
	return ok;
}

void
sluice_peer_free(SluicePeer *peer)
{
	free(peer->cn);
	free(peer->dn);
	memset(peer, 0, sizeof(*peer));
}
