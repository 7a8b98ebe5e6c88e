/*
 * buffer_identity_test.c
 *		Who may send what: copies, servers that lost commits, streams that were replaced.
 */
#include "buffer_scenario.h"

static void
copy_directory(const char *from, const char *to)
{
	static const char *const names[] = {"data.mdb", "tail"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		size_t		size;
		char	   *bytes = file_read(from, names[i], &size);

		file_write(to, names[i], bytes, size);
		free(bytes);
	}
}

static void
test_copies(void)
{
	char		original[256];
	char		copy[256];

	/* The original goes on; the copy cannot have sent that. */
	begin(SLUICE_DURABILITY_EACH);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	drain();
	sluice_buffer_disconnected(buffer);
	close_buffer();
	strcpy(original, directory);
	directory_make(copy);
	copy_directory(original, copy);
	open_buffer();
	put_range(6, 9);
	connect_buffer();
	drain();
	sluice_buffer_disconnected(buffer);
	close_buffer();
	settings.buffer = copy;
	open_buffer();
	put(100);
	ok(connect_buffer() != SLUICE_OK, "a copy that lags behind is not let in");
	sluice_buffer_condemned(buffer, SLUICE_ERROR_FORKED, 9);
	ok(put(101) == SLUICE_ERROR_FORKED && sluice_buffer_flush(buffer, SLUICE_NEVER) == SLUICE_ERROR_FORKED,
	   "a condemned buffer takes nothing, and nobody waits for it");
	close_buffer();
	ok(open_buffer() == SLUICE_ERROR_FORKED && strstr(error.text, "--new-identity") != NULL,
	   "it stays condemned, and opening it says what to do");
	directory_remove(copy);
	directory_remove(original);

	/* The copy comes first: it is the original that is fenced. */
	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	drain();
	sluice_buffer_disconnected(buffer);
	close_buffer();
	strcpy(original, directory);
	directory_make(copy);
	copy_directory(original, copy);
	settings.buffer = copy;
	open_buffer();
	put(6);
	ok(connect_buffer() == SLUICE_OK && drain(), "the first of two copies is let in");
	sluice_buffer_disconnected(buffer);
	close_buffer();
	settings.buffer = original;
	open_buffer();
	ok(connect_buffer() == SLUICE_ERROR_FENCED, "and the second one is fenced");
	close_buffer();
	directory_remove(copy);
	directory_remove(original);
}

/* A copy taken while it is open, in the same boot: its tail is as old as it is. */
static void
test_live_copy(void)
{
	char		original[256];
	char		copy[256];

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	drain();
	strcpy(original, directory);
	directory_make(copy);
	pthread_mutex_lock(&buffer->store_lock);
	copy_directory(original, copy);
	pthread_mutex_unlock(&buffer->store_lock);
	put_range(6, 20);
	drain();
	sluice_buffer_disconnected(buffer);
	close_buffer();
	settings.buffer = copy;
	open_buffer();
	for (uint64_t id = 1000; id < 1010; id++)
		put(id);
	ok(connect_buffer() != SLUICE_OK || (drain() && has(1, 20, 0) && server.fates[server.last - 1].id == 1009),
	   "of a copy of a buffer in use nothing is lost without a word");
	sluice_buffer_disconnected(buffer);
	close_buffer();
	directory_remove(copy);
	directory_remove(original);
}

static void
test_other_record(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	publish(false);
	server.last_crc ^= 1;
	sluice_buffer_disconnected(buffer);
	ok(connect_buffer() == SLUICE_ERROR_FORKED, "a server that has another record under our number is found out by its sum");
	server.last_crc ^= 1;
	server.last_is_gap = true;
	ok(connect_buffer() == SLUICE_ERROR_FORKED, "so is one that has a gap there");
	server.last_is_gap = false;
	ok(connect_buffer() == SLUICE_OK && buffer->acked == 5 && buffer->counts.settled_before == 5,
	   "with our record it is settled before");
	close_buffer();
	directory_remove(directory);
}

