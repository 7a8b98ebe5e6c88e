/*
 * certificate_files.c
 *		The files with the certificate of the gRPC port: read, kept current, shown.
 *
 * The worker's main thread reads them at its start, when the settings are
 * reloaded, and when a look every second shows that one of them is another than
 * before.  What is read is handed to gRPC only where everything in it fits;
 * else what gRPC has stays, and that is said once for each state of the
 * files.  Files are replaced one after the other: a change is called bad only
 * at the second look at it.  A file that cannot be read is tried at every look, for that may have
 * to do with us.
 *
 * The files' names may change with a reload.  Whether there is TLS at all, whether clients are asked for
 * certificates, ciphers and versions are as they were at the start: the launcher
 * replaces the worker where these change.
 */
#include "postgres.h"

#include "certificate_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Else its header wants those of Kerberos, for a structure that is not touched here. */
#undef ENABLE_GSS
#include "libpq/libpq.h"
#include "settlement.h"
#include "transport_status.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define LOOK_INTERVAL_US USECS_PER_SEC
#define REPORTED_FAILURE 2		/* the one of them that is told */
#define FILE_SIZE_MAX (1024 * 1024)
#define EXPIRY_WARNING_US (14 * USECS_PER_DAY)
#define EXPIRY_REPEAT_US USECS_PER_DAY

/* By these it shows that a file is another one. */
typedef struct Stamp
{
	dev_t		device;
	ino_t		inode;
	off_t		size;
	struct timespec modified;
	struct timespec changed;
} Stamp;

typedef struct Stamps
{
	Stamp		cert;
	Stamp		key;
	Stamp		ca;
} Stamps;

typedef struct Files
{
	int			worker;
	SluiceCredentials *credentials; /* NULL: no TLS */
	bool		client_certificates;
	char	   *ciphers;
	Stamps		stamps;			/* of what was looked at last */
	int			failures;		/* of these; 0: they were taken */
	bool		unreadable;		/* failed for a reason that may not lie with them */
	bool		reload;			/* asked for */
	int64		look_at;
	int64		warn_at;		/* when to look at the expiry, if not before */
	char		failure[SLUICE_TRANSPORT_FAILURE_SIZE]; /* of the last try */
	SluiceTransportStatus status;
} Files;

static Files files;

/* ---- reading ---- */

static void
stamp_file(const char *path, Stamp *stamp)
{
	struct stat found;

	if (path[0] == '\0' || stat(path, &found) != 0)
		return;
	stamp->device = found.st_dev;
	stamp->inode = found.st_ino;
	stamp->size = found.st_size;
	stamp->modified = found.st_mtim;
	stamp->changed = found.st_ctim;
}

static void
stamp_files(const SluiceTransport *transport, Stamps *stamps)
{
	memset(stamps, 0, sizeof(*stamps));
	stamp_file(transport->cert_file, &stamps->cert);
	stamp_file(transport->key_file, &stamps->key);
	stamp_file(transport->ca_file, &stamps->ca);
}

/* All of an open file, and a NUL behind it. */
static char *
read_open_file(int fd, size_t *length)
{
	char	   *text = malloc(FILE_SIZE_MAX + 1);
	ssize_t		got = 1;

	*length = 0;
	while (text != NULL && *length < FILE_SIZE_MAX && got > 0)
	{
		got = read(fd, text + *length, FILE_SIZE_MAX - *length);
		if (got > 0)
			*length += got;
	}
	if (text == NULL || got < 0)
	{
		free(text);
		return NULL;
	}
	text[*length] = '\0';
	return realloc(text, *length + 1);
}

/* NULL with the failure told. */
static char *
read_file(const char *what, const char *path)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t		length = 0;
	char	   *text = fd >= 0 ? read_open_file(fd, &length) : NULL;

	files.unreadable = text == NULL;
	if (text == NULL)
		snprintf(files.failure, sizeof(files.failure),
				 "could not read %s \"%s\": %s", what, path, strerror(errno));
	else if (length == FILE_SIZE_MAX)
	{
		snprintf(files.failure, sizeof(files.failure), "%s \"%s\" is too large", what, path);
		free(text);
		text = NULL;
	}
	if (fd >= 0)
		close(fd);
	return text;
}

/* The server's own rules, and its own message beside ours. */
static bool
key_is_private(const char *path)
{
	if (check_ssl_key_file_permissions(path, false))
		return true;
	files.unreadable = false;
	snprintf(files.failure, sizeof(files.failure),
			 "private key file \"%s\" must belong to the database user or root and be closed to others", path);
	return false;
}

static bool
read_all(const SluiceTransport *transport, SluicePems *pems)
{
	pems->chain = read_file("certificate file", transport->cert_file);
	if (pems->chain == NULL)
		return false;
	pems->key = read_file("private key file", transport->key_file);
	if (pems->key == NULL || !key_is_private(transport->key_file))
		return false;
	if (!files.client_certificates)
		return true;
	pems->authorities = read_file("certificate authority file", transport->ca_file);
	return pems->authorities != NULL;
}

/* ---- checking ---- */

