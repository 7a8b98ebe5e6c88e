/*
 * handshake.c
 *		What the transport's words for a connection that did not come up mean.
 *
 * The words are those of gRPC 1.51 and OpenSSL 3.  Where they are the same for two causes both are
 * told: a certificate that is not trusted and one out of date; a server that breaks off
 * because it wants TLS, or another certificate, and one that is going down.
 */
#include "handshake.h"

#include <stdio.h>
#include <string.h>

#define NAME_BEFORE "Peer name "
#define NAME_BEHIND " is not in peer certificate"

static bool
given(const char *text)
{
	return text != NULL && *text != '\0';
}

static bool
has_any(const char *words, const char *const *parts)
{
	for (; *parts != NULL; parts++)
	{
		if (strstr(words, *parts) != NULL)
			return true;
	}
	return false;
}

static bool
explain_name(const char *words, char *text, size_t size)
{
	const char *name = strstr(words, NAME_BEFORE);
	const char *end = name != NULL ? strstr(name, NAME_BEHIND) : NULL;

	if (end == NULL)
		return false;
	name += strlen(NAME_BEFORE);
	snprintf(text, size, "the server's certificate is not for \"%.*s\" (another name is given by tls_name)",
			 (int) (end - name < 100 ? end - name : 100), name);
	return true;
}

static const char *
why_broken_off(const SluiceSettings *settings)
{
	if (!settings->tls)
		return "wants TLS (option tls)";
	return given(settings->tls_cert) ? "does not take the certificate of tls_cert" : "wants a client certificate (tls_cert)";
}

bool
sluice_handshake_explain(const char *words, const SluiceSettings *settings, char *text, size_t size)
{
	static const char *const alerts[] = {"certificate required", "alert unknown ca", "alert bad certificate",
	"alert certificate expired", "alert certificate unknown", NULL};
	static const char *const ends[] = {"Socket closed", "Connection reset", "Broken pipe", NULL};

	if (explain_name(words, text, size))
		return true;
	if (strstr(words, "certificate verify failed") != NULL && given(settings->tls_ca))
		snprintf(text, size, "the server's certificate is not trusted by \"%.100s\" (tls_ca), or is out of date", settings->tls_ca);
	else if (strstr(words, "certificate verify failed") != NULL)
		snprintf(text, size, "the server's certificate is not trusted by this system (see tls_ca), or is out of date");
	else if (strstr(words, "wrong version number") != NULL)
		snprintf(text, size, "the server speaks no TLS at this port");
	else if (has_any(words, alerts))
		snprintf(text, size, "the server %s", why_broken_off(settings));
	else if (strstr(words, "failed to connect to all addresses") != NULL && has_any(words, ends))
		snprintf(text, size, "the server breaks off the connection: it %s, or is going down", why_broken_off(settings));
	else
		return false;
	return true;
}