static void
write_all(bool *want)
{
	pthread_mutex_lock(&buffer->lock);
	sluice_writer_ask(buffer, want);
	pthread_mutex_unlock(&buffer->lock);
}

/* A drop that was settled before it was written: it is not to take what is held again. */
static void
test_lost_by_server_with_drop(void)
{
	Server		earlier = {.last = 0};
	bool		good;

	begin(SLUICE_DURABILITY_INTERVAL);
	settings.interval = 1000 * SLUICE_SECOND;
	open_buffer();
	connect_buffer();
	good = put_range(1, 3) == SLUICE_OK && drain();
	server_copy(&earlier, &server);
	good = good && put_range(4, 10) == SLUICE_OK;
	write_all(&buffer->wants.memory);
	good = good && buffer->written == 10 && publish(false);
	sluice_buffer_disconnected(buffer);
	pthread_mutex_lock(&buffer->lock);
	sluice_buffer_drop(buffer, 5, SLUICE_REASON_FULL);
	pthread_mutex_unlock(&buffer->lock);
	ok(good && connect_buffer() == SLUICE_OK && buffer->acked == 10 && buffer->amendments.count > 0,
	   "one that was dropped, and that the server had");
	sluice_buffer_disconnected(buffer);
	server_copy(&server, &earlier);
	ok(connect_buffer() == SLUICE_OK && buffer->acked == 3, "the server lost it");
	write_all(&buffer->wants.gaps);
	ok(drain() && has(4, 4, 0) && are_gaps(5, 5, SLUICE_REASON_SERVER_LOST) && has(6, 10, 0) && buffer->bytes == 0,
	   "so did the buffer, but nothing else");
	close_buffer();
	free(earlier.fates);
	directory_remove(directory);
}

static void
test_lost_by_server(SluiceDurability durability)
{
	Server		earlier = {.last = 0};

	begin(durability);
	open_buffer();
	connect_buffer();
	put_range(1, 10);
	drain();
	server_copy(&earlier, &server);
	put_range(11, 2000);
	drain();
	put_range(2001, 2010);
	sluice_buffer_disconnected(buffer);
	server_copy(&server, &earlier);
	ok(connect_buffer() == SLUICE_OK && buffer->acked == 10, "a server that lost commits is gone back to");
	ok(drain() && server.last == 2010 && has(1, 10, 0) && has(2001, 2010, 0), "what it never had comes after");
	for (uint64_t s = 11; s <= 2000; s++)
	{
		if (!has(s, s, 0) && !are_gaps(s, s, SLUICE_REASON_SERVER_LOST))
		{
			ok(false, "what it lost is sent again, or declared as lost");
			break;
		}
	}
	printf("# sent again %llu, declared %llu\n", (unsigned long long) (1990 - buffer->counts.lost), (unsigned long long) buffer->counts.lost);
	ok(reopen() == SLUICE_OK && buffer->acked == 2010 && buffer->next == 2011, "and all is settled");
	close_buffer();
	free(earlier.fates);
	directory_remove(directory);
}

/* What is settled stays in the store until the writer's next turn. */
static void
test_held(void)
{
	Server		earlier = {.last = 0};

	begin(SLUICE_DURABILITY_EACH);
	settings.interval = 3600 * SLUICE_SECOND;
	open_buffer();
	connect_buffer();
	put_range(1, 10);
	drain();
	server_copy(&earlier, &server);
	put_range(11, 200);
	drain();
	sluice_buffer_disconnected(buffer);
	server_copy(&server, &earlier);
	ok(connect_buffer() == SLUICE_OK && drain() && has(1, 200, 0), "what a server lost and is still held is sent again");
	sluice_buffer_disconnected(buffer);
	server_copy(&server, &earlier);
	ok(connect_buffer() == SLUICE_OK && buffer->acked == 10 && reopen() == SLUICE_OK && connect_buffer() == SLUICE_OK &&
	   drain() && has(1, 200, 0), "also after a restart");
	close_buffer();
	free(earlier.fates);
	directory_remove(directory);
}

