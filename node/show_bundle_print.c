/* SPDX-License-Identifier: MIT */
/*
 * A bundle in words and as JSON: the table of its files, or sums by way, by ending, by column.
 */
#include "node/show_bundle_print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "diff/encoders.h"
#include "node/cmd.h"
#include "node/progress.h"

#define ENDINGS_SHOWN 20

/* ---- sums ---- */

struct sum {
	const char *name;
	uint64_t files, bytes;
	double cost;
};

static void sum_add(struct sum *s, const struct ay__bundle_row *row)
{
	s->files++;
	s->bytes += row->r.size;
	s->cost += row->cost;
}

static int cmp_sums(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;
	return x->cost > y->cost ? -1 : x->cost < y->cost ? 1 : strcmp(x->name, y->name);
}

#define KIND_MAX 48

static const char *method_of(const struct ay_bundle_record *r)
{
	switch (r->method) {
	case AY_METHOD_LITERAL:
		return "literal";
	case AY_METHOD_BSDIFF:
		return "bsdiff";
	case AY_METHOD_ELF:
		return "elf";
	}
	return "?";
}

/* How a record's bytes come about: the method, and the filters through which base or target are looked into. */
static const char *way_of(const struct ay_bundle_record *r, char out[KIND_MAX])
{
	static const char *const filters[] = {"?", "deflate", "lzma2", "zstd"};
	size_t n = (size_t)snprintf(out, KIND_MAX, "%s", method_of(r));
	for (unsigned i = 0; i < 32 && n < KIND_MAX; i++) {
		if (r->filters >> i & 1)
			n += (size_t)snprintf(out + n, KIND_MAX - n, "+%s", filters[i < 4 ? i : 0]);
	}
	return out;
}

/* ".so" of "/usr/lib/libz.so.1.2": the ending by which people tell kinds of files apart, without its numbers. */
static const char *ending_of(const char *path, char out[KIND_MAX])
{
	const char *name = path ? strrchr(path, '/') : NULL, *dot = name ? strchr(name + 2, '.') : NULL;
	if (!path)
		return "(no path)";
	for (const char *d = dot; d; d = strchr(d + 1, '.')) {
		if (strspn(d + 1, "0123456789") < strcspn(d + 1, "."))
			dot = d; /* the last that is more than a number */
	}
	size_t n = dot ? 1 + strcspn(dot + 1, ".") : 0;
	if (!dot || n > 12)
		return "(none)";
	memcpy(out, dot, n);
	out[n] = '\0';
	return out;
}

typedef const char *kind_fn(const struct ay__bundle_shown *b, const struct ay__bundle_row *row,
			    char out[KIND_MAX]);

static const char *kind_way(const struct ay__bundle_shown *b, const struct ay__bundle_row *row,
			    char out[KIND_MAX])
{
	(void)b;
	return way_of(&row->r, out);
}

static const char *kind_ending(const struct ay__bundle_shown *b, const struct ay__bundle_row *row,
			       char out[KIND_MAX])
{
	size_t count;
	return ending_of(ay__names_find(&b->new_, &row->r.target, &count), out);
}

struct key {
	char name[KIND_MAX];
	const struct ay__bundle_row *row;
};

static int cmp_keys(const void *a, const void *b)
{
	return strcmp(((const struct key *)a)->name, ((const struct key *)b)->name);
}

/* The rows by @kind, what costs most first; free both. */
static int sums_by(const struct ay__bundle_shown *b, kind_fn *kind, struct key **keys, struct sum **sums,
		   size_t *n, struct ay_err *err)
{
	*keys = calloc(b->n + 1, sizeof(**keys));
	*sums = calloc(b->n + 1, sizeof(**sums));
	*n = 0;
	if (!*keys || !*sums)
		return ay_err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < b->n; i++) {
		char buf[KIND_MAX];
		(*keys)[i].row = &b->rows[i];
		snprintf((*keys)[i].name, sizeof((*keys)[i].name), "%s", kind(b, &b->rows[i], buf));
	}
	qsort(*keys, b->n, sizeof(**keys), cmp_keys);
	for (size_t i = 0; i < b->n; i++) {
		if (*n == 0 || strcmp((*sums)[*n - 1].name, (*keys)[i].name) != 0)
			(*sums)[(*n)++].name = (*keys)[i].name;
		sum_add(&(*sums)[*n - 1], (*keys)[i].row);
	}
	qsort(*sums, *n, sizeof(**sums), cmp_sums);
	return 0;
}

/* What falls to no record. */
static double rest_of(const struct ay__bundle_shown *b)
{
	double rest = (double)b->size - (double)b->delta_packed;
	for (size_t i = 0; i < b->n; i++)
		rest -= b->rows[i].cost;
	return rest < 0 ? 0 : rest;
}

/* ---- in words ---- */

static void print_saved(double cost, uint64_t bytes)
{
	if (bytes == 0)
		printf("%7s", "-");
	else
		printf("%6.1f%%", 100 * (1 - cost / (double)bytes));
}

