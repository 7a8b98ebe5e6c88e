/*
 * store_process_test.c
 *		A store that other processes look at, that its own is killed in, and that other threads read.
 */
#include "store_model.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

typedef struct Peeker
{
	pid_t		process;
	int			peeked;			/* a byte from it: it has a transaction open */
	int			go;				/* closed: it may go on */
} Peeker;

static bool
hold_scan(void *argument, const SluiceStoreRecord *record)
{
	int		   *pipes = argument;
	char		byte = 1;

	(void) record;
	if (write(pipes[0], &byte, 1) != 1)
		return false;
	return read(pipes[1], &byte, 1) != 0;
}

static Peeker
start_peeker(void)
{
	int			there[2], back[2];
	char		byte;
	Peeker		peeker;

	if (pipe(there) != 0 || pipe(back) != 0)
		exit(2);
	peeker.process = fork();
	if (peeker.process == 0)
	{
		SluiceStore *store;
		int			pipes[2] = {there[1], back[0]};

		close(back[1]);
		if (open_mode(SLUICE_STORE_PEEK, 0, &store) == SLUICE_OK)
			sluice_store_scan(store, 0, hold_scan, pipes);
		_exit(0);
	}
	close(there[1]);
	close(back[0]);
	peeker.peeked = there[0];
	peeker.go = back[1];
	if (read(peeker.peeked, &byte, 1) != 1)
		printf("# the peeker could not peek\n");
	return peeker;
}

static void
stop_peeker(Peeker *peeker)
{
	int			status;

	close(peeker->go);
	close(peeker->peeked);
	waitpid(peeker->process, &status, 0);
}

static void
test_peeker(void)
{
	SluiceStore *store;
	Peeker		peeker;

	begin_new();
	memset(&model, 0, sizeof(model));
	store = open_own();
	put_range(store, &model, 1, 500, 100);
	sluice_store_close(store);

	/* The one who looks has lock.mdb of the old file mapped, with its transaction's number. */
	peeker = start_peeker();
	store = open_own();
	for (uint64_t i = 501; i < 540; i++)
		put_range(store, &model, i, i, 100);
	ok(sluice_store_compact(store) == SLUICE_OK && store_is(store, &model), "compacted while another process looks");
	ok(put_range(store, &model, 600, 900, 100) && store_is(store, &model), "and written to");
	sluice_store_close(store);
	stop_peeker(&peeker);

	/* From one transaction more, as LMDB's two meta pages take turns. */
	store = open_own();
	put_range(store, &model, 901, 901, 100);
	sluice_store_close(store);
	peeker = start_peeker();
	store = open_own();
	for (uint64_t i = 902; i < 941; i++)
		put_range(store, &model, i, i, 100);
	ok(sluice_store_compact(store) == SLUICE_OK && store_is(store, &model) &&
	   put_range(store, &model, 941, 960, 100) && store_is(store, &model), "the same after one transaction more");
	sluice_store_close(store);
	store = open_own();
	ok(store_is(store, &model) && aside[0] == '\0', "and opened again");
	sluice_store_close(store);
	stop_peeker(&peeker);
	store = open_own();
	ok(store_is(store, &model), "and when that one is gone");

	/* Pages of its time are kept until it is gone, also where it did not say so. */
	peeker = start_peeker();
	kill(peeker.process, SIGKILL);
	stop_peeker(&peeker);
	for (int i = 0; i < 100; i++)
		put_range(store, &model, 600, 900, 100);
	{
		SluiceStoreCounts counts;

		ok(sluice_store_counts(store, &counts) == SLUICE_OK && counts.file_bytes < 2 << 20,
		   "a killed one does not make the file grow");
	}
	sluice_store_close(store);
}

static void
test_killed_writer(void)
{
	SluiceStore *store;
	bool		all = true;

	begin_new();
	memset(&model, 0, sizeof(model));
	for (int run = 0; run < 20; run++)
	{
		pid_t		child = fork();
		int			status;
		uint64_t	from = (uint64_t) run * 100 + 1;

		if (child == 0)
		{
			store = open_own();
			put_range(store, &model, from, from + 49, 50);
			sluice_store_begin(store);
			for (uint64_t i = from + 50; i < from + 100; i++)
			{
				SluiceStoreRecord record = make_record(i, 50);

				sluice_store_put(store, &record);
			}
			kill(getpid(), SIGKILL);
		}
		waitpid(child, &status, 0);
		for (uint64_t i = from; i < from + 50; i++)
			model.length[i] = 51;
		model.next = from + 50;
		store = open_own();
		all = all && store_is(store, &model) && aside[0] == '\0';
		sluice_store_close(store);
	}
	ok(all, "a process killed in a transaction leaves what it had committed");
}