static void
test_rebind(void)
{
	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 10);
	drain();
	put_range(11, 12);
	sluice_buffer_disconnected(buffer);
	free(server.fates);
	server_begin(&server);
	server.uid[0] = 99;
	ok(connect_buffer() == SLUICE_ERROR_REFUSED, "another stream of this name is not ours");
	ok(sluice_buffer_rebind(buffer) == SLUICE_OK && connect_buffer() == SLUICE_OK, "after a rebind it is");
	ok(drain() && are_gaps(1, 10, SLUICE_REASON_PREVIOUS_STREAM) && has(11, 12, 0), "what the old one has is declared to it");
	ok(reopen() == SLUICE_OK && connect_buffer() == SLUICE_OK && buffer->acked == 12, "and it stays so");
	close_buffer();
	directory_remove(directory);
}

/* Dropped, not written yet, and settled in part: the rest is written, and sent. */
static void
test_rebind_with_drops(void)
{
	bool		good;

	begin(SLUICE_DURABILITY_INTERVAL);
	settings.interval = 1000 * SLUICE_SECOND;
	server.batch_records = 7;
	open_buffer();
	connect_buffer();
	good = put_range(1, 10) == SLUICE_OK && publish(false) && server.last == 7;
	sluice_buffer_disconnected(buffer);
	pthread_mutex_lock(&buffer->lock);
	for (uint64_t s = 5; s <= 10; s++)
		sluice_buffer_drop(buffer, s, SLUICE_REASON_FULL);
	pthread_mutex_unlock(&buffer->lock);
	ok(good && connect_buffer() == SLUICE_OK && buffer->acked == 7, "a part of what was dropped the server had");
	sluice_buffer_disconnected(buffer);
	free(server.fates);
	server_begin(&server);
	server.uid[0] = 99;
	good = sluice_buffer_rebind(buffer) == SLUICE_OK;
	write_all(&buffer->wants.gaps);
	ok(good && connect_buffer() == SLUICE_OK && drain() && are_gaps(1, 7, SLUICE_REASON_PREVIOUS_STREAM) &&
	   are_gaps(8, 10, SLUICE_REASON_FULL), "another stream is told of the rest as well");
	close_buffer();
	directory_remove(directory);
}

/* What a run that was never opened gave out, it cannot have sent. */
static void
test_sent(void)
{
	SluiceOpening opening;

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 5);
	drain();
	put_range(6, 8);
	reopen();
	sluice_buffer_opening(buffer, &opening);
	ok(opening.sent == 8, "a run that was opened can have sent all that it gave out");
	put_range(9, 20);
	reopen();
	sluice_buffer_opening(buffer, &opening);
	ok(opening.sent == 8 && buffer->next == 21, "a run that was not opened sent nothing");
	connect_buffer();
	publish(false);
	sluice_buffer_disconnected(buffer);
	sluice_buffer_opening(buffer, &opening);
	ok(opening.sent == 20, "what was sent counts at once");
	close_buffer();
	directory_remove(directory);
}

static void
test_nonces(void)
{
	SluiceOpening opening;
	bool		good = true;

	begin(SLUICE_DURABILITY_EACH);
	open_buffer();
	connect_buffer();
	for (int i = 0; good && i < 100; i++)
		good = reopen() == SLUICE_OK;
	sluice_buffer_opening(buffer, &opening);
	ok(good && opening.nnonces == 64 && connect_buffer() == SLUICE_OK, "a hundred runs without a server do not lose the nonce that it knows");
	for (int i = 0; good && i < 100; i++)
		good = reopen() == SLUICE_OK;
	ok(good && connect_buffer() == SLUICE_OK, "nor do a hundred more");
	close_buffer();
	directory_remove(directory);
}

