/*
 * repair_cut_test.c
 *		A repair that is cut short, by a power cut, the death of the process, or an error of any
 *		call, leaves the old buffer or the new one; the same repair again leaves every record there once.
 */
#include "tap.h"

#include <stdint.h>

#include "fault.h"
#include "powercut.h"
#include "repair_buffer.h"

#define CALLS_MAX 4000
#define SEEDS 2

static char base[256];

static bool
ok_of(bool condition, const char *subject, const char *what)
{
	char		name[256];

	snprintf(name, sizeof(name), "%s: %s", subject, what);
	return ok(condition, name);
}

typedef struct Scenario
{
	const char *name;
	void		(*prepare) (const char *directory);
	sluice_repair wishes;
	char		before[1024];	/* dumps */
	char		after[1024];
} Scenario;

static void
prepare_fenced(const char *directory)
{
	make_buffer(directory, SLUICE_ERROR_FENCED, 13, 20);
}

static void
prepare_sound(const char *directory)
{
	make_buffer(directory, SLUICE_OK, 0, 0);
}

static void
prepare_damaged(const char *directory)
{
	make_buffer(directory, SLUICE_OK, 0, 0);
	spoil(directory, "payload 17");
}

/* A damaged buffer was set aside, and the new one has been used, by a run that was killed when it had given out 5. */
static void
prepare_set_aside(const char *directory)
{
	SluiceStore *store;
	SluiceStoreState state;

	prepare_damaged(directory);
	store = open_store(directory, SLUICE_STORE_OWN);
	state = *sluice_store_state(store);
	state.next = 4;
	state.high_water = 5;
	state.may_send = true;
	sluice_store_begin(store);
	for (uint64_t i = 1; i <= 3; i++)
		put_record(store, i, "new");
	sluice_store_put_state(store, &state);
	sluice_store_commit(store);
	sluice_store_close(store);
}

static Scenario scenarios[] = {
	{"a new identity", prepare_fenced, {.new_identity = true, .shared = SLUICE_SHARED_DROP}, "", ""},
	{"rebind", prepare_sound, {.rebind = true}, "", ""},
	{"salvage of what is not set aside yet", prepare_damaged, {.salvage = true}, "", ""},
	{"salvage beside a new buffer", prepare_set_aside, {.salvage = true}, "", ""}
};

#define NSCENARIOS ((int) (sizeof(scenarios) / sizeof(scenarios[0])))

/* The records, and what else tells the old from the new: gaps and acknowledged_through. */
static const char *
describe(const char *directory)
{
	sluice_buffer_statistics statistics = statistics_of(directory);

	dump(directory);
	snprintf(dumped + strlen(dumped), sizeof(dumped) - strlen(dumped), " %d/%d %s", (int) statistics.gaps,
			 (int) statistics.acknowledged_through, statistics.stream);
	return dumped;
}

/* Learns what is expected, and checks the scenario itself. */
static bool
learn(Scenario *scenario)
{
	char		directory[320];
	int			code;

	snprintf(directory, sizeof(directory), "%s/learn", base);
	scenario->prepare(directory);
	snprintf(scenario->before, sizeof(scenario->before), "%s", describe(directory));
	code = repair(directory, scenario->wishes);
	snprintf(scenario->after, sizeof(scenario->after), "%s", describe(directory));
	directory_remove(directory);
	return code == SLUICE_OK && strcmp(scenario->before, scenario->after) != 0;
}

/* Old or new; and new, once, when it is repaired (again).  done: it must be new already. */
static bool
ends_well(const Scenario *scenario, const char *directory, bool done)
{
	bool		is_new = strcmp(describe(directory), scenario->after) == 0;
	bool		is_old = strcmp(dumped, scenario->before) == 0;
	int			code;

	/* Between the damaged buffer and the new one there is a moment without any. */
	if (!is_new && (done || (!is_old && scenario->prepare != prepare_damaged)))
	{
		printf("# neither the old nor the new: %s\n", dumped);
		return false;
	}
	code = repair(directory, scenario->wishes);
	if (code != SLUICE_OK && !(code == SLUICE_ERROR_INVALID && is_new))
	{
		printf("# code %d, %s", code, told);
		return false;
	}
	if (strcmp(describe(directory), scenario->after) != 0)
	{
		printf("# got %s\n# not %s\n", dumped, scenario->after);
		return false;
	}
	return sluice_buffer_check(directory, NULL, NULL) == SLUICE_OK &&
		repair(directory, scenario->wishes) == SLUICE_ERROR_INVALID && directory_count(directory, "damaged-") == 0 &&
		directory_count(directory, "new-identity") == 0;
}

/* ---- power cuts ---- */

