/*
 * passwords.c
 *		Where the password of the role comes from.
 *
 * A password file that others can read is not used, as libpq does not; that is told by the log
 * callback, again only after the file was good in between.
 */
#include "passwords.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "passfile.h"

#define HOME_FILE "/.pgpass"

void
sluice_passwords_forget(char *text)
{
	if (text != NULL)
	{
		explicit_bzero(text, strlen(text));
		free(text);
	}
}

/* ---- where ---- */

static const char *
environment_value(const char *name)
{
	const char *value = secure_getenv(name);

	return value != NULL && *value != '\0' ? value : NULL;
}

/* ~/.pgpass; NULL: out of memory, or (*homeless) there is no home. */
static char *
path_at_home(bool *homeless)
{
	const char *home = environment_value("HOME");
	char		names[4096];
	struct passwd entry;
	struct passwd *found = NULL;
	char	   *path;

	if (home == NULL && getpwuid_r(geteuid(), &entry, names, sizeof(names), &found) == 0 && found != NULL)
		home = found->pw_dir;
	*homeless = home == NULL;
	if (home == NULL)
		return NULL;
	path = malloc(strlen(home) + sizeof(HOME_FILE));
	if (path != NULL)
		strcat(strcpy(path, home), HOME_FILE);
	return path;
}

/* false: out of memory */
static bool
choose_file(SluicePasswords *passwords)
{
	const char *named = passwords->settings->passfile;
	bool		homeless = false;

	if (*named == '\0')
		named = environment_value("PGPASSFILE");
	passwords->named = named != NULL;
	passwords->path = named != NULL ? strdup(named) : path_at_home(&homeless);
	return passwords->path != NULL || homeless;
}

int
sluice_passwords_init(SluicePasswords *passwords, const SluiceSettings *settings)
{
	const char *environment = environment_value("PGPASSWORD");

	memset(passwords, 0, sizeof(*passwords));
	passwords->settings = settings;
	if (*settings->user == '\0' || *settings->password != '\0')
		return SLUICE_OK;
	if (environment != NULL)
		passwords->environment = strdup(environment);
	if (environment != NULL ? passwords->environment != NULL : choose_file(passwords))
		return SLUICE_OK;
	return SLUICE_ERROR_MEMORY;
}

void
sluice_passwords_release(SluicePasswords *passwords)
{
	sluice_passwords_forget(passwords->environment);
	free(passwords->path);
	passwords->environment = NULL;
	passwords->path = NULL;
}

/* ---- the file ---- */

static void
warn(SluicePasswords *passwords, const char *what)
{
	const SluiceSettings *settings = passwords->settings;
	char		text[512];

	if (!passwords->warned && settings->on_log != NULL)
	{
		snprintf(text, sizeof(text), "password file \"%.300s\" %s", passwords->path, what);
		settings->on_log(settings->log_argument, SLUICE_LEVEL_WARNING, text);
	}
	passwords->warned = true;
}

/* NULL: there is none that may be used. */
static FILE *
open_file(SluicePasswords *passwords)
{
	int			fd = open(passwords->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat about;
	FILE	   *file;

	if (fd < 0)
	{
		char		what[160];

		snprintf(what, sizeof(what), "could not be read: %s", strerror(errno));
		if (passwords->named || (errno != ENOENT && errno != ENOTDIR))
			warn(passwords, what);
		return NULL;
	}
	if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
		warn(passwords, "is not a plain file");
	else if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		warn(passwords, "is not used: others have access to it; its permissions should be u=rw (0600) or less");
	else if ((file = fdopen(fd, "r")) != NULL)
	{
		passwords->warned = false;
		return file;
	}
	close(fd);
	return NULL;
}

/* NULL: no line fits.  Else *buffer, which is the line's, is to be forgotten. */
static char *
find_line(FILE *file, const SluiceEndpoint *endpoint, const char *user, char **buffer, size_t *size)
{
	char	   *password;

	while (getline(buffer, size, file) >= 0)
	{
		if (sluice_passfile_fits(*buffer, endpoint->host, endpoint->port, user, &password))
			return password;
	}
	return NULL;
}

/* false: out of memory */
static bool
read_file(SluicePasswords *passwords, const SluiceEndpoint *endpoint, char **password)
{
	FILE	   *file = open_file(passwords);
	char	   *buffer = NULL;
	size_t		size = 0;
	const char *found;
	char		stock[BUFSIZ];

	if (file == NULL)
		return (*password = strdup("")) != NULL;
	setvbuf(file, stock, _IOFBF, sizeof(stock));
	found = find_line(file, endpoint, passwords->settings->user, &buffer, &size);
	*password = strdup(found != NULL ? found : "");
	fclose(file);
	explicit_bzero(stock, sizeof(stock));
	if (buffer != NULL)
		explicit_bzero(buffer, size);
	free(buffer);
	return *password != NULL;
}

int
sluice_passwords_find(SluicePasswords *passwords, const SluiceEndpoint *endpoint, char **password)
{
	bool		good;

	if (passwords->path != NULL)
		good = read_file(passwords, endpoint, password);
	else
	{
		*password = strdup(passwords->environment != NULL ? passwords->environment : passwords->settings->password);
		good = *password != NULL;
	}
	return good ? SLUICE_OK : SLUICE_ERROR_MEMORY;
}