static bool
copy_record(void *argument, const SluiceStoreRecord *record)
{
	SluiceStoreRecord *copy = argument;
	uint8_t    *bytes = malloc(record->length);

	memcpy(bytes, record->bytes, record->length);
	*copy = (SluiceStoreRecord) {.sequence = record->sequence, .bytes = bytes, .length = record->length};
	return false;
}

/* The gap of the stream before was sent, and its acknowledgement lost, while the store has a record of that number. */
static void
test_rebind_cut(void)
{
	SluiceStoreRecord left = {.bytes = NULL};

	begin(SLUICE_DURABILITY_INTERVAL);
	settings.interval = 3600 * SLUICE_SECOND;
	open_buffer();
	put_range(1, 10);
	reopen();
	sluice_store_scan(buffer->store, 10, copy_record, &left);
	connect_buffer();
	drain();
	sluice_buffer_disconnected(buffer);
	free(server.fates);
	server_begin(&server);
	server.uid[0] = 99;
	put(11);
	ok(connect_buffer() == SLUICE_ERROR_REFUSED && sluice_buffer_rebind(buffer) == SLUICE_OK && connect_buffer() == SLUICE_OK,
	   "another stream is gone on with");
	while (server.last < 10)
		server_add(&server, (Fate) {0, SLUICE_VERDICT_DROPPED, SLUICE_REASON_PREVIOUS_STREAM}, 0);
	buffer->run_sent = 10;
	pthread_mutex_lock(&buffer->store_lock);
	ok(sluice_store_begin(buffer->store) == SLUICE_OK && sluice_store_put(buffer->store, &left) == SLUICE_OK &&
	   sluice_store_commit(buffer->store) == SLUICE_OK, "a record is still there");
	pthread_mutex_unlock(&buffer->store_lock);
	free((void *) left.bytes);
	sluice_buffer_disconnected(buffer);
	ok(connect_buffer() == SLUICE_OK && drain() && has(11, 11, 0), "also where the connection ends just after it was told of the old one");
	close_buffer();
	directory_remove(directory);
}

static int
always_dead(void *argument)
{
	(void) argument;
	return SLUICE_VERDICT_DEAD_LETTERED;
}

/* More dead letters than an Opened can name. */
static void
test_many_dead(void)
{
	static SluiceSettled exceptions[3000];
	size_t		nexceptions;
	SluiceOutgoing outgoing;
	int64_t		due;

	begin(SLUICE_DURABILITY_INTERVAL);
	open_buffer();
	connect_buffer();
	put_range(1, 1500);
	while (server.last < 1500 && sluice_buffer_next(buffer, 0, &outgoing, &due))
	{
		server_take(&server, outgoing.bytes, outgoing.length, always_dead, NULL, exceptions, &nexceptions);
		sluice_buffer_sent(buffer, &outgoing);
	}
	sluice_buffer_disconnected(buffer);
	connect_buffer();
	ok(buffer->acked == 1500 && ntold == 1 && is_told(1, 1000, SLUICE_VERDICT_DEAD_LETTERED, SLUICE_REASON_NONE),
	   "what an Opened leaves open is not told as stored");
	ok(buffer->counts.dead_lettered == 1000 && buffer->counts.settled_before == 500, "what it tells as dead letters is counted as such");
	close_buffer();
	directory_remove(directory);
}

int
main(void)
{
	test_copies();
	test_live_copy();
	test_other_record();
	test_lost_by_server_with_drop();
	test_lost_by_server(SLUICE_DURABILITY_INTERVAL);
	test_lost_by_server(SLUICE_DURABILITY_EACH);
	test_held();
	test_rebind();
	test_rebind_with_drops();
	test_rebind_cut();
	test_many_dead();
	test_sent();
	test_nonces();
	free(server.fates);
	return done_testing();
}
