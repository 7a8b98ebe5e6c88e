/* quantity: numbers with units, exact, and nothing else. */
#include "quantity.h"

#include "tap.h"

static bool
reads(const char *text, SluiceUnits units, int64_t expected)
{
	int64_t		got = -1;

	if (sluice_quantity_read(text, units, &got) && got == expected)
		return true;
	printf("# \"%s\": got %lld, expected %lld\n", text, (long long) got, (long long) expected);
	return false;
}

static bool
refuses(const char *text, SluiceUnits units)
{
	int64_t		got;

	if (!sluice_quantity_read(text, units, &got))
		return true;
	printf("# \"%s\" is taken as %lld\n", text, (long long) got);
	return false;
}

static void
refuses_all(const char *const *texts, SluiceUnits units, const char *name)
{
	bool		good = true;

	for (; *texts != NULL; texts++)
		good = refuses(*texts, units) && good;
	ok(good, name);
}

int
main(void)
{
	int64_t		least;
	int64_t		most;

	ok(reads("0", SLUICE_UNITS_NONE, 0) && reads("10000000", SLUICE_UNITS_NONE, 10000000) &&
	   reads("9223372036854775799", SLUICE_UNITS_NONE, INT64_C(9223372036854775799)), "numbers");
	ok(reads("7", SLUICE_UNITS_SIZE, 7) && reads("7B", SLUICE_UNITS_SIZE, 7) && reads("256 kB", SLUICE_UNITS_SIZE, 262144) &&
	   reads("1.5MB", SLUICE_UNITS_SIZE, 1572864) && reads("2 tb", SLUICE_UNITS_SIZE, INT64_C(2199023255552)) &&
	   reads("0.999999999 TB", SLUICE_UNITS_SIZE, INT64_C(1099511626676)), "sizes");
	ok(reads("100", SLUICE_UNITS_DURATION, 100000000) && reads("250us", SLUICE_UNITS_DURATION, 250000) &&
	   reads("1.5 s", SLUICE_UNITS_DURATION, 1500000000) && reads("0.000000001s", SLUICE_UNITS_DURATION, 1) &&
	   reads("2min", SLUICE_UNITS_DURATION, INT64_C(120000000000)) &&
	   reads("365 d", SLUICE_UNITS_DURATION, INT64_C(31536000000000000)), "durations");
	refuses_all((const char *const[]) {"", " 1", "-1", "+1", "1 ", "1.0.0", "1.5", "0x10", "1e3", "1,5", "one",
				"99999999999999999999", NULL}, SLUICE_UNITS_NONE, "what is no number");
	refuses_all((const char *const[]) {"", "kB", "1 KiB", "1s", ".5kB", "1.kB", "9000000 TB", "8388607.9999999999999 TBB", NULL},
				SLUICE_UNITS_SIZE, "what is no size");
	refuses_all((const char *const[]) {"1 kB", "106752 d", "1 month", "never", NULL}, SLUICE_UNITS_DURATION,
				"what is no duration");
	ok(sluice_quantity_read_range("1 ms to 1 h", SLUICE_UNITS_DURATION, &least, &most) && least == 1000000 &&
	   most == INT64_C(3600000000000), "a range");
	ok(!sluice_quantity_read_range("1 ms", SLUICE_UNITS_DURATION, &least, &most) &&
	   !sluice_quantity_read_range("1 kB to 1 h", SLUICE_UNITS_DURATION, &least, &most), "what is no range");
	return done_testing();
}
