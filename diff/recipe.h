/* SPDX-License-Identifier: MIT */
/*
 * diff/recipe.h - what is inside of a file, and how to pack it again (internal to diff/).
 *
 * A file is seen as its *view*: raw bytes as they are, packed ones unpacked, nested where the data is. A recipe says which
 * are which. It is a list:
 *
 *     list    varint n: n bytes of the view are raw here, then u8 filter: 0 the list ends; else its parameters, a list of
 *             what is in it, and the outer list goes on
 *
 * Headers, checksums, names, indices of .gz, .xz, .zip, .deb ... are raw bytes: a container needs no filter of its own, and of
 * a .tar.xz's members each that is packed itself is one filter deeper. In a base's recipe there is what unpacking needs; in a
 * target's also what packing needs:
 *
 *     1 deflate  [target: u8 way, then for ways 2 and 3 varints good, lazy, nice, chain and u8 hash bits, u8 window bits;
 *                u8 flags (1 filtered, 2 resets); varint length of the corrections, the corrections (diff/deflate_pack.h)]
 *     2 lzma2    u8 branch filter (0 none, 1 x86, 2 powerpc, 3 ia64, 4 arm, 5 armthumb, 6 sparc, 7 arm64, 8 delta: u8
 *                distance - 1), u8 dictionary as in .xz; [target: u8 (pb * 5 + lp) * 9 + lc, u8 mode, u8 match finder, varint
 *                nice, varint depth: liblzma's]
 *     3 zstd     u8 log2 of the window; [target: varint level zigzag, u8 flags (1 checksum, 2 size known, 4 long, 8 window
 *                set, 16 by a worker thread, as the zstd command does), with 2 varint size]
 */
#ifndef AYNI_DIFF_RECIPE_H
#define AYNI_DIFF_RECIPE_H

#include "base/bytes.h"
#include "base/error.h"
#include "diff/deflate_match.h"

#define AY__RECIPE_MAX    (4u << 20) /* bytes of a record's recipes, which are in memory while it is read */
#define AY__RECIPE_DEPTH  4          /* a member of a .tar.xz in a .deb in an archive */
#define AY__RECIPE_PIECES 65536      /* filters of one recipe: members of an archive */
#define AY__RECIPE_HEAVY  1024       /* of these, lzma2 and zstd: each begins with clearing its tables */
#define AY__VIEW_IN_MEMORY                                                                                   \
	(1u << 20)                /* a base's view up to so large is kept in memory, a larger one in a file */
#define AY__VIEW_SHARE 64         /* a view has at most so many bytes for each of the file's, and ... */
#define AY__VIEW_FREE  (1u << 20) /* ... these besides; packed further is only what holds nothing */
#define AY__WORK_SHARE                                                                                       \
	64 /* what a bundle's reader goes through without writing it: so many bytes for each that is unpacked, ... */
#define AY__WORK_FREE        (1ull << 30) /* ... and these besides */
#define AY__WORK_FILTER      (32u << 10)  /* as which beginning a filter counts, ... */
#define AY__WORK_HEAVY       (128u << 10) /* ... one with large tables, ... */
#define AY__WORK_TABLES      3            /* ... where it packs by zstd with these tables' size >> 3 more */
#define AY__XZ_DICT_CODE_MAX 28           /* 64 MiB */
#define AY__ZSTD_WINDOW_MAX  27

enum ay__filter { AY__FILTER_END, AY__FILTER_DEFLATE, AY__FILTER_LZMA2, AY__FILTER_ZSTD, AY__FILTERS };

struct ay__xz_params {
	uint8_t branch, delta, dict_code, props, mode, finder;
	uint16_t nice, depth;
};

struct ay__zstd_params {
	int8_t level;
	uint8_t window_log;
	bool checksum, sized, long_, window_set, worker;
	uint64_t size;
};

struct ay__filter_params {
	enum ay__filter id;
	struct ay__deflate_params deflate;
	struct ay_slice corrections; /* of deflate; borrowed from the recipe */
	struct ay__xz_params xz;
	struct ay__zstd_params zstd;
};