static void print_header(const struct ay__bundle_shown *b)
{
	char from[AY_DIGEST_HEX + 1], to[AY_DIGEST_HEX + 1], human[32];
	const struct ay_bundle_header *h = &b->h;
	printf("ayni-bundle\nfrom: %s%s\nto: %s\nmanifest delta: %" PRIu64
	       " bytes\nunpacked: %s\nrecords: %u\n"
	       "parts: %u of at most %u bytes\n",
	       ay_digest_hex(&h->from, from), ay_digest_is_zero(&h->from) ? " (nothing)" : "",
	       ay_digest_hex(&h->to, to), h->delta_size, ay_human_bytes(h->unpacked_size, human),
	       h->n_records, h->n_parts, h->part_limit);
	printf("memory to apply: %" PRIu64 " bytes\n", ay_bundle_memory(h->part_limit) + h->extra_memory);
	if (h->scratch_size)
		printf("temporary files: %" PRIu64 " bytes\n", h->scratch_size);
	for (unsigned i = 0; i < 32; i++) {
		if (h->encoders >> i & 1)
			printf("encoder: %s\n", ay_encoder_name(i));
	}
	putchar('\n');
}

/* Its digest stands in the manifest that the bundle starts from, which nobody named. */
static bool base_is_number(const struct ay_bundle_record *r, unsigned i)
{
	return r->base_numbers[i] && ay_digest_is_zero(&r->bases[i]);
}

static void print_row(const struct ay__bundle_shown *b, const struct ay__bundle_row *row)
{
	char hex[AY_DIGEST_HEX + 1], way[KIND_MAX];
	size_t count;
	const char *path = ay__names_find(&b->new_, &row->r.target, &count);
	printf("%12.0f %12" PRIu64 " ", row->cost, row->r.size);
	print_saved(row->cost, row->r.size);
	printf(" %-14s ", way_of(&row->r, way));
	if (path)
		printf("%s", path);
	else
		printf("%.16s", ay_digest_hex(&row->r.target, hex));
	if (count > 1)
		printf(" (and %zu more)", count - 1);
	for (unsigned i = 0; i < row->r.n_bases; i++) {
		const char *base = ay__names_find(&b->old, &row->r.bases[i], &count);
		if (base_is_number(&row->r, i))
			printf(" <- #%" PRIu64, row->r.base_numbers[i] - 1);
		else
			printf(" <- %.*s", base ? 4096 : 16,
			       base ? base : ay_digest_hex(&row->r.bases[i], hex));
		if (!base)
			printf(" (%" PRIu64 ")", row->r.base_sizes[i]);
	}
	putchar('\n');
}

static void print_sums(const char *title, const struct sum *sums, size_t n)
{
	printf("%-20s %8s %12s %12s %7s\n", title, "files", "costs", "size", "saved");
	for (size_t i = 0; i < n && i < ENDINGS_SHOWN; i++) {
		printf("%-20s %8" PRIu64 " %12.0f %12" PRIu64 " ", sums[i].name, sums[i].files, sums[i].cost,
		       sums[i].bytes);
		print_saved(sums[i].cost, sums[i].bytes);
		putchar('\n');
	}
	if (n > ENDINGS_SHOWN)
		printf("and %zu more\n", n - ENDINGS_SHOWN);
	putchar('\n');
}

static void print_streams(const struct ay__bundle_shown *b)
{
	printf("%-12s %12s %12s  %s\n", "column", "packed", "unpacked", "by");
	for (unsigned i = 0; i < AY_STREAMS; i++) {
		if (b->streams[i].unpacked == 0)
			continue;
		printf("%-12s %12" PRIu64 " %12" PRIu64 " ", ay_stream_name(i), b->streams[i].packed,
		       b->streams[i].unpacked);
		for (unsigned c = 0; c < AY_CODECS; c++) {
			if (b->streams[i].by_codec[c])
				printf(" %s", ay_codec_name(c));
		}
		putchar('\n');
	}
	putchar('\n');
}

static int print_stats(const struct ay__bundle_shown *b, struct ay_err *err)
{
	AY_FREE struct key *keys = NULL;
	AY_FREE struct sum *sums = NULL;
	size_t n;
	int r = sums_by(b, kind_way, &keys, &sums, &n, err);
	if (r < 0)
		return r;
	print_sums("way", sums, n);
	free(ay_steal_ptr(&keys));
	free(ay_steal_ptr(&sums));
	if ((r = sums_by(b, kind_ending, &keys, &sums, &n, err)) < 0)
		return r;
	print_sums("ending", sums, n);
	print_streams(b);
	return 0;
}

