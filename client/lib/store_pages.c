/*
 * store_pages.c
 *		LMDB's pages, looked at before LMDB trusts them.
 *
 * Checked is what keeps LMDB inside of its map, and whatever redundancy there is: each page in use is in use once and
 * not free, names itself, is packed, has its entries in order and between those of its
 * parent, and the sums of a tree are those in its head.  What is inside of values is not looked
 * at but in the list of free pages: values have checksums of their own.
 */
#include "store_pages.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../sluice.h"
#include "store_format.h"

typedef struct Walk
{
	int			fd;
	size_t		page_size;
	size_t		last_page;
	uint64_t	file_size;
	uint8_t    *seen;			/* a bit a page */
	uint8_t    *pages;			/* one for each level */
	SluiceError *error;

	Tree		named[NAMED_MAX];
	int			nnamed;

	/* the tree that is being walked */
	const Tree *tree;
	bool		is_free;
	bool		is_main;
	Tree		sums;
	uint8_t		bound[KEY_MAX];	/* the next key must be greater, or equal where that is allowed */
	size_t		bound_length;
	bool		bounded;
	bool		may_equal;
} Walk;

static int
damaged(Walk *walk, size_t page, const char *what)
{
	return sluice_error_set(walk->error, SLUICE_ERROR_DAMAGED, "page %zu of data.mdb: %s", page, what);
}

/* ---- trees ---- */

/* Pages from `first` on are in use, by one thing only. */
static int
claim(Walk *walk, size_t first, size_t count)
{
	if (first < 2 || first > walk->last_page || count > walk->last_page - first + 1)
		return damaged(walk, first, "does not exist");
	for (size_t page = first; page < first + count; page++)
	{
		if (walk->seen[page / 8] & (1 << page % 8))
			return damaged(walk, page, "is in use twice");
		walk->seen[page / 8] |= (uint8_t) (1 << page % 8);
	}
	return SLUICE_OK;
}

static int
compare_keys(const Walk *walk, const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
	int			order;

	if (walk->tree->flags & TREE_INTEGER_KEYS)
	{
		size_t		x, y;

		memcpy(&x, a, sizeof(x));
		memcpy(&y, b, sizeof(y));
		return (x > y) - (x < y);
	}
	order = memcmp(a, b, a_length < b_length ? a_length : b_length);
	return order != 0 ? order : (a_length > b_length) - (a_length < b_length);
}

/* A key, in the order in which a cursor meets it.  separator: of a branch; the next key may be equal. */
static int
check_key(Walk *walk, size_t page, const uint8_t *key, size_t length, bool separator)
{
	if (length == 0 || length > KEY_MAX || ((walk->tree->flags & TREE_INTEGER_KEYS) && length != sizeof(size_t)))
		return damaged(walk, page, "has a bad key");
	if (walk->bounded)
	{
		int			order = compare_keys(walk, key, length, walk->bound, walk->bound_length);

		if (order < 0 || (order == 0 && !walk->may_equal))
			return damaged(walk, page, "has keys out of order");
	}
	memcpy(walk->bound, key, length);
	walk->bound_length = length;
	walk->bounded = true;
	walk->may_equal = separator;
	return SLUICE_OK;
}

/* A value of the free tree: a count, and so many page numbers, descending. */
static int
check_free_list(Walk *walk, size_t page, const uint8_t *value, size_t length)
{
	size_t		count;
	size_t		before = NO_PAGE;

	if (length < sizeof(count))
		return damaged(walk, page, "has a bad list of free pages");
	memcpy(&count, value, sizeof(count));
	if (count > length / sizeof(size_t) - 1)
		return damaged(walk, page, "has a bad list of free pages");
	for (size_t i = 1; i <= count; i++)
	{
		size_t		number;
		int			rc;

		memcpy(&number, value + i * sizeof(number), sizeof(number));
		if (number >= before)
			return damaged(walk, page, "has a list of free pages out of order");
		before = number;
		if ((rc = claim(walk, number, 1)) != SLUICE_OK)
			return rc;
	}
	return SLUICE_OK;
}

static int
check_big_free_list(Walk *walk, size_t page, size_t length)
{
	uint8_t    *value = malloc(length);
	int			rc;

	if (value == NULL)
		return sluice_error_set(walk->error, SLUICE_ERROR_MEMORY, "out of memory");
	rc = sluice_pages_read(walk->fd, value, length, (uint64_t) page * walk->page_size + HEAD_SIZE, walk->error);
	if (rc == SLUICE_OK)
		rc = check_free_list(walk, page, value, length);
	free(value);
	return rc;
}

