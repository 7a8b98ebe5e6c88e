/*
 * options.h
 *		The options of a command: one table to read them, and to show them.
 */
#ifndef SLUICE_OPTIONS_H
#define SLUICE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum SluiceOptionKind
{
	SLUICE_OPTION_TEXT,			/* const char * */
	SLUICE_OPTION_CHOICE,		/* const char *, one of the words in argument: "ndjson|csv|lines" */
	SLUICE_OPTION_COUNT,		/* size_t from minimum to maximum */
	SLUICE_OPTION_SIZE,			/* the same in bytes, with B, kB, MB, GB (1024) */
	SLUICE_OPTION_REAL,			/* double from minimum to maximum */
	SLUICE_OPTION_LIST,			/* SluiceOptionList, one item more each time it is given */
	SLUICE_OPTION_SWITCH,		/* bool; --no-NAME switches off */
	SLUICE_OPTION_END			/* closes the table */
} SluiceOptionKind;

typedef struct SluiceOptionList
{
	const char **items;
	size_t		count;
} SluiceOptionList;

typedef struct SluiceOption
{
	SluiceOptionKind kind;
	const char *name;			/* without its dashes */
	char		letter;			/* 0 for none */
	const char *argument;		/* what the help calls it */
	void	   *value;			/* holds the default before */
	double		minimum;
	double		maximum;
	const char *help;
	bool	   *given;			/* NULL, or set when the option is there */
} SluiceOption;

/*
 * Reads argv[1 .. argc), moves what are no options to its front (argv[1] on)
 * and returns their number, or -1 after it has told on stderr what is wrong.
 * Options and others may be mixed; "--" ends the options.
 */
extern int	sluice_options_read(const SluiceOption *table, int argc, char **argv, const char *command);
extern void sluice_options_show(const SluiceOption *table);

#endif							/* SLUICE_OPTIONS_H */
