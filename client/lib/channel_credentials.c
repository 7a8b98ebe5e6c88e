/*
 * channel_credentials.c
 *		How a producer shows who it is, and knows who the server is.
 */
#include "channel_credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certificates.h"

/* No certificates of this world are larger. */
#define FILE_MAX ((size_t) 4 << 20)

static bool
given(const char *text)
{
	return text != NULL && *text != '\0';
}

/* At most room - 1 bytes of the file, and a zero.  -1: see errno. */
static ssize_t
read_all(int fd, char *out, size_t room)
{
	size_t		length = 0;

	while (length < room - 1)
	{
		ssize_t		got = read(fd, out + length, room - 1 - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		length += (size_t) got;
	}
	out[length] = '\0';
	return (ssize_t) length;
}

/* NULL: see error. */
static char *
read_pem(const char *path, SluiceError *error)
{
	char	   *text = malloc(FILE_MAX);
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		length = -1;

	if (text == NULL)
		errno = ENOMEM;
	else if (fd >= 0)
		length = read_all(fd, text, FILE_MAX);
	if (length < 0)
		sluice_error_set(error, SLUICE_ERROR_OPTION, "could not read \"%s\": %s", path, strerror(errno));
	else if (strstr(text, "-----BEGIN ") == NULL)
	{
		sluice_error_set(error, SLUICE_ERROR_OPTION, "\"%s\" has nothing in PEM format", path);
		length = -1;
	}
	if (fd >= 0)
		close(fd);
	if (length < 0)
	{
		free(text);
		return NULL;
	}
	return text;
}

/* true with *text NULL where there is no such file to read */
static bool
read_given(const char *path, char **text, SluiceError *error)
{
	*text = given(path) ? read_pem(path, error) : NULL;
	return *text != NULL || !given(path);
}

static bool
check(const SluiceSettings *settings, const char *ca, const char *cert, const char *key, SluiceError *error)
{
	if (ca != NULL && sluice_certificates_check_trusted(settings->tls_ca, ca, error) != SLUICE_OK)
		return false;
	return cert == NULL || key == NULL ||
		sluice_certificates_check_pair(settings->tls_cert, cert, settings->tls_key, key, error) == SLUICE_OK;
}

grpc_channel_credentials *
sluice_channel_credentials(const SluiceSettings *settings, SluiceError *error)
{
	char	   *ca = NULL;
	char	   *cert = NULL;
	char	   *key = NULL;
	grpc_channel_credentials *credentials = NULL;

	if (!settings->tls)
		return grpc_insecure_credentials_create();
	if (read_given(settings->tls_ca, &ca, error) && read_given(settings->tls_cert, &cert, error) &&
		read_given(settings->tls_key, &key, error) && check(settings, ca, cert, key, error))
	{
		grpc_ssl_pem_key_cert_pair pair = {key, cert};

		credentials = grpc_ssl_credentials_create(ca, cert != NULL && key != NULL ? &pair : NULL, NULL, NULL);
		if (credentials == NULL)
			sluice_error_set(error, SLUICE_ERROR_OPTION, "could not use the certificates");
	}
	free(ca);
	free(cert);
	sluice_passwords_forget(key);
	return credentials;
}

static char *
write_base64(char *out, const uint8_t *bytes, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t at = 0; at < length; at += 3)
	{
		size_t		left = length - at;
		uint32_t	group = (uint32_t) bytes[at] << 16 | (left > 1 ? (uint32_t) bytes[at + 1] << 8 : 0) |
			(left > 2 ? bytes[at + 2] : 0);

		*out++ = digits[group >> 18];
		*out++ = digits[group >> 12 & 63];
		*out++ = left > 1 ? digits[group >> 6 & 63] : '=';
		*out++ = left > 2 ? digits[group & 63] : '=';
	}
	*out = '\0';
	return out;
}

/* NULL: out of memory. */
static char *
write_basic(const char *user, const char *password)
{
	size_t		user_length = strlen(user);
	size_t		length = user_length + 1 + strlen(password);
	char	   *pair = malloc(length + 1);
	char	   *value = malloc(sizeof("Basic ") + (length + 2) / 3 * 4);

	if (pair != NULL && value != NULL)
	{
		memcpy(pair, user, user_length);
		pair[user_length] = ':';
		strcpy(pair + user_length + 1, password);
		memcpy(value, "Basic ", 6);
		write_base64(value + 6, (const uint8_t *) pair, length);
		sluice_passwords_forget(pair);
		return value;
	}
	free(pair);
	free(value);
	return NULL;
}

int
sluice_channel_authorization(SluicePasswords *passwords, const SluiceEndpoint *endpoint, char **value,
							 bool *has_password)
{
	const char *user = passwords->settings->user;
	char	   *password;

	*value = NULL;
	*has_password = false;
	if (!given(user))
		return SLUICE_OK;
	if (sluice_passwords_find(passwords, endpoint, &password) != SLUICE_OK)
		return SLUICE_ERROR_MEMORY;
	*has_password = *password != '\0';
	*value = write_basic(user, password);
	sluice_passwords_forget(password);
	return *value != NULL ? SLUICE_OK : SLUICE_ERROR_MEMORY;
}