static int
check_overflow(Walk *walk, size_t page, size_t length)
{
	PageHead	head;
	size_t		needed = (HEAD_SIZE - 1 + length) / walk->page_size + 1;
	int			rc;

	if (page < 2 || page > walk->last_page)
		return damaged(walk, page, "does not exist");
	rc = sluice_pages_read(walk->fd, &head, HEAD_SIZE, (uint64_t) page * walk->page_size, walk->error);
	if (rc != SLUICE_OK)
		return rc;
	if (head.number != page || head.flags != PAGE_OVERFLOW || head.pages < needed)
		return damaged(walk, page, "is not the large value that it should be");
	if ((rc = claim(walk, page, head.pages)) != SLUICE_OK)
		return rc;
	if (((uint64_t) page + head.pages) * walk->page_size > walk->file_size)
		return damaged(walk, page, "is cut short");
	walk->sums.overflows += head.pages;
	return walk->is_free ? check_big_free_list(walk, page, length) : SLUICE_OK;
}

static int
check_named(Walk *walk, size_t page, const Node *node, const uint8_t *value, size_t length)
{
	if (node->flags != NODE_TREE || length != sizeof(Tree) || walk->nnamed == NAMED_MAX)
		return damaged(walk, page, "has a bad database");
	memcpy(&walk->named[walk->nnamed++], value, length);
	return SLUICE_OK;
}

/* The node at offset of a leaf, and what it takes of the page. */
static int
check_leaf_node(Walk *walk, size_t page, const uint8_t *bytes, size_t offset, size_t *size)
{
	Node		node;
	size_t		left = walk->page_size - offset - sizeof(node);
	const uint8_t *value;
	size_t		length;
	size_t		big;
	int			rc;

	memcpy(&node, bytes + offset, sizeof(node));
	length = NODE_NUMBER(&node);
	value = bytes + offset + sizeof(node) + node.key_length;
	*size = sizeof(node) + node.key_length + (node.flags == NODE_BIG ? sizeof(big) : length);
	if (node.key_length > left || *size > walk->page_size - offset)
		return damaged(walk, page, "has an entry that does not fit");
	rc = check_key(walk, page, bytes + offset + sizeof(node), node.key_length, false);
	if (rc != SLUICE_OK)
		return rc;
	walk->sums.entries++;
	if (walk->is_main)
		return check_named(walk, page, &node, value, length);
	if (node.flags == NODE_BIG)
	{
		memcpy(&big, value, sizeof(big));
		return check_overflow(walk, big, length);
	}
	if (node.flags != 0)
		return damaged(walk, page, "has an entry of an unknown kind");
	return walk->is_free ? check_free_list(walk, page, value, length) : SLUICE_OK;
}

static int	check_page(Walk *walk, size_t page, int level);

/* The first key of a branch page counts for nothing: everything before the second is below it. */
static int
check_branch_node(Walk *walk, size_t page, const uint8_t *bytes, size_t offset, int level, bool first, size_t *size)
{
	Node		node;
	size_t		child;

	memcpy(&node, bytes + offset, sizeof(node));
	child = NODE_NUMBER(&node);
#if SIZE_MAX > UINT32_MAX
	child |= (size_t) node.flags << 32;
#endif
	*size = sizeof(node) + node.key_length;
	if (*size > walk->page_size - offset)
		return damaged(walk, page, "has an entry that does not fit");
	if (!first)
	{
		int			rc = check_key(walk, page, bytes + offset + sizeof(node), node.key_length, true);

		if (rc != SLUICE_OK)
			return rc;
	}
	return check_page(walk, child, level + 1);
}

static int
check_page_head(Walk *walk, size_t page, const PageHead *head, bool leaf)
{
	size_t		least = leaf || walk->is_free ? 1 : 2;

	if (head->number != page || head->flags != (leaf ? PAGE_LEAF : PAGE_BRANCH) || head->pad != 0)
		return damaged(walk, page, "is not the page that it should be");
	if (head->lower < HEAD_SIZE + least * sizeof(uint16_t) || head->lower % 2 != 0 ||
		head->upper < head->lower || head->upper > walk->page_size)
		return damaged(walk, page, "has bad bounds");
	return SLUICE_OK;
}

/* A page and all below it.  Nodes are even and leave no room between them. */
static int
check_page(Walk *walk, size_t page, int level)
{
	uint8_t    *bytes = walk->pages + (size_t) level * walk->page_size;
	bool		leaf = level == walk->tree->depth - 1;
	PageHead	head;
	size_t		used = 0;
	int			rc = claim(walk, page, 1);

	if (rc == SLUICE_OK)
		rc = sluice_pages_read(walk->fd, bytes, walk->page_size, (uint64_t) page * walk->page_size, walk->error);
	if (rc != SLUICE_OK)
		return rc;
	memcpy(&head, bytes, HEAD_SIZE);
	if ((rc = check_page_head(walk, page, &head, leaf)) != SLUICE_OK)
		return rc;
	*(leaf ? &walk->sums.leaves : &walk->sums.branches) += 1;
	for (size_t at = HEAD_SIZE; at < head.lower; at += sizeof(uint16_t))
	{
		uint16_t	offset;
		size_t		size;

		memcpy(&offset, bytes + at, sizeof(offset));
		if (offset < head.upper || offset % 2 != 0 || offset > walk->page_size - sizeof(Node))
			return damaged(walk, page, "has an entry outside of it");
		rc = leaf ? check_leaf_node(walk, page, bytes, offset, &size) :
			check_branch_node(walk, page, bytes, offset, level, at == HEAD_SIZE, &size);
		if (rc != SLUICE_OK)
			return rc;
		used += (size + 1) & ~(size_t) 1;
	}
	return used == walk->page_size - head.upper ? SLUICE_OK : damaged(walk, page, "is not packed");
}

