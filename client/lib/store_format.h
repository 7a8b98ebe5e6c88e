/*
 * store_format.h
 *		LMDB's file as it is on disk, for store_meta.c and store_pages.c.
 *
 * The format is that of LMDB 0.9 (data version 1), in the machine's own byte order and word size as LMDB writes it.
 */
#ifndef SLUICE_LIB_STORE_FORMAT_H
#define SLUICE_LIB_STORE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define FILE_MAGIC 0xBEEFC0DE
#define FILE_VERSION 1
#define PAGE_SIZE_MIN 512
#define PAGE_SIZE_MAX 0x8000
#define MAP_SIZE_MAX (SIZE_MAX >> 18)	/* 64 TB: more is a bad number */
#define NO_PAGE SIZE_MAX
#define DEPTH_MAX 32
#define NAMED_MAX 8
#define KEY_MAX 511

#define PAGE_BRANCH 0x01
#define PAGE_LEAF 0x02
#define PAGE_OVERFLOW 0x04
#define PAGE_META 0x08

#define NODE_BIG 0x01			/* the value is on overflow pages */
#define NODE_TREE 0x02			/* the value is a Tree */

#define TREE_INTEGER_KEYS 0x08
#define FILE_FLAG_NOSUBDIR 0x4000	/* kept in the free tree's flags, means nothing in the file */

typedef struct PageHead
{
	size_t		number;
	uint16_t	pad;
	uint16_t	flags;
	union
	{
		struct
		{
			uint16_t	lower;
			uint16_t	upper;
		};
		uint32_t	pages;
	};
} PageHead;

/* Without the tail that alignment gives PageHead. */
#define HEAD_SIZE (offsetof(PageHead, pages) + sizeof(uint32_t))

typedef struct Tree
{
	uint32_t	pad;			/* of the free tree: the page size */
	uint16_t	flags;
	uint16_t	depth;
	size_t		branches;
	size_t		leaves;
	size_t		overflows;
	size_t		entries;
	size_t		root;
} Tree;

typedef struct Meta
{
	uint32_t	magic;
	uint32_t	version;
	void	   *address;
	size_t		map_size;
	Tree		free;
	Tree		main;
	size_t		last_page;
	size_t		transaction;
} Meta;

typedef struct Node
{
	uint16_t	words[2];		/* low and high half, in this order where bytes are little endian */
	uint16_t	flags;
	uint16_t	key_length;
} Node;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NODE_NUMBER(node) ((node)->words[0] | (uint32_t) (node)->words[1] << 16)
#else
#define NODE_NUMBER(node) ((node)->words[1] | (uint32_t) (node)->words[0] << 16)
#endif

/* ---- store_meta.c ---- */

/* All of it, or the error; ERROR_DAMAGED where the file ends before. */
extern int sluice_pages_read(int fd, void *bytes, size_t length, uint64_t offset, SluiceError *error);

/* Both meta pages.  A commit writes them in turn, each one transaction after the other. */
extern int sluice_pages_metas(int fd, Meta metas[2], SluiceError *error);

/*
 * The file may end before its last page where the last ones are free; more
 * than lists of free pages in it could name is a bad number, and no reason to take memory for it.
 */
extern int sluice_pages_last(int fd, const Meta *meta, uint64_t *file_size, SluiceError *error);

#endif							/* SLUICE_LIB_STORE_FORMAT_H */
