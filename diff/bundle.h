/* SPDX-License-Identifier: MIT */
/*
 * diff/bundle.h - reading a bundle: one file that turns tree A into tree B.
 *
 *     header | manifest delta (compressed) | part | part | ... | end
 *
 * A part holds the streams of many files together, like with like (records,
 * control columns, zero-run columns, differences, literals), each compressed on
 * its own: none, zstd or xz. A part unpacks to at most the header's part limit (8 MiB
 * unless the bundle declares more memory); a file larger than that goes on in
 * the next part. Parts are read in order, in one pass, by one reader, which drives
 * a small table of functions: `apply`, `verify` and `show` are three such tables.
 * Exact layout: docs/formats.md, "Bundle", and diff/bundle_format.h.
 *
 * The data's way: proto/swarm collected the bundle's blocks, each verified; here
 * they become new objects, each verified; store/tree links them.
 */
#ifndef AYNI_DIFF_BUNDLE_H
#define AYNI_DIFF_BUNDLE_H

#include "base/bytes.h"
#include "base/digest.h"
#include "base/error.h"
#include "diff/old_files.h"

#define AY_BUNDLE_BASES_MAX    4 /* bases one record may name; one is the common case */
#define AY_BUNDLE_FILTERS_MAX  4 /* kinds of filters in one record */
#define AY_BUNDLE_RECORDS_MAX  (1u << 24)
#define AY_BUNDLE_PART_DEFAULT (8u << 20)
#define AY_BUNDLE_PART_MAX     (256u << 20)
#define AY_BUNDLE_SCRATCH_MAX  (4ull << 30)

struct ay_bundle_header {
	struct ay_digest from, to; /* manifests; from zeros: from nothing */
	uint64_t delta_size;       /* unpacked bytes of the manifest delta */
	uint64_t unpacked_size;    /* sum of the records' sizes */
	uint32_t n_records;
	uint32_t n_parts;
	uint32_t part_limit;   /* bytes a part unpacks to at most */
	uint32_t flags;        /* diff/bundle_format.h */
	uint32_t encoders;     /* bit i: encoder i packs outputs (diff/encoders.h) */
	uint32_t map_size;     /* bytes of the table of type numbers (diff/btf.h); 0: none */
	uint64_t extra_memory; /* bytes that a record needs at most besides what reading the parts does */
	uint64_t scratch_size; /* bytes of temporary files at most */
};

enum ay_bundle_method {
	AY_METHOD_LITERAL = 0, /* the bytes themselves; no base */
	AY_METHOD_BSDIFF = 1,  /* copies and differences against base 0 (later: of all bases) */
	AY_METHOD_ELF = 2,     /* the same, addresses predicted */
};

struct ay_bundle_record {
	uint32_t index; /* from 0 */
	struct ay_digest target;
	uint64_t size;
	enum ay_bundle_method method;
	unsigned n_bases;
	struct ay_digest bases[AY_BUNDLE_BASES_MAX]; /* zeros: only the number is known */
	uint64_t base_sizes[AY_BUNDLE_BASES_MAX];
	uint64_t base_numbers
		[AY_BUNDLE_BASES_MAX]; /* of the old manifest's files, plus 1; 0: named by digest */
	uint32_t
		filters; /* bit i: filter i is used to look into base or target (diff/recipe.h); 0: both are as they are */
	/* When writing only: */
	uint64_t extra_memory; /* what the record needs besides; the header has the largest */
	uint64_t scratch_size; /* bytes of temporary files; as above */
	uint32_t encoders;     /* that its output is packed by; the header has all */
	struct ay_slice base_recipe, target_recipe; /* borrowed until it is written; empty: as it is */
};

/*
 * Temporary files, for one record at a time: what its base unpacks to, and then, in one that begins while that is still open, what its
 * target will be packed from. Together at most as large as the header's scratch size. Functions as below.
 */
struct ay_bundle_scratch {
	void *ctx;
	/* A file of @size bytes begins; the one before is forgotten, but for who has it open. */
	int (*begin)(void *ctx, uint64_t size, struct ay_err *err);
	/* Its next bytes, in order. */
	int (*data)(void *ctx, const void *data, size_t len, struct ay_err *err);
	/* It is complete: open it for pread; the reader closes *@fd. */
	int (*end)(void *ctx, int *fd, struct ay_err *err);
};

/*
 * Where the reader stood between two parts: from here it can go on, with what it gave before. Inside a record, which began in
 * a part before, its file has @done bytes.
 */
struct ay_bundle_place {
	uint32_t part;   /* that comes next; their number: only the end is left */
	uint64_t at;     /* its offset in the bundle */
	uint32_t record; /* that comes next, or is in hand */
	uint64_t sizes;  /* of the records before, and of the one in hand */
	uint64_t
		work; /* that these made a reader go through (diff/recipe.h): going on does not begin it anew */
	bool inside; /* a record is in hand: the rest is of it */
	struct ay_bundle_record r;
	uint64_t done, last_old;
};