static int
check_tree(Walk *walk, const Tree *tree)
{
	int			rc;

	walk->tree = tree;
	walk->bounded = false;
	memset(&walk->sums, 0, sizeof(walk->sums));
	if (tree->root == NO_PAGE)
	{
		if (tree->depth != 0)
			return damaged(walk, tree->root, "is the root of a tree that is not empty");
	}
	else
	{
		if (tree->depth == 0 || tree->depth > DEPTH_MAX)
			return damaged(walk, tree->root, "is the root of a tree of bad depth");
		if ((rc = check_page(walk, tree->root, 0)) != SLUICE_OK)
			return rc;
	}
	if (walk->sums.branches != tree->branches || walk->sums.leaves != tree->leaves ||
		walk->sums.overflows != tree->overflows || walk->sums.entries != tree->entries)
		return damaged(walk, tree->root, "is the root of a tree with bad sums");
	return SLUICE_OK;
}

/* Named databases have no pad, and no flags but one: none of ours has another kind. */
static int
check_trees(Walk *walk, const Meta *meta)
{
	int			rc;

	if ((meta->free.flags & ~FILE_FLAG_NOSUBDIR) != TREE_INTEGER_KEYS || meta->main.flags != 0 || meta->main.pad != 0)
		return sluice_error_set(walk->error, SLUICE_ERROR_DAMAGED, "the meta page of data.mdb has bad flags");
	walk->is_free = true;
	rc = check_tree(walk, &meta->free);
	walk->is_free = false;
	walk->is_main = true;
	if (rc == SLUICE_OK)
		rc = check_tree(walk, &meta->main);
	walk->is_main = false;
	for (int i = 0; i < walk->nnamed && rc == SLUICE_OK; i++)
	{
		if ((walk->named[i].flags & ~TREE_INTEGER_KEYS) != 0 || walk->named[i].pad != 0)
			return damaged(walk, walk->named[i].root, "is the root of a database of an unknown kind");
		rc = check_tree(walk, &walk->named[i]);
	}
	return rc;
}

/* Pages behind the end of the file are free, or their number is bad; others may have been lost by LMDB, which harms nobody. */
static int
count_unseen(Walk *walk, size_t *leaked)
{
	size_t		written = walk->file_size / walk->page_size;

	*leaked = 0;
	for (size_t page = 2; page <= walk->last_page; page++)
	{
		if (walk->seen[page / 8] & (1 << page % 8))
			continue;
		if (page >= written)
			return damaged(walk, page, "is missing");
		++*leaked;
	}
	return SLUICE_OK;
}

static int
begin_walk(Walk *walk, const Meta *meta)
{
	int			rc = sluice_pages_last(walk->fd, meta, &walk->file_size, walk->error);

	if (rc != SLUICE_OK)
		return rc;
	walk->page_size = meta->free.pad;
	walk->last_page = meta->last_page;
	posix_fadvise(walk->fd, 0, 0, POSIX_FADV_WILLNEED);
	walk->seen = calloc(walk->last_page / 8 + 1, 1);
	walk->pages = malloc(walk->page_size * DEPTH_MAX);
	if (walk->seen == NULL || walk->pages == NULL)
		return sluice_error_set(walk->error, SLUICE_ERROR_MEMORY, "out of memory");
	return SLUICE_OK;
}

int
sluice_pages_check(int fd, size_t transaction, size_t *leaked, SluiceError *error)
{
	Walk		walk = {.fd = fd, .error = error};
	Meta		metas[2];
	const Meta *meta = &metas[transaction & 1];
	int			rc = sluice_pages_metas(fd, metas, error);

	if (rc == SLUICE_OK && meta->transaction != transaction)
		rc = sluice_error_set(error, SLUICE_ERROR_DAMAGED, "data.mdb has no transaction %zu", transaction);
	if (rc == SLUICE_OK)
		rc = begin_walk(&walk, meta);
	if (rc == SLUICE_OK)
		rc = check_trees(&walk, meta);
	if (rc == SLUICE_OK)
		rc = count_unseen(&walk, leaked);
	free(walk.seen);
	free(walk.pages);
	return rc;
}
