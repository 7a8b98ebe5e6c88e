/*
 * errors.c
 *		What the numbers of SLUICE_ERRORS mean.
 */
#include "../sluice.h"

typedef struct Meaning
{
	int			number;
	sluice_class class;
	const char *text;
} Meaning;

static const Meaning meanings[] = {
#define MEANING(name, number, class, text) {number, SLUICE_CLASS_##class, text},
	SLUICE_ERRORS(MEANING)
#undef MEANING
};

static const Meaning *
find(int error)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
	{
		if (meanings[i].number == error)
			return &meanings[i];
	}
	return NULL;
}

const char *
sluice_error_text(int error)
{
	const Meaning *meaning = find(error);

	return meaning != NULL ? meaning->text : "unknown error";
}

sluice_class
sluice_error_class(int error)
{
	const Meaning *meaning = find(error);

	/* What we do not know we cannot mend, nor wait for. */
	return meaning != NULL ? meaning->class : SLUICE_CLASS_FATAL;
}
