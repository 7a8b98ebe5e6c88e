/* call_end: which ends are final, and the server's counts. */
#include "call_end.h"

#include "tap.h"

static bool
refused(int status, const char *message)
{
	SluiceCallEnd end;

	memset(&end, 0, sizeof(end));
	end.status = status;
	snprintf(end.message, sizeof(end.message), "%s", message);
	return sluice_call_end_is_refusal(&end);
}

static bool
read_count(const char *digits, uint64_t expected)
{
	uint64_t	count;

	return sluice_call_end_read_count((const uint8_t *) digits, strlen(digits), &count) && count == expected;
}

int
main(void)
{
	/* Of gRPC's codes 0 to 16: INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED. */
	static const char final[] = "00010101000010001";
	bool		good = true;

	for (int status = 0; status <= 16; status++)
		good = good && refused(status, "message") == (final[status] == '1');
	ok(good, "codes that are final");
	ok(refused(8, "Received message larger than max (2000 vs. 1000)"), "a message too large");
	ok(!refused(14, "larger than"), "only as RESOURCE_EXHAUSTED");
	ok(read_count("0", 0) && read_count("12345678901", 12345678901), "counts");
	ok(!read_count("", 0) && !read_count("-1", 1) && !read_count("1 ", 1) && !read_count("1000000000000000000", 1000000000000000000),
	   "no counts");
	return done_testing();
}