typedef struct Reader
{
	SluiceStore *store;
	bool		stop;
	bool		bad;
	uint64_t	scans;
} Reader;

typedef struct Sum
{
	uint64_t	first;
	uint64_t	count;
	bool		bad;
} Sum;

static bool
sum_record(void *argument, const SluiceStoreRecord *record)
{
	Sum		   *sum = argument;

	if (sum->count == 0)
		sum->first = record->sequence;
	sum->bad |= record->sequence != sum->first + sum->count++ || !(record->length > 0);
	return true;
}

static void *
read_always(void *argument)
{
	Reader	   *reader = argument;

	while (!__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE))
	{
		Sum			sum = {0};

		if (sluice_store_scan(reader->store, 0, sum_record, &sum) != SLUICE_OK || sum.bad || (sum.count != 0 && sum.count % 100 != 0))
			reader->bad = true;
		reader->scans++;
	}
	return NULL;
}

/* Each transaction moves a window of records by a hundred. */
static void
test_readers(void)
{
	SluiceStore *store;
	Reader		readers[3];
	pthread_t	threads[3];
	bool		all = true;
	size_t		removed;

	begin_new();
	store = open_own();
	for (int i = 0; i < 3; i++)
	{
		readers[i] = (Reader) {.store = store};
		if (pthread_create(&threads[i], NULL, read_always, &readers[i]) != 0)
			exit(2);
	}
	for (uint64_t round = 0; round < 300; round++)
	{
		all = all && sluice_store_begin(store) == SLUICE_OK;
		for (uint64_t i = 0; i < 100; i++)
		{
			SluiceStoreRecord record = make_record(round * 100 + i + 1, 30);

			all = all && sluice_store_put(store, &record) == SLUICE_OK;
		}
		if (round > 10)
			all = all && sluice_store_remove_through(store, (round - 10) * 100, SIZE_MAX, &removed) == SLUICE_OK && removed == 100;
		all = all && sluice_store_commit(store) == SLUICE_OK;
	}
	for (int i = 0; i < 3; i++)
	{
		__atomic_store_n(&readers[i].stop, true, __ATOMIC_RELEASE);
		pthread_join(threads[i], NULL);
	}
	ok(all, "one thread writes while others read");
	ok(!readers[0].bad && !readers[1].bad && !readers[2].bad && readers[0].scans > 0, "who see each transaction whole or not at all");
	sluice_store_close(store);
}

static bool
lock_has_blocks(void)
{
	char		path[sizeof(directory) + 16];
	struct stat status;

	snprintf(path, sizeof(path), "%s/lock.mdb", directory);
	return stat(path, &status) == 0 && status.st_size >= 8192 && status.st_blocks * 512 >= status.st_size;
}

/* A page of it that the disk has no block for would be a SIGBUS. */
static void
test_lock_file(void)
{
	SluiceStore *store;
	char		path[sizeof(directory) + 16];

	begin_new();
	store = open_own();
	ok(lock_has_blocks(), "the file of LMDB's locks has its blocks");
	ok(sluice_store_compact(store) == SLUICE_OK && lock_has_blocks(), "also where compaction has made it anew");
	sluice_store_close(store);
	snprintf(path, sizeof(path), "%s/lock.mdb", directory);
	ok(unlink(path) == 0, "and where a restored backup has none");
	store = open_own();
	ok(lock_has_blocks(), "it is made with them");
	sluice_store_close(store);
	ok(unlink(path) == 0 && open_mode(SLUICE_STORE_PEEK, 0, &store) == SLUICE_OK && lock_has_blocks(), "also by who only looks");
	sluice_store_close(store);
}

