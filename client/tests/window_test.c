/* window: answers by key, resending in order, twins, bounds; and a long random run against a plain model. */
#include "window.h"

#include <stdlib.h>

#include "tap.h"

static SluiceClientRecord *
make(const char *key, uint64_t line)
{
	SluiceClientRecord *record = sluice_record_create(key, strlen(key), "payload", 7);

	record->line = line;
	return record;
}

/* The line of the record that this key answers, 0 for none. */
static uint64_t
answer(SluiceWindow *window, const char *key)
{
	SluiceClientRecord *record = sluice_window_answer(window, key, strlen(key));
	uint64_t	line = record != NULL ? record->line : 0;

	free(record);
	return line;
}

static uint64_t
resend(SluiceWindow *window)
{
	SluiceClientRecord *record = sluice_window_next_unsent(window);

	return record != NULL ? record->line : 0;
}

static void
test_answers(void)
{
	SluiceWindow *window = sluice_window_create(8, 1000000);

	ok(answer(window, "a") == 0, "nothing is sent");
	sluice_window_add(window, make("a", 1));
	sluice_window_add(window, make("b", 2));
	sluice_window_add(window, make("", 3));
	ok(answer(window, "c") == 0, "a key that is not there");
	ok(answer(window, "b") == 2 && window->count == 2, "any order");
	ok(answer(window, "b") == 0, "but once");
	ok(answer(window, "") == 3 && answer(window, "a") == 1, "the others");
	ok(window->count == 0 && window->bytes == 0 && window->first == NULL && window->last == NULL, "empty again");
	sluice_window_free(window);
}

static void
test_twins(void)
{
	SluiceWindow *window = sluice_window_create(8, 1000000);

	for (uint64_t i = 1; i <= 6; i++)
		sluice_window_add(window, make(i % 2 ? "odd" : "even", i));
	ok(answer(window, "odd") == 1 && answer(window, "odd") == 3, "the oldest of a key first");
	sluice_window_add(window, make("odd", 7));
	ok(answer(window, "even") == 2, "the other key");
	ok(answer(window, "odd") == 5 && answer(window, "odd") == 7 && answer(window, "odd") == 0, "a twin added later");
	ok(answer(window, "even") == 4 && answer(window, "even") == 6 && window->count == 0, "the rest");
	sluice_window_free(window);
}

static void
test_resending(void)
{
	SluiceWindow *window = sluice_window_create(8, 1000000);
	static const char *const keys[] = {"a", "b", "a", "c", "b"};

	for (uint64_t i = 0; i < 5; i++)
		sluice_window_add(window, make(keys[i], i + 1));
	answer(window, "b");
	ok(resend(window) == 0, "all are sent");
	sluice_window_rewind(window);
	ok(window->nunsent == 4 && answer(window, "a") == 0, "a lost call: no answer can be for a record not sent again");
	ok(resend(window) == 1 && answer(window, "a") == 1, "the first again");
	ok(answer(window, "a") == 0, "its twin is not sent yet");
	ok(resend(window) == 3 && resend(window) == 4, "in the old order");
	sluice_window_rewind(window);
	ok(resend(window) == 3 && resend(window) == 4 && resend(window) == 5 && resend(window) == 0, "again from the start");
	ok(window->nunsent == 0, "none unsent");
	sluice_window_add(window, make("a", 6));
	ok(answer(window, "a") == 3 && answer(window, "a") == 6, "new ones follow");
	sluice_window_free(window);
}

static void
test_bounds(void)
{
	SluiceWindow *window = sluice_window_create(2, 100);

	ok(sluice_window_has_room(window, 1000), "one record always has room");
	sluice_window_add(window, make("a", 1));
	ok(window->bytes == 12, "bytes");
	ok(sluice_window_has_room(window, 88) && !sluice_window_has_room(window, 89), "bounded in bytes");
	sluice_window_add(window, make("b", 2));
	ok(!sluice_window_has_room(window, 1), "bounded in records");
	sluice_window_free(window);
}

/* Against a model: an array in the order of sending. */
static void
test_random_run(void)
{
	enum
	{
		SIZE = 64, STEPS = 200000
	};
	SluiceWindow *window = sluice_window_create(SIZE, 1000000);
	uint64_t	lines[SIZE];
	int			keys[SIZE];
	int			n = 0;
	int			sent = 0;
	uint64_t	next = 1;
	bool		good = true;

	srand(4711);
	for (int step = 0; step < STEPS && good; step++)
	{
		char		key[8];
		int			choice = rand() % 100;

		if (choice < 45 && sent < n)
			good = resend(window) == lines[sent++];
		else if (choice < 45 && n < SIZE)
		{
			keys[n] = rand() % 20;
			snprintf(key, sizeof(key), "k%d", keys[n]);
			lines[n++] = next;
			sent = n;
			sluice_window_add(window, make(key, next++));
		}
		else if (choice == 99)
		{
			sent = 0;
			sluice_window_rewind(window);
		}
		else
		{
			int			wanted = rand() % 20;
			int			i = 0;

			snprintf(key, sizeof(key), "k%d", wanted);
			while (i < sent && keys[i] != wanted)
				i++;
			good = answer(window, key) == (i < sent ? lines[i] : 0);
			if (i < sent)
			{
				memmove(lines + i, lines + i + 1, (size_t) (n - i - 1) * sizeof(lines[0]));
				memmove(keys + i, keys + i + 1, (size_t) (n - i - 1) * sizeof(keys[0]));
				n--;
				sent--;
			}
		}
		good = good && window->count == (size_t) n && (n == 0 || window->first->line == lines[0]);
	}
	ok(good && next > 10000, "a random run agrees with the model");
	sluice_window_free(window);
}

int
main(void)
{
	test_answers();
	test_twins();
	test_resending();
	test_bounds();
	test_random_run();
	return done_testing();
}