/* What the reader drives. Every function returns 0 or a negative code, which ends the reading. */
struct ay_bundle_sink {
	void *ctx;
	/* The header, before anything else. May be NULL. */
	int (*header)(void *ctx, const struct ay_bundle_header *h, struct ay_err *err);
	/* The next bytes of the unpacked manifest delta. May be NULL. */
	int (*delta)(void *ctx, const void *data, size_t len, struct ay_err *err);
	/* All of the manifest delta was given. May be NULL. */
	int (*delta_end)(void *ctx, struct ay_err *err);
	/* A record begins. Set *@skip to leave its bytes out (then neither base, data nor end come). May be NULL. */
	int (*begin)(void *ctx, const struct ay_bundle_record *r, bool *skip, struct ay_err *err);
	/*
	 * Records name bases by their number in the old manifest: its contents, complete when @delta_end returns. NULL: it is not at
	 * hand; bases are then zeros where they are named so, and records that need them are AY_EBASE.
	 */
	struct ay_old_files *old;
	/* Open base @base of @r for pread; the reader closes *@fd. AY_EBASE when it is not there. */
	int (*base)(void *ctx, const struct ay_bundle_record *r, unsigned base, int *fd, struct ay_err *err);
	/* For bases that unpack to much. NULL: there is no place, and a record that needs one is AY_ELIMIT. */
	const struct ay_bundle_scratch *scratch;
	/* A record's bytes are about to come; it is not skipped. May be NULL. */
	int (*open)(void *ctx, const struct ay_bundle_record *r, struct ay_err *err);
	/* The next bytes of the record's file, in order. */
	int (*data)(void *ctx, const struct ay_bundle_record *r, const void *data, size_t len,
		    struct ay_err *err);
	/* The record's file is complete and its digest was found right. */
	int (*end)(void *ctx, const struct ay_bundle_record *r, struct ay_err *err);
	/* A part was read: sizes per stream, for `show`. May be NULL. */
	int (*part)(void *ctx, uint32_t part, uint64_t packed, uint64_t unpacked, struct ay_err *err);
	/* A column of the part just told, behind it; before that, each piece of the manifest delta, as AY_STREAM_DELTA of
	 * part 0. May be NULL. */
	int (*stream)(void *ctx, uint32_t part, unsigned stream, unsigned codec, uint32_t packed,
		      uint32_t unpacked, struct ay_err *err);
	/*
	 * A record is through, skipped or not; only where records are decoded. @cost: the packed bytes of the bundle that
	 * fall to it. Many records share a packed column, so that is its share of each column's unpacked bytes times what
	 * the column is packed to. May be NULL.
	 */
	int (*cost)(void *ctx, const struct ay_bundle_record *r, double cost, struct ay_err *err);
	/*
	 * All that lies in front of @p was given: whoever keeps both can go on from there another time. Not at the bundle's
	 * beginning, and not within records of AY_METHOD_ELF or with filters. May be NULL.
	 */
	int (*place)(void *ctx, const struct ay_bundle_place *p, struct ay_err *err);
};

/* What the reader may spend; all signed or local, never from the bundle. */
struct ay_bundle_limits {
	uint64_t memory; /* refuse parts and windows that need more; 0: AY_BUNDLE_PART_DEFAULT's need */
	uint64_t unpacked_size; /* the offer's; 0: any */
	uint64_t delta_size;    /* bytes of manifest delta at most; 0: AY_MANIFEST_SIZE_MAX */
	uint64_t scratch_size;  /* bytes of temporary files at most; 0: AY_BUNDLE_SCRATCH_MAX */
	bool look_only; /* every record will be skipped: the encoders that would pack them need not be here */
	/*
	 * More than one thread: one reads and unpacks the next part, one goes ahead through a large ELF base, one computes (of small ELF files
	 * several at once, where there are cores and what the header declares is enough for all of them), one hashes and gives to the sink's
	 * functions open, data, end and place, which are then called in that thread, in order, while others are called in the caller's: begin and
	 * base perhaps for some records before the first of these is given.
	 * Takes up to AY_BUNDLE_THREADS_MEMORY besides what the header declares. Where that is more than @memory_here, or that many threads cannot be
	 * had, there is one.
	 */
	bool threads;
	uint64_t memory_here; /* bytes that there are in all; 0: any number */
	/*
	 * After header, delta and map go on at this place, as it was told for this bundle; NULL: at the beginning. Its record,
	 * when it is inside one, begins for the sink as if it were new, but its first @done bytes are in @from_fd, from where
	 * they are hashed; @from_fd stays the caller's. A place is believed no more than a bundle: what is wrong in it ends in one of
	 * the errors below.
	 */
	const struct ay_bundle_place *from;
	int from_fd;
};

#define AY_BUNDLE_THREADS_MEMORY                                                                             \
	(23u                                                                                                 \
	 << 20) /* a part more of the default size, packed and unpacked; a queue; packing again what takes little; blocks of the old file ahead */

/**
 * ay_bundle_read() - read the bundle in @fd from offset 0, driving @sink.
 * @records: whether records are decoded (false: header, delta and record table only; `base`, `data`,
 *   `end` may then be NULL).
 *
 * Return: 0; AY_EFORMAT, AY_EVERSION, AY_ELIMIT, AY_EUNSUPPORTED naming record and offset: throw the bundle
 *   away, its offer's maker is broken or hostile; AY_EDIGEST a record did not give its target (likewise, or a base
 *   changed under us); AY_EBASE; -errno, -ENOMEM; what @sink returned.
 */
int ay_bundle_read(int fd, const struct ay_bundle_limits *limits, const struct ay_bundle_sink *sink,
		   bool records, struct ay_err *err);

#endif