/* Until there is no room left. */
static void
fill_disk(void)
{
	static const char zeros[4096];
	char		path[sizeof(directory) + 16];
	int			fd;

	snprintf(path, sizeof(path), "%s/filler", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	close(fd);
}

#define CANNOT_MOUNT 77

/* In a process with mounts of its own.  Returns its exit code. */
static int
open_on_full_disk(SluiceStoreMode mode)
{
	SluiceStore *store;
	char		path[sizeof(directory) + 16];

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("none", directory, "tmpfs", 0, "size=3m") != 0)
		return CANNOT_MOUNT;
	sluice_store_close(open_own());
	snprintf(path, sizeof(path), "%s/lock.mdb", directory);
	unlink(path);
	fill_disk();
	if (open_mode(mode, 0, &store) != SLUICE_ERROR_DISK)
		return 1;
	snprintf(path, sizeof(path), "%s/filler", directory);
	unlink(path);
	if (open_mode(mode, 0, &store) != SLUICE_OK)
		return 2;
	sluice_store_close(store);
	return 0;
}

static void
test_full_disk(SluiceStoreMode mode, const char *name)
{
	int			status = 0;
	pid_t		process;

	begin_new();
	fflush(stdout);
	process = fork();
	if (process == 0)
		_exit(open_on_full_disk(mode));
	waitpid(process, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_MOUNT)
		printf("# no file system could be mounted: not tested\n");
	else if (!ok(status == 0, name))
		printf("# status %#x\n", (unsigned int) status);
}

#define DAMAGED 200

/* Wherever the file has the bytes of the record. */
static int
damage_copies(const SluiceStoreRecord *record)
{
	char		path[sizeof(directory) + 16];
	size_t		size;
	char	   *bytes = file_read(directory, "data.mdb", &size);
	char	   *found = bytes;
	int			copies = 0;
	int			fd;

	snprintf(path, sizeof(path), "%s/data.mdb", directory);
	fd = open(path, O_WRONLY);
	while ((found = memmem(found, size - (size_t) (found - bytes), record->bytes, record->length)) != NULL)
		copies += pwrite(fd, "!", 1, found++ - bytes + 50) == 1;
	close(fd);
	free(bytes);
	return copies;
}

typedef struct Overwriting
{
	SluiceStore *store;
	uint64_t	last;
	bool		put;
} Overwriting;

/* Before DAMAGED is read it is damaged, and, where `put`, written anew by a transaction that the reader does not see. */
static bool
overwrite(void *argument, const SluiceStoreRecord *record)
{
	Overwriting *overwriting = argument;
	SluiceStoreRecord next;

	overwriting->last++;
	if (record->sequence != overwriting->last)
		return false;
	if (record->sequence == DAMAGED - 1)
	{
		next = make_record(DAMAGED, 100);
		if (damage_copies(&next) == 0)
			printf("# nothing was damaged\n");
		if (overwriting->put &&
			(sluice_store_begin(overwriting->store) != SLUICE_OK || sluice_store_put(overwriting->store, &next) != SLUICE_OK ||
			 sluice_store_commit(overwriting->store) != SLUICE_OK))
			printf("# it could not be written anew\n");
	}
	return true;
}

static void
test_damaged_while_read(void)
{
	Overwriting overwriting = {.put = true};

	begin_new();
	memset(&model, 0, sizeof(model));
	overwriting.store = open_own();
	put_range(overwriting.store, &model, 1, 500, 100);
	ok(sluice_store_scan(overwriting.store, 0, overwrite, &overwriting) == SLUICE_OK && overwriting.last == 500,
	   "a record whose page was written over while it was read is read again");
	overwriting.put = false;
	overwriting.last = 0;
	ok(sluice_store_scan(overwriting.store, 0, overwrite, &overwriting) == SLUICE_ERROR_DAMAGED && overwriting.last == DAMAGED - 1,
	   "one that is damaged is damaged");
	sluice_store_close(overwriting.store);
}

int
main(void)
{
	directory_make(directory);
	test_lock_file();
	test_full_disk(SLUICE_STORE_OWN, "a full disk without the file of locks is an error, not a signal");
	test_full_disk(SLUICE_STORE_PEEK, "also for who only looks");
	test_damaged_while_read();
	test_peeker();
	test_killed_writer();
	test_readers();
	directory_remove(directory);
	return done_testing();
}
