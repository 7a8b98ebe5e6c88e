/*
 * leaves.c
 *		What lies in the leaf pages of a damaged buffer's file.
 *
 * The format is LMDB 0.9's (see store_pages.c): a page has a head of 16 bytes and an
 * array of offsets; a node has a head of 8 bytes, its key, and its value, or the number of the
 * first of the pages that have it.
 */
#include "leaves.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../sluice.h"
#include "encoding.h"
#include "store_internal.h"

#define PAGE_HEAD 16
#define NODE_HEAD 8
#define PAGE_SIZE_AT 40			/* in the first meta page */
#define FLAGS_AT 10
#define LOWER_AT 12
#define PAGE_LEAF 0x02
#define NODE_BIG 0x01
#define STATE_KEY "state"
#define VALUE_MAX ((size_t) 1 << 31)

typedef struct Node
{
	const uint8_t *key;
	size_t		key_size;
	uint64_t	at;
	size_t		size;
} Node;

static uint16_t
number16(const uint8_t *bytes)
{
	uint16_t	number;

	memcpy(&number, bytes, sizeof(number));
	return number;
}

static uint64_t
number64(const uint8_t *bytes)
{
	uint64_t	number;

	memcpy(&number, bytes, sizeof(number));
	return number;
}

static bool
read_at(int fd, void *bytes, size_t size, uint64_t at)
{
	size_t		got = 0;

	while (got < size)
	{
		ssize_t		n = pread(fd, (uint8_t *) bytes + got, size - got, (off_t) (at + got));

		if (n <= 0)
			return false;
		got += (size_t) n;
	}
	return true;
}

/* What the file says; where that is damaged, this machine's. */
static size_t
find_page_size(int fd)
{
	uint32_t	size = 0;

	if (read_at(fd, &size, sizeof(size), PAGE_SIZE_AT) && size >= 512 && size <= 0x8000 && (size & (size - 1)) == 0)
		return size;
	return (size_t) sysconf(_SC_PAGESIZE);
}

/* One more of a growing array; NULL: no memory. */
static void *
grow(void **array, size_t count, size_t *size, size_t element)
{
	if (count == *size)
	{
		size_t		wanted = *size > 0 ? *size * 2 : 1024;
		void	   *larger = realloc(*array, wanted * element);

		if (larger == NULL)
			return NULL;
		*array = larger;
		*size = wanted;
	}
	return (uint8_t *) *array + count * element;
}

static int
read_value(SluiceLeaves *leaves, uint64_t at, size_t size, MDB_val *value)
{
	if (size > leaves->value_size)
	{
		uint8_t    *larger = realloc(leaves->value, size);

		if (larger == NULL)
			return SLUICE_ERROR_MEMORY;
		leaves->value = larger;
		leaves->value_size = size;
	}
	if (!read_at(leaves->fd, leaves->value, size, at))
		return SLUICE_ERROR_DISK;
	*value = (MDB_val) {.mv_size = size, .mv_data = leaves->value};
	return SLUICE_OK;
}

static bool
is_record(uint64_t sequence, const MDB_val *value, SluiceStoreRecord *record)
{
	SluiceEntry entry;

	return sluice_store_record_decode(sequence, value, record) &&
		sluice_entry_read(record->bytes, record->length, &entry) == record->length && entry.sequence == sequence;
}

static int
keep_record(SluiceLeaves *leaves, uint64_t sequence, const Node *node)
{
	SluiceLeaf *leaf = grow((void **) &leaves->records, leaves->nrecords, &leaves->records_size, sizeof(SluiceLeaf));

	if (leaf == NULL)
		return SLUICE_ERROR_MEMORY;
	*leaf = (SluiceLeaf) {sequence, node->at, (uint32_t) node->size};
	leaves->nrecords++;
	return SLUICE_OK;
}

static int
keep_gap(SluiceLeaves *leaves, const SluiceStoreGap *found)
{
	SluiceStoreGap *gap = grow((void **) &leaves->gaps, leaves->ngaps, &leaves->gaps_size, sizeof(SluiceStoreGap));

	if (gap == NULL)
		return SLUICE_ERROR_MEMORY;
	*gap = *found;
	leaves->ngaps++;
	return SLUICE_OK;
}

/* Numbers only rise. */
static void
keep_state(SluiceLeaves *leaves, const SluiceStoreState *state)
{
	if (leaves->has_state && (state->acked_through < leaves->state.acked_through || state->next < leaves->state.next))
		return;
	leaves->state = *state;
	leaves->has_state = true;
}

static int
look_at_node(SluiceLeaves *leaves, const Node *node)
{
	MDB_val		value;
	SluiceStoreRecord record;
	SluiceStoreGap gap;
	SluiceStoreState state;
	int			code = read_value(leaves, node->at, node->size, &value);

	if (code != SLUICE_OK)
		return code == SLUICE_ERROR_DISK ? SLUICE_OK : code;	/* cannot be read: it is lost */
	if (node->key_size == strlen(STATE_KEY) && memcmp(node->key, STATE_KEY, node->key_size) == 0)
	{
		if (sluice_store_state_decode(&value, &state) == SLUICE_OK)
			keep_state(leaves, &state);
		return SLUICE_OK;
	}
	if (node->key_size != sizeof(uint64_t))
		return SLUICE_OK;
	if (is_record(number64(node->key), &value, &record))
		return keep_record(leaves, record.sequence, node);
	if (sluice_store_gap_decode(number64(node->key), &value, &gap))
		return keep_gap(leaves, &gap);
	return SLUICE_OK;
}

