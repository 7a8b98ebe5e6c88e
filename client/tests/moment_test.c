/* moment: points in time as text. */
#include "moment.h"

#include "tap.h"

static void
reads(const char *text, int64_t expected)
{
	int64_t		got = -1;

	if (!ok(sluice_moment_read(text, &got) && got == expected, text))
		printf("# got %lld\n", (long long) got);
}

static void
refuses(const char *text)
{
	int64_t		got;

	ok(!sluice_moment_read(text, &got), text);
}

int
main(void)
{
	reads("1970-01-01", 0);
	reads("1970-01-01T00:00:01Z", 1000000);
	reads("2026-01-31 23:59", INT64_C(1769903940000000));
	reads("2026-01-31T23:59:59.5Z", INT64_C(1769903999500000));
	reads("2026-01-31T23:59:59.123456Z", INT64_C(1769903999123456));
	reads("2026-02-01T00:59:59.000001+01:00", INT64_C(1769903999000001));
	reads("2026-01-31T18:29:59-05:30", INT64_C(1769903999000000));
	reads("2028-02-29", INT64_C(1835395200000000));
	reads("9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999));

	refuses("");
	refuses("now");
	refuses("2026-1-31");
	refuses("2026-02-29");
	refuses("2026-04-31");
	refuses("2026-13-01");
	refuses("2026-01-31T");
	refuses("2026-01-31T24:00");
	refuses("2026-01-31T23:60");
	refuses("2026-01-31T23:59:60");
	refuses("2026-01-31T23:59:59.");
	refuses("2026-01-31T23:59:59.1234567Z");
	refuses("2026-01-31T23:59:59+1");
	refuses("2026-01-31T23:59:59Z ");
	refuses("1969-12-31");
	refuses("1970-01-01T00:00+01:00");
	return done_testing();
}
