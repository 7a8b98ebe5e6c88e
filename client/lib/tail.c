/*
 * tail.c
 *		The number that was given out last, in a page shared with the kernel.
 *
 * The page is written by plain stores, so that it costs nothing in sluice_send();
 * the kernel has what was stored when the process dies, whatever it dies of.
 * It is never synced: after a power cut the boot is another, and it does not count.
 */
#include "tail.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TAIL_SIZE 4096
#define TAIL_MAGIC UINT64_C(0x316c69617463756c)	/* "luctail1" as bytes of little endian */
#define BOOT_SIZE 40

/* Native byte order: another machine is another boot. */
typedef struct TailPage
{
	uint64_t	magic;
	char		boot[BOOT_SIZE];
	uint8_t		producer_id[16];
	uint64_t	last;
} TailPage;

struct SluiceTail
{
	TailPage   *page;
	uint64_t	before;			/* what the last run left */
	bool		known;
};

static bool
read_boot(char boot[BOOT_SIZE])
{
	int			fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t		length;

	memset(boot, 0, BOOT_SIZE);
	if (fd < 0)
		return false;
	length = read(fd, boot, BOOT_SIZE - 1);
	close(fd);
	return length >= 36;
}

/* The room is taken beforehand: a store into a page without a block is a signal where the disk is full. */
static TailPage *
map_page(const char *directory)
{
	char		path[PATH_MAX];
	void	   *page = MAP_FAILED;
	int			length = snprintf(path, sizeof(path), "%s/tail", directory);
	int			fd;

	if (length < 0 || (size_t) length >= sizeof(path))
		return NULL;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	if (posix_fallocate(fd, 0, TAIL_SIZE) == 0)
		page = mmap(NULL, TAIL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return page == MAP_FAILED ? NULL : page;
}

/* The number before the identity, the magic last: a death on the way leaves a page that does not count. */
static void
claim_page(TailPage *page, const char *boot, const uint8_t *producer_id)
{
	__atomic_store_n(&page->magic, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page->last, 0, __ATOMIC_SEQ_CST);
	memcpy(page->boot, boot, BOOT_SIZE);
	memcpy(page->producer_id, producer_id, sizeof(page->producer_id));
}

SluiceTail *
sluice_tail_open(const char *directory, const uint8_t producer_id[16])
{
	char		boot[BOOT_SIZE];
	SluiceTail *tail;

	if (!read_boot(boot))
		return NULL;
	tail = calloc(1, sizeof(*tail));
	if (tail == NULL)
		return NULL;
	tail->page = map_page(directory);
	if (tail->page == NULL)
	{
		free(tail);
		return NULL;
	}
	if (tail->page->magic == TAIL_MAGIC && memcmp(tail->page->boot, boot, BOOT_SIZE) == 0 &&
		memcmp(tail->page->producer_id, producer_id, sizeof(tail->page->producer_id)) == 0)
	{
		tail->known = true;
		tail->before = tail->page->last;
	}
	else
		claim_page(tail->page, boot, producer_id);
	return tail;
}

void
sluice_tail_close(SluiceTail *tail)
{
	if (tail == NULL)
		return;
	munmap(tail->page, TAIL_SIZE);
	free(tail);
}

bool
sluice_tail_read(const SluiceTail *tail, uint64_t *last)
{
	if (tail == NULL || !tail->known)
		return false;
	*last = tail->before;
	return true;
}

/* The first number makes the page count. */
void
sluice_tail_write(SluiceTail *tail, uint64_t last)
{
	__atomic_store_n(&tail->page->last, last, __ATOMIC_RELAXED);
	if (__atomic_load_n(&tail->page->magic, __ATOMIC_RELAXED) != TAIL_MAGIC)
		__atomic_store_n(&tail->page->magic, TAIL_MAGIC, __ATOMIC_RELEASE);
}