/* The node at this offset of the page; false: it is none. */
static bool
read_node(const SluiceLeaves *leaves, const uint8_t *page, uint64_t page_at, size_t offset, Node *node)
{
	size_t		size;
	size_t		value;
	bool		big;

	if (offset < PAGE_HEAD || offset + NODE_HEAD > leaves->page_size)
		return false;
	size = number16(page + offset) | (size_t) number16(page + offset + 2) << 16;
	big = (number16(page + offset + 4) & NODE_BIG) != 0;
	node->key_size = number16(page + offset + 6);
	node->key = page + offset + NODE_HEAD;
	value = offset + NODE_HEAD + node->key_size;
	if (value + (big ? sizeof(uint64_t) : size) > leaves->page_size || size > VALUE_MAX)
		return false;
	node->size = size;
	node->at = page_at + value;
	if (big)
	{
		uint64_t	number = number64(page + value);

		if (number > (uint64_t) INT64_MAX / leaves->page_size - 1)
			return false;
		node->at = number * leaves->page_size + PAGE_HEAD;
	}
	return true;
}

static int
look_at_page(SluiceLeaves *leaves, const uint8_t *page, uint64_t page_at)
{
	size_t		end = number16(page + LOWER_AT);
	int			code = SLUICE_OK;

	if ((number16(page + FLAGS_AT) & PAGE_LEAF) == 0 || end > leaves->page_size)
		return SLUICE_OK;
	for (size_t i = PAGE_HEAD; code == SLUICE_OK && i + 2 <= end; i += 2)
	{
		Node		node;

		if (read_node(leaves, page, page_at, number16(page + i), &node))
			code = look_at_node(leaves, &node);
	}
	return code;
}

static int
compare_leaves(const void *left, const void *right)
{
	uint64_t	a = ((const SluiceLeaf *) left)->sequence;
	uint64_t	b = ((const SluiceLeaf *) right)->sequence;

	return (a > b) - (a < b);
}

/* A page that was copied leaves the old one behind: the same record, twice. */
static void
sort_records(SluiceLeaves *leaves)
{
	size_t		kept = 0;

	if (leaves->nrecords == 0)
		return;
	qsort(leaves->records, leaves->nrecords, sizeof(SluiceLeaf), compare_leaves);
	for (size_t i = 1; i < leaves->nrecords; i++)
	{
		if (leaves->records[i].sequence != leaves->records[kept].sequence)
			leaves->records[++kept] = leaves->records[i];
	}
	leaves->nrecords = kept + 1;
}

static int
compare_gaps(const void *left, const void *right)
{
	uint64_t	a = ((const SluiceStoreGap *) left)->from;
	uint64_t	b = ((const SluiceStoreGap *) right)->from;

	return (a > b) - (a < b);
}

/* One gap of those that overlap: a gap that grew was there before, shorter. */
static void
sort_gaps(SluiceLeaves *leaves)
{
	size_t		kept = 0;

	if (leaves->ngaps == 0)
		return;
	qsort(leaves->gaps, leaves->ngaps, sizeof(SluiceStoreGap), compare_gaps);
	for (size_t i = 1; i < leaves->ngaps; i++)
	{
		if (leaves->gaps[i].from > leaves->gaps[kept].to)
			leaves->gaps[++kept] = leaves->gaps[i];
		else if (leaves->gaps[i].to > leaves->gaps[kept].to)
			leaves->gaps[kept].to = leaves->gaps[i].to;
	}
	leaves->ngaps = kept + 1;
}

int
sluice_leaves_open(SluiceLeaves *leaves, const char *path)
{
	struct stat status;
	uint8_t    *page;
	int			code = SLUICE_OK;

	memset(leaves, 0, sizeof(*leaves));
	leaves->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (leaves->fd < 0 || fstat(leaves->fd, &status) != 0)
		return SLUICE_ERROR_DISK;
	leaves->page_size = find_page_size(leaves->fd);
	page = malloc(leaves->page_size);
	if (page == NULL)
		return SLUICE_ERROR_MEMORY;
	for (uint64_t at = 0; code == SLUICE_OK && at + leaves->page_size <= (uint64_t) status.st_size; at += leaves->page_size)
	{
		if (read_at(leaves->fd, page, leaves->page_size, at))
			code = look_at_page(leaves, page, at);
	}
	free(page);
	sort_records(leaves);
	sort_gaps(leaves);
	return code;
}

void
sluice_leaves_close(SluiceLeaves *leaves)
{
	if (leaves->fd >= 0)
		close(leaves->fd);
	free(leaves->records);
	free(leaves->gaps);
	free(leaves->value);
}

int
sluice_leaves_read(SluiceLeaves *leaves, const SluiceLeaf *leaf, SluiceStoreRecord *record)
{
	MDB_val		value;
	int			code = read_value(leaves, leaf->at, leaf->size, &value);

	if (code == SLUICE_OK && !is_record(leaf->sequence, &value, record))
		code = SLUICE_ERROR_DISK;
	return code;
}
