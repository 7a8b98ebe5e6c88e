/* pending: whoever comes second learns how long it took. */
#include "pending.h"

#include "tap.h"

int
main(void)
{
	SluicePending *pending = sluice_pending_create(4);

	ok(sluice_pending_due(pending, 1, 1000) == -1 && sluice_pending_settled(pending, 1, 1500) == 500, "settled after it was put in");
	ok(sluice_pending_settled(pending, 2, 1500) == -1 && sluice_pending_due(pending, 2, 700) == 800, "settled before the call returned");
	ok(sluice_pending_due(pending, 5, 2000) == -1 && sluice_pending_due(pending, 6, 2001) == -1 &&
	   sluice_pending_settled(pending, 6, 2003) == 2 && sluice_pending_settled(pending, 5, 2003) == 3, "places are used again");
	sluice_pending_free(pending);
	return done_testing();
}