static bool
check_all(const SluiceTransport *transport, const SluicePems *pems, SluiceCertificate *certificate)
{
	char		reason[160];
	char	   *failure = files.failure;
	size_t		size = sizeof(files.failure);

	switch (sluice_certificate_check(pems, files.ciphers, certificate, reason, sizeof(reason)))
	{
		case SLUICE_CERTIFICATE_GOOD:
			return true;
		case SLUICE_CERTIFICATE_BAD_CHAIN:
			snprintf(failure, size, "could not use certificate file \"%s\": %s", transport->cert_file, reason);
			break;
		case SLUICE_CERTIFICATE_BAD_KEY:
			snprintf(failure, size, "could not use private key file \"%s\": %s", transport->key_file, reason);
			break;
		case SLUICE_CERTIFICATE_BAD_AUTHORITIES:
			snprintf(failure, size, "could not use certificate authority file \"%s\": %s", transport->ca_file, reason);
			break;
		case SLUICE_CERTIFICATE_BAD_CIPHERS:
			snprintf(failure, size, "could not set the ciphers \"%s\": %s", files.ciphers, reason);
			break;
	}
	return false;
}

/* Days before 4713 BC do not come up; what is beyond the other end is for ever. */
static TimestampTz
timestamp_of(int64 seconds)
{
	pg_time_t	last = (pg_time_t) (END_TIMESTAMP / USECS_PER_SEC) - 1;

	return time_t_to_timestamptz(Min(seconds, last));
}

static void
show(const SluiceCertificate *certificate)
{
	SluiceTransportStatus *status = &files.status;

	status->enabled = true;
	strlcpy(status->subject, certificate->subject, sizeof(status->subject));
	strlcpy(status->issuer, certificate->issuer, sizeof(status->issuer));
	strlcpy(status->serial, certificate->serial, sizeof(status->serial));
	status->not_before = timestamp_of(certificate->not_before);
	status->not_after = timestamp_of(certificate->not_after);
	status->loaded_at = GetCurrentTimestamp();
	sluice_transport_status_show(files.worker, status);
}

/* Take the files in; false with the failure told. */
static bool
take_in(const SluiceTransport *transport)
{
	SluicePems	pems = {NULL};
	SluiceCertificate certificate;
	bool		good = read_all(transport, &pems) && check_all(transport, &pems, &certificate);

	if (good)
	{
		sluice_credentials_put(files.credentials, &pems);
		show(&certificate);
		files.warn_at = 0;
	}
	sluice_certificate_free(&pems);
	return good;
}

static void
report_failure(void)
{
	strlcpy(files.status.failure, sluice_settlement_printable(files.failure), sizeof(files.status.failure));
	files.status.failed_at = GetCurrentTimestamp();
	sluice_transport_status_show(files.worker, &files.status);
	ereport(WARNING,
			(errcode(ERRCODE_CONFIG_FILE_ERROR),
			 errmsg("the gRPC port keeps its certificate: %s", files.status.failure)));
}

/* One worker of all says it, once a day. */
static void
warn_of_expiry(int64 now)
{
	TimestampTz wall = GetCurrentTimestamp();
	TimestampTz not_after = files.status.not_after;

	if (files.worker != 0 || now < files.warn_at)
		return;
	if (not_after - wall >= EXPIRY_WARNING_US)
		return;
	files.warn_at = now + EXPIRY_REPEAT_US;
	if (not_after < wall)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("the certificate of the gRPC port expired at %s", timestamptz_to_str(not_after))));
	else
		ereport(WARNING,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("the certificate of the gRPC port expires at %s", timestamptz_to_str(not_after))));
}

/* ---- the worker's ---- */

SluiceCredentials *
sluice_certificate_files_load(int worker, const SluiceTransport *transport)
{
	files.worker = worker;
	if (!transport->tls)
	{
		sluice_transport_status_show(worker, &files.status);
		return NULL;
	}
	files.client_certificates = transport->client_certificates;
	files.ciphers = MemoryContextStrdup(TopMemoryContext,
										transport->tls13_only ? sluice_credentials_no_tls12 : transport->ciphers);
	files.credentials = sluice_credentials_create(files.client_certificates, files.ciphers);
	if (files.credentials == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	stamp_files(transport, &files.stamps);
	if (!take_in(transport))
		ereport(FATAL,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not serve gRPC: %s", sluice_settlement_printable(files.failure)),
				 errhint("Check the settings sluice.ssl_cert_file, sluice.ssl_key_file, sluice.ssl_ca_file and sluice.ssl_ciphers.")));
	return files.credentials;
}

void
sluice_certificate_files_reload(void)
{
	files.reload = true;
}

static void
look(bool reload)
{
	SluiceTransport transport;
	Stamps		stamps;
	bool		same;

	sluice_transport_get(&transport);
	if (files.client_certificates && !transport.client_certificates)
		return;					/* the launcher is about to replace us */
	stamp_files(&transport, &stamps);
	same = memcmp(&stamps, &files.stamps, sizeof(stamps)) == 0;
	if (!same)
		files.failures = 0;
	else if (files.failures == 0 || (files.failures >= REPORTED_FAILURE && !files.unreadable && !reload))
		return;
	files.stamps = stamps;
	if (take_in(&transport))
	{
		files.failures = 0;
		ereport(LOG,
				(errmsg("the gRPC port has taken in new certificate files: subject \"%s\", serial number %s",
						files.status.subject, files.status.serial)));
		return;
	}
	files.failures = reload ? REPORTED_FAILURE : files.failures + 1;
	if (files.failures == REPORTED_FAILURE)
		report_failure();
}

void
sluice_certificate_files_watch(void)
{
	int64		now;

	if (files.credentials == NULL)
		return;
	now = sluice_settlement_clock();
	if (now < files.look_at && !files.reload)
		return;
	files.look_at = now + LOOK_INTERVAL_US;
	look(files.reload);
	files.reload = false;
	warn_of_expiry(now);
}