int ay__bundle_words(struct ay__bundle_shown *b, struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1], size[32], whole[32];
	uint64_t bytes = 0;
	print_header(b);
	if (b->s->stats) {
		int r = print_stats(b, err);
		if (r < 0)
			return r;
	} else if (b->n > 0) {
		printf("%12s %12s %7s %-14s %s\n", "costs", "size", "saved", "way", "path <- base");
		for (size_t i = 0; i < b->n; i++)
			print_row(b, &b->rows[i]);
		putchar('\n');
	}
	for (size_t i = 0; i < b->n; i++)
		bytes += b->rows[i].r.size;
	printf("%zu files of %s in %s: manifest delta %" PRIu64 " bytes, heads and checks %.0f\n"
	       "document: %s %" PRIu64 "\n",
	       b->n, ay_human_bytes(bytes, whole), ay_human_bytes(b->size, size), b->delta_packed, rest_of(b),
	       ay_digest_hex(&b->digest, hex), b->size);
	return 0;
}

/* ---- as JSON ---- */

static json_t *row_json(const struct ay__bundle_shown *b, const struct ay__bundle_row *row)
{
	char hex[AY_DIGEST_HEX + 1], way[KIND_MAX];
	size_t count;
	const char *path = ay__names_find(&b->new_, &row->r.target, &count);
	json_t *bases = json_array();
	for (unsigned i = 0; i < row->r.n_bases; i++) {
		json_t *o = json_pack("{s:I}", "bytes", (json_int_t)row->r.base_sizes[i]);
		if (row->r.base_numbers[i])
			json_object_set_new(o, "number",
					    json_integer((json_int_t)row->r.base_numbers[i] - 1));
		if (!base_is_number(&row->r, i))
			json_object_set_new(o, "digest", json_string(ay_digest_hex(&row->r.bases[i], hex)));
		size_t n;
		const char *base = ay__names_find(&b->old, &row->r.bases[i], &n);
		if (o && base)
			json_object_set_new(o, "path", json_string(base));
		json_array_append_new(bases, o);
	}
	json_t *o = json_pack("{s:I, s:s, s:I, s:I, s:s, s:o}", "record", (json_int_t)row->r.index, "target",
			      ay_digest_hex(&row->r.target, hex), "bytes", (json_int_t)row->r.size, "cost",
			      (json_int_t)(row->cost + 0.5), "way", way_of(&row->r, way), "bases", bases);
	json_object_set_new(o, "paths", json_integer((json_int_t)count));
	if (path)
		json_object_set_new(o, "path", json_string(path));
	return o;
}

static json_t *sums_json(const struct sum *sums, size_t n)
{
	json_t *all = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(all,
				      json_pack("{s:s, s:I, s:I, s:I}", "name", sums[i].name, "files",
						(json_int_t)sums[i].files, "bytes", (json_int_t)sums[i].bytes,
						"cost", (json_int_t)(sums[i].cost + 0.5)));
	return all;
}

static json_t *streams_json(const struct ay__bundle_shown *b)
{
	json_t *all = json_array();
	for (unsigned i = 0; i < AY_STREAMS; i++) {
		if (b->streams[i].unpacked)
			json_array_append_new(all, json_pack("{s:s, s:I, s:I}", "name", ay_stream_name(i),
							     "bytes", (json_int_t)b->streams[i].packed,
							     "unpacked", (json_int_t)b->streams[i].unpacked));
	}
	return all;
}

/* Of files as differences and whole: as many, of so many bytes. */
static void set_whole(json_t *o, const struct ay__bundle_shown *b)
{
	uint64_t files[2] = {0, 0}, bytes[2] = {0, 0};
	static const char *const names[2] = {"differences", "whole"};
	for (size_t i = 0; i < b->n; i++) {
		bool whole = b->rows[i].r.n_bases == 0;
		files[whole]++;
		bytes[whole] += b->rows[i].r.size;
	}
	for (int i = 0; i < 2; i++)
		json_object_set_new(o, names[i],
				    json_pack("{s:I, s:I}", "files", (json_int_t)files[i], "bytes",
					      (json_int_t)bytes[i]));
}

int ay__bundle_json(struct ay__bundle_shown *b, struct ay_err *err)
{
	AY_FREE struct key *keys = NULL;
	AY_FREE struct sum *sums = NULL;
	size_t n;
	json_t *o = ay_json_bundle(&b->h), *files = json_array();
	json_object_set(o, "parts", b->parts);
	set_whole(o, b);
	int r = sums_by(b, kind_way, &keys, &sums, &n, err);
	if (r == 0)
		json_object_set_new(o, "ways", sums_json(sums, n));
	free(ay_steal_ptr(&keys));
	free(ay_steal_ptr(&sums));
	if (r == 0)
		r = sums_by(b, kind_ending, &keys, &sums, &n, err);
	if (r == 0)
		json_object_set_new(o, "endings", sums_json(sums, n));
	for (size_t i = 0; !b->s->stats && i < b->n; i++)
		json_array_append_new(files, row_json(b, &b->rows[i]));
	json_object_set_new(o, "files", files);
	json_object_set_new(o, "columns", streams_json(b));
	json_object_set_new(o, "manifest_delta_packed", json_integer((json_int_t)b->delta_packed));
	json_object_set_new(o, "rest", json_integer((json_int_t)(rest_of(b) + 0.5)));
	ay_json_set_document(o, &b->digest, b->size);
	if (r < 0) {
		json_decref(o);
		return r;
	}
	return ay_print_json(o, err);
}