/* In the process that is recorded. */
static int
run_recorded(const Scenario *scenario)
{
	char		directory[1024];
	void		(*mark) (uint64_t number) = (void (*) (uint64_t)) dlsym(RTLD_DEFAULT, "sluice_powercut_mark");
	const char *parent = getenv("SLUICE_POWERCUT");

	if (mark == NULL || parent == NULL)
		return 1;
	snprintf(directory, sizeof(directory), "%.*s/buffer", (int) strcspn(parent, ":"), parent);
	scenario->prepare(directory);
	mark(1);
	if (repair(directory, scenario->wishes) != SLUICE_OK)
		return 2;
	mark(2);
	return 0;
}

static bool
survives(const Scenario *scenario, const Powercut *log, PowercutRest rest, int seeds)
{
	char		image[300];
	char		buffer[320];
	bool		all = true;

	snprintf(image, sizeof(image), "%s/image", base);
	snprintf(buffer, sizeof(buffer), "%s/buffer", image);
	for (size_t n = 0; n <= log->nevents; n++)
	{
		if (powercut_mark(log, n) == 0)
			continue;
		for (int seed = 0; seed < seeds; seed++)
		{
			powercut_build(log, n, rest, n * 1000 + (uint64_t) seed, image);
			if (!ends_well(scenario, buffer, powercut_mark(log, n) == 2))
			{
				printf("# wrong: cut before event %zu of %zu, seed %d\n", n, log->nevents, seed);
				all = false;
			}
			directory_remove(image);
		}
	}
	return all;
}

static void
test_power_cuts(const Scenario *scenario, const char *number)
{
	char		recorded[300];
	char		path[300];
	char		variable[1024];
	Powercut	log;

	snprintf(recorded, sizeof(recorded), "%s/recorded", base);
	snprintf(path, sizeof(path), "%s/log", base);
	snprintf(variable, sizeof(variable), "%s:%s", recorded, path);
	mkdir(recorded, 0700);
	unlink(path);
	ok_of(run_with("powercut.so", "SLUICE_POWERCUT", variable, number) == 0, scenario->name, "it is recorded");
	powercut_read(&log, path);
	printf("# %zu events\n", log.nevents);
	ok_of(powercut_mark(&log, log.nevents) == 2, scenario->name, "to its end");
	ok_of(survives(scenario, &log, POWERCUT_NOTHING, 1), scenario->name, "cut anywhere, nothing that was not synced is left");
	ok_of(survives(scenario, &log, POWERCUT_ALL, 1), scenario->name, "killed anywhere");
	ok_of(survives(scenario, &log, POWERCUT_RANDOM, SEEDS), scenario->name, "cut anywhere, some of it is left");
	powercut_free(&log);
	directory_remove(recorded);
}

/* ---- faults ---- */

/* In a process with fault.so: each call fails once, then all from it on (as the variable says). */
static int
run_with_faults(const Scenario *scenario)
{
	Fault		fault = fault_find();
	char		directory[320];
	long		hits = 1;
	int			n;

	snprintf(directory, sizeof(directory), "%s/fault", base);
	if (fault.arm == NULL)
		return 1;
	for (n = 1; hits > 0 && n < CALLS_MAX; n++)
	{
		scenario->prepare(directory);
		fault.set(n);
		fault.arm(1);
		repair(directory, scenario->wishes);
		fault.arm(0);
		hits = fault.hits();
		if (!ends_well(scenario, directory, false))
		{
			printf("# call %d\n", n);
			return 2;
		}
		directory_remove(directory);
	}
	printf("# %d calls\n", n - 2);
	return n > 2 && n < CALLS_MAX ? 0 : 3;
}

static void
test_faults(const Scenario *scenario, const char *number)
{
	static const char *const faults[] = {"memory:1", "disk:1", "disk:1:ENOSPC:all", "write:1:short"};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
	{
		char		what[64];

		snprintf(what, sizeof(what), "each call fails (%s)", faults[i]);
		ok_of(run_with("fault.so", "SLUICE_FAULT", faults[i], number) == 0, scenario->name, what);
	}
}

int
main(int argc, char **argv)
{
	char		number[16];

	directory_make(base);
	if (argc > 1)
	{
		Scenario   *scenario = &scenarios[atoi(argv[1])];
		int			status = getenv("SLUICE_POWERCUT") != NULL ? run_recorded(scenario) : !learn(scenario) || run_with_faults(scenario);

		directory_remove(base);
		return status;
	}
	for (int i = 0; i < NSCENARIOS; i++)
	{
		snprintf(number, sizeof(number), "%d", i);
		ok_of(learn(&scenarios[i]), scenarios[i].name, "uncut");
		printf("# %s\n", scenarios[i].after);
		test_power_cuts(&scenarios[i], number);
		test_faults(&scenarios[i], number);
	}
	directory_remove(base);
	return done_testing();
}
