/*
 * login.h
 *		What a client shows of itself when its call begins.
 *
 * Plain C: both worlds include it.  Made by the network thread with malloc, kept as
 * long as the call, read by the main thread while that has a record of the call; the
 * main thread alone takes the password away, as soon as it was checked.
 */
#ifndef SLUICE_LOGIN_H
#define SLUICE_LOGIN_H

#include <stdbool.h>
#include <sys/socket.h>

/* In bytes.  To normalize what is long takes long, as the square of its length. */
#define SLUICE_LOGIN_PASSWORD_MAX 1024

typedef struct SluiceLogin
{
	struct sockaddr_storage address;	/* see client_address.h; without a port */
	char	   *user;			/* the role that it names, UTF-8; NULL: none */
	char	   *password;		/* NULL: none (any more) */
	const char *mistake;		/* its authorization cannot be read: why; static; or NULL */
	bool		tls;
	char	   *certificate_cn; /* of its certificate, which was verified; NULL: none */
	char	   *certificate_dn; /* the same, RFC 2253 */
	bool		proven;			/* the main thread's: its password was found right */
	char	   *host;			/* the main thread's: name of the address, "" where it has none; NULL: not looked up */
} SluiceLogin;

/* Overwrite and free a text that was a secret; NULL is none. */
extern void sluice_login_forget(char *secret);
extern void sluice_login_free(SluiceLogin *login);

/* The value of the metadata "authorization": Basic, base64 of ROLE:PASSWORD. */
extern void sluice_login_read_authorization(SluiceLogin *login, const char *value, size_t length);

#endif							/* SLUICE_LOGIN_H */
