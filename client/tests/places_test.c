/* places: where a record came from, within bounds. */
#include "places.h"

#include "tap.h"

static bool
is_at(SluicePlaces *places, uint64_t sequence, size_t source, uint64_t line)
{
	SluicePlace place;

	return sluice_places_find(places, sequence, &place) && place.source == source && place.line == line;
}

static bool
is_unknown(SluicePlaces *places, uint64_t sequence)
{
	SluicePlace place;

	return !sluice_places_find(places, sequence, &place);
}

int
main(void)
{
	SluicePlaces *places = sluice_places_create(4);
	bool		good = true;

	ok(is_unknown(places, 0) && is_unknown(places, 1), "nothing is known at first");
	for (uint64_t i = 0; i < 1000; i++)
		sluice_places_note(places, 101 + i, (SluicePlace) {0, 1 + i});
	for (uint64_t i = 0; i < 1000; i++)
		good = good && is_at(places, 101 + i, 0, 1 + i);
	ok(good && is_unknown(places, 100) && is_unknown(places, 1101), "a run");

	sluice_places_note(places, 1101, (SluicePlace) {0, 1003});
	sluice_places_note(places, 1102, (SluicePlace) {1, 1});
	sluice_places_note(places, 1104, (SluicePlace) {1, 3});
	ok(is_at(places, 1100, 0, 1000) && is_at(places, 1101, 0, 1003) && is_at(places, 1102, 1, 1) &&
	   is_unknown(places, 1103) && is_at(places, 1104, 1, 3), "a blank line, another file, a number left out");
	sluice_places_note(places, 1105, (SluicePlace) {2, 9});
	ok(is_unknown(places, 1100) && is_at(places, 1101, 0, 1003) && is_at(places, 1105, 2, 9), "the oldest run is forgotten");

	sluice_places_note(places, 1105, (SluicePlace) {2, 10});
	ok(is_at(places, 1105, 2, 10) && is_at(places, 1101, 0, 1003), "the newest is noted again");
	sluice_places_note(places, 1104, (SluicePlace) {2, 11});
	ok(is_unknown(places, 1105) && is_at(places, 1104, 2, 11), "what was above it is gone");

	sluice_places_forget_through(places, 1101);
	ok(is_unknown(places, 1101) && is_at(places, 1102, 1, 1), "forgotten with its verdict");
	for (uint64_t i = 0; i < 10; i++)
		sluice_places_note(places, 2000 + i, (SluicePlace) {3, 50 + i});
	sluice_places_forget_through(places, 2004);
	ok(is_unknown(places, 2004) && is_at(places, 2005, 3, 55) && is_at(places, 2009, 3, 59), "within a run");
	sluice_places_forget_through(places, UINT64_MAX);
	ok(is_unknown(places, 2009), "all");
	sluice_places_free(places);
	return done_testing();
}
