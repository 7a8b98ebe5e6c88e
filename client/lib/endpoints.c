/*
 * endpoints.c
 *		The servers that a producer may connect to, in order.
 */
#include "endpoints.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sluice.h"

#define DEFAULT_PORT "50051"
#define TARGET_PREFIX "dns:///"

/* One element of the list, while it is read. */
typedef struct Element
{
	const char *text;
	int			length;
	int			host_length;	/* with brackets */
	bool		has_port;
} Element;

static int
complain(SluiceError *error, const Element *element, const char *what)
{
	return sluice_error_set(error, SLUICE_ERROR_OPTION, "server \"%.*s\" %s", element->length < 100 ? element->length : 100,
							element->text, what);
}

static bool
starts_with(const Element *element, const char *prefix)
{
	size_t		length = strlen(prefix);

	return (size_t) element->length >= length && memcmp(element->text, prefix, length) == 0;
}

static bool
is_unix(const Element *element)
{
	return starts_with(element, "unix:") || starts_with(element, "unix-abstract:");
}

/* What lies between the commas, without blanks around it. */
static Element
next_element(const char **text)
{
	const char *start = *text + strspn(*text, " \t");
	const char *end = start + strcspn(start, ",");
	Element		element = {0};

	*text = *end == ',' ? end + 1 : end;
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	element.text = start;
	element.length = (int) (end - start);
	return element;
}

static bool
port_valid(const char *port, int length)
{
	int			number = 0;

	if (length < 1 || length > 5)
		return false;
	for (int i = 0; i < length; i++)
	{
		if (!isdigit((unsigned char) port[i]))
			return false;
		number = number * 10 + port[i] - '0';
	}
	return number >= 1 && number <= 65535;
}

/* Nothing that a URI would take for something else. */
static bool
host_valid(const Element *element)
{
	bool		bracketed = element->text[0] == '[';

	if (element->host_length <= (bracketed ? 2 : 0))
		return false;
	for (int i = bracketed ? 1 : 0; i < element->host_length - (bracketed ? 1 : 0); i++)
	{
		char		c = element->text[i];

		if (bracketed ? !isxdigit((unsigned char) c) && c != ':' && c != '.'
			: !isalnum((unsigned char) c) && strchr(".-_", c) == NULL)
			return false;
	}
	return true;
}

static int
read_element(Element *element, SluiceError *error)
{
	const char *bracket = NULL;
	const char *colon;
	int			host_end;

	if (element->length == 0)
		return sluice_error_set(error, SLUICE_ERROR_OPTION, "an element of the list of servers is empty");
	if (is_unix(element))
		return element->text[element->length - 1] != ':' ? SLUICE_OK : complain(error, element, "has no path");
	if (element->text[0] == '[')
	{
		bracket = memchr(element->text, ']', (size_t) element->length);
		if (bracket == NULL)
			return complain(error, element, "has no closing bracket");
	}
	host_end = bracket != NULL ? (int) (bracket - element->text) + 1 : 0;
	colon = memchr(element->text + host_end, ':', (size_t) (element->length - host_end));
	element->host_length = colon != NULL ? (int) (colon - element->text) : element->length;
	element->has_port = colon != NULL;
	if (colon != NULL && memchr(colon + 1, ':', (size_t) (element->text + element->length - colon - 1)) != NULL)
		return complain(error, element, "has several colons: an IPv6 address is written in brackets");
	if (!host_valid(element))
		return complain(error, element, "is not HOST, HOST:PORT, [IPv6]:PORT or unix:PATH");
	if (colon != NULL && !port_valid(colon + 1, (int) (element->text + element->length - colon - 1)))
		return complain(error, element, "has no valid port (1 to 65535)");
	return SLUICE_OK;
}

static bool
is_local(const Element *element)
{
	static const char *const names[] = {"localhost", "[::1]"};

	if (is_unix(element))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if ((size_t) element->host_length == strlen(names[i]) &&
			strncasecmp(element->text, names[i], (size_t) element->host_length) == 0)
			return true;
	}
	/* 127.0.0.1 and its like, but no name that begins so. */
	return starts_with(element, "127.") &&
		strspn(element->text, "0123456789.") >= (size_t) element->host_length;
}

/* Writes the text at *place, which moves on. */
static const char *
write_text(char **place, const char *text, int length)
{
	char	   *start = *place;

	*place += sprintf(start, "%.*s", length, text) + 1;
	return start;
}

static void
write_host(SluiceEndpoint *endpoint, const Element *element, char **place)
{
	int			bracket = element->text[0] == '[';

	endpoint->host = write_text(place, element->text + bracket, element->host_length - 2 * bracket);
	if (element->has_port)
		endpoint->port = write_text(place, element->text + element->host_length + 1,
									element->length - element->host_length - 1);
	else
		endpoint->port = DEFAULT_PORT;
}

/* Writes name and target at *place, which moves on. */
static void
write_endpoint(SluiceEndpoint *endpoint, const Element *element, char **place)
{
	endpoint->local = is_local(element);
	endpoint->name = write_text(place, element->text, element->length);
	if (is_unix(element))
	{
		endpoint->target = endpoint->name;
		endpoint->host = strchr(endpoint->name, ':') + 1;
		endpoint->port = "";
		return;
	}
	write_host(endpoint, element, place);
	endpoint->target = *place;
	*place += sprintf(*place, TARGET_PREFIX "%s%s", endpoint->name, element->has_port ? "" : ":" DEFAULT_PORT) + 1;
}

static size_t
count_elements(const char *text)
{
	size_t		count = 1;

	for (; *text != '\0'; text++)
		count += *text == ',';
	return count;
}

int
sluice_endpoints_read(SluiceEndpoints *endpoints, const char *text, SluiceError *error)
{
	size_t		count = count_elements(text);
	size_t		strings = 3 * strlen(text) + count * (sizeof(TARGET_PREFIX) + sizeof(":" DEFAULT_PORT) + 3);
	char	   *place;

	memset(endpoints, 0, sizeof(*endpoints));
	endpoints->list = malloc(count * sizeof(SluiceEndpoint) + strings);
	if (endpoints->list == NULL)
		return sluice_error_set(error, SLUICE_ERROR_MEMORY, "out of memory");
	place = (char *) &endpoints->list[count];
	for (; endpoints->count < count; endpoints->count++)
	{
		Element		element = next_element(&text);
		int			code = read_element(&element, error);

		if (code != SLUICE_OK)
		{
			sluice_endpoints_release(endpoints);
			return code;
		}
		write_endpoint(&endpoints->list[endpoints->count], &element, &place);
	}
	return SLUICE_OK;
}

void
sluice_endpoints_release(SluiceEndpoints *endpoints)
{
	free(endpoints->list);
	endpoints->list = NULL;
	endpoints->count = 0;
}

void
sluice_endpoints_failed(SluiceEndpoints *endpoints, bool acknowledged)
{
	if (!acknowledged)
		endpoints->current = (endpoints->current + 1) % endpoints->count;
}