/* What a recipe amounts to. */
struct ay__recipe_sums {
	uint64_t view_size;
	uint64_t memory;   /* bytes that unpacking (a base) or packing (a target) needs at most */
	uint32_t encoders; /* bit i: filter i */
	uint32_t filters;  /* how many, nested ones too */
	uint64_t work;     /* bytes of the view, and what beginning the filters counts as */
};

/** ay__filter_get() - the filter at @c: its id, which may be AY__FILTER_END, and its parameters. 0, AY_EFORMAT, AY_EUNSUPPORTED. */
int ay__filter_get(struct ay_cursor *c, bool target, struct ay__filter_params *p, struct ay_err *err);
void ay__filter_put(struct ay_buf *out, bool target, const struct ay__filter_params *p);

/** ay__filter_memory() - bytes that a filter needs to unpack (a base) or to pack (a target). */
uint64_t ay__filter_memory(const struct ay__filter_params *p, bool target);

/** ay__recipe_in_file() - does a base's view go to a temporary file? */
static inline bool ay__recipe_in_file(const struct ay__recipe_sums *base)
{
	return base->view_size > AY__VIEW_IN_MEMORY;
}

/**
 * ay__recipe_held() - is the target's view of a record whose addresses are predicted written to a temporary file first, and packed
 * from there? Then predicting and packing do not need their memory at the same time. @target: all 0 where there is no recipe.
 */
static inline bool ay__recipe_held(const struct ay__recipe_sums *target)
{
	return target->view_size > AY__VIEW_IN_MEMORY;
}

/**
 * ay__recipes_memory() - bytes that a record with these recipes needs besides all else.
 * @len: of both recipes. @base, @target: all 0 where there is no recipe.
 * @predicting: ay__elf_extra_memory() where the method is elf; 0: it is another one.
 */
uint64_t ay__recipes_memory(size_t len, const struct ay__recipe_sums *base,
			    const struct ay__recipe_sums *target, uint64_t predicting);

/** ay__recipes_predicting_max() - so much may @predicting be, if ay__recipes_memory() is to stay within @max; 0: none of it. */
uint64_t ay__recipes_predicting_max(uint64_t max, size_t len, const struct ay__recipe_sums *base,
				    const struct ay__recipe_sums *target);

/** ay__recipes_scratch() - bytes of temporary files that such a record has at once. @elf: that is its method. */
uint64_t ay__recipes_scratch(const struct ay__recipe_sums *base, const struct ay__recipe_sums *target,
			     bool elf);

/**
 * ay__record_work() - bytes that a record makes a reader go through, whatever it then takes of them.
 *
 * A few bytes can name a large base to be unpacked, or searched for addresses, once more: what all records of a bundle
 * add up to is bounded by ay__work_max().
 * @base_size: of the base's file. @base, @target: all 0 where there is no recipe. @elf_size: of the base's view, with method elf; else 0.
 */
uint64_t ay__record_work(uint64_t base_size, const struct ay__recipe_sums *base,
			 const struct ay__recipe_sums *target, uint64_t elf_size);

/**
 * ay__unwrap_max() - bytes that all filters of a base's recipe may give out in all: what is packed in what is packed comes out more
 * than once, but a stream within a stream that is far longer than what it holds (deflate: a million empty blocks) is nobody's.
 */
static inline uint64_t ay__unwrap_max(uint64_t base_size, uint64_t view_size)
{
	/* Both are below 2^62: what is beyond 2^57 is as good as no bound. */
	uint64_t sum = base_size + view_size;

	return sum >> 57 ? UINT64_MAX : 8 * sum + (1u << 20);
}

/** ay__work_max() - what all records of a bundle may add up to whose sizes' sum is @unpacked_size. */
uint64_t ay__work_max(uint64_t unpacked_size);

/**
 * ay__recipe_check() - walk all of @recipe: every bound holds, nothing is left over.
 *
 * Return: 0 and @sums; AY_EFORMAT, AY_ELIMIT, AY_EUNSUPPORTED naming the byte of the recipe.
 */
int ay__recipe_check(struct ay_slice recipe, bool target, struct ay__recipe_sums *sums, struct ay_err *err);

#endif
