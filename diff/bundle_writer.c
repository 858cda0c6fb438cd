/* SPDX-License-Identifier: MIT */
/*
 * diff/bundle_writer.c - pieces to parts, parts to the file.
 *
 * Each stream of a part is a job of its own, so that all cores pack also when there is only one part left. Parts
 * are written in order whatever the order in which their streams get ready: the bytes do not depend on the threads.
 */
#include "diff/bundle_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/codec.h"
#include "diff/pool.h"
#include "diff/section.h"
#include "diff/targets.h"

#define REFERENCE_MAX        6  /* bytes */
#define PACK_MEMORY_PER_BYTE 12 /* xz -9e: ten and a half times the dictionary; the result */

struct stream_job {
	struct ay__job job;
	struct ay_buf bytes, packed;
	size_t unpacked;
	uint8_t id;
	enum ay_codec codec;
	int level;
	unsigned codecs;
	int rc;
};

struct part {
	enum ay_section_kind kind;
	unsigned n_streams;
	struct stream_job streams[AY_STREAMS];
	struct part *next;
};

struct ay_bundle_writer {
	int fd;
	struct ay_bundle_writer_options options;
	uint64_t at;
	struct ay_bundle_header header;
	struct ay_buf col[AY_STREAMS]; /* of the part in hand */
	struct ay_buf delta;
	struct ay_buf head, head_digests; /* of the record whose first piece is still to come */
	uint64_t last_old;
	struct ay__targets targets;
	struct ay__target_row *target_rows; /* owned; NULL until the first record */
	uint32_t next_target;
	uint64_t next_base;
	uint64_t bases[AY_BUNDLE_BASES_MAX]; /* of the head in hand: numbers plus 1, or 0 */
	unsigned n_bases;
	enum { NO_REFERENCE, BY_DIGEST, BY_INDEX } reference; /* that the head in hand ends with */
	uint32_t index;
	struct part *first, *last; /* being packed */
	unsigned n_ahead;
};

uint32_t ay_bundle_piece_max(uint32_t part_limit)
{
	uint32_t piece = part_limit / 8;

	return piece < 65536 ? piece : 65536;
}

struct ay_bundle_writer *ay_bundle_writer_new(int fd, const struct ay_bundle_writer_options *options)
{
	struct ay_bundle_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	AY_ASSERT(options->part_limit >= AY_BUNDLE_PART_MIN && options->part_limit <= AY_BUNDLE_PART_MAX);
	w->fd = fd;
	w->options = *options;
	w->at = AY_BUNDLE_HEADER_SIZE;
	w->header.from = options->from;
	w->header.to = options->to;
	w->header.part_limit = options->part_limit;
	w->header.flags =
		(options->targets ? AY_BUNDLE_TARGETS : 0u) | (options->bases ? AY_BUNDLE_BASES : 0u);
	return w;
}

static void part_free(struct ay_bundle_writer *w, struct part *p)
{
	for (unsigned i = 0; i < p->n_streams; i++) {
		if (w->options.pool)
			ay__pool_wait(w->options.pool, &p->streams[i].job);
		ay_buf_release(&p->streams[i].bytes);
		ay_buf_release(&p->streams[i].packed);
	}
	free(p);
}

void ay_bundle_writer_free(struct ay_bundle_writer *w)
{
	if (!w)
		return;
	while (w->first) {
		struct part *p = w->first;

		w->first = p->next;
		part_free(w, p);
	}
	for (unsigned i = 0; i < AY_STREAMS; i++)
		ay_buf_release(&w->col[i]);
	ay_buf_release(&w->delta);
	ay_buf_release(&w->head);
	ay_buf_release(&w->head_digests);
	ay__targets_release(&w->targets);
	free(w->target_rows);
	free(w);
}

static int write_at(struct ay_bundle_writer *w, const void *data, size_t len, uint64_t offset,
		    struct ay_err *err)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = pwrite(w->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "write bundle at offset %llu",
					    (unsigned long long)offset);
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static void stream_run(struct ay__job *job)
{
	struct stream_job *s = (struct stream_job *)job;

	s->rc = ay_codec_pack(s->bytes.data, s->bytes.len, s->level, s->codecs, ay__stream_values(s->id),
			      &s->packed, &s->codec);
	ay_buf_release(&s->bytes);
}

/* Wait for the oldest part's streams and write it. */
static int part_write(struct ay_bundle_writer *w, struct ay_err *err)
{
	struct part *p = w->first;
	struct ay_buf section = {0};
	int rc = 0;

	ay_put_u8(&section, (uint8_t)p->kind);
	ay_put_u8(&section, (uint8_t)p->n_streams);
	ay_put_u16(&section, 0);
	for (unsigned i = 0; i < p->n_streams; i++) {
		struct stream_job *s = &p->streams[i];

		if (w->options.pool)
			ay__pool_wait(w->options.pool, &s->job);
		if (s->rc && rc == 0)
			rc = s->rc;
		ay_put_u8(&section, s->id);
		ay_put_u8(&section, (uint8_t)s->codec);
		ay_put_u16(&section, 0);
		ay_put_u32(&section, (uint32_t)s->packed.len);
		ay_put_u32(&section, (uint32_t)s->unpacked);
	}
	for (unsigned i = 0; i < p->n_streams; i++)
		ay_put_bytes(&section, p->streams[i].packed.data, p->streams[i].packed.len);
	uint8_t *check = ay_buf_reserve(&section, AY_BUNDLE_CHECK_SIZE);
	if (check) {
		ay__check(section.data, section.len, check);
		section.len += AY_BUNDLE_CHECK_SIZE;
	}
	if (rc == 0)
		rc = ay_buf_status(&section);
	if (rc)
		ay_err_set(err, rc, "pack a part of the bundle: %s", ay_strerror(rc));
	else
		rc = write_at(w, section.data, section.len, w->at, err);
	w->at += section.len;
	w->first = p->next;
	w->n_ahead--;
	ay_buf_release(&section);
	part_free(w, p);
	return rc;
}

static void stream_add(struct ay_bundle_writer *w, struct part *p, unsigned id, struct ay_buf *bytes)
{
	struct stream_job *s = &p->streams[p->n_streams++];

	*s = (struct stream_job){.job = {.run = stream_run, .memory = PACK_MEMORY_PER_BYTE * bytes->len},
				 .bytes = *bytes,
				 .unpacked = bytes->len,
				 .id = (uint8_t)id,
				 .level = w->options.level,
				 .codecs = w->options.codecs};
	*bytes = (struct ay_buf){0};
}

/* The bytes of the section in hand go to be packed. */
static int section_seal(struct ay_bundle_writer *w, enum ay_section_kind kind, struct ay_err *err)
{
	struct part *p = calloc(1, sizeof(*p));
	int rc = p ? 0 : -ENOMEM;

	if (rc == 0)
		rc = ay_buf_status(&w->delta);
	for (unsigned i = 0; i < AY_STREAMS && rc == 0; i++)
		rc = ay_buf_status(&w->col[i]);
	if (rc) {
		free(p);
		return ay_err_set(err, rc, "collect a part of the bundle: %s", ay_strerror(rc));
	}
	p->kind = kind;
	if (kind != AY_SECTION_PART)
		stream_add(w, p, AY_STREAM_DELTA, &w->delta);
	for (unsigned i = 0; i < AY_STREAMS && kind == AY_SECTION_PART; i++) {
		if (w->col[i].len)
			stream_add(w, p, i, &w->col[i]);
	}
	if (w->first)
		w->last->next = p;
	else
		w->first = p;
	w->last = p;
	w->n_ahead++;
	for (unsigned i = 0; i < p->n_streams; i++) {
		if (w->options.pool)
			ay__pool_submit(w->options.pool, AY__QUEUE_PACK, &p->streams[i].job);
		else
			stream_run(&p->streams[i].job);
	}
	w->header.n_parts += kind == AY_SECTION_PART;
	w->next_target = 0;
	w->next_base = 0;
	while (w->n_ahead > (w->options.pool ? w->options.parts_ahead : 0)) {
		rc = part_write(w, err);
		if (rc)
			return rc;
	}
	return 0;
}

int ay_bundle_writer_delta(struct ay_bundle_writer *w, const void *data, size_t len, struct ay_err *err)
{
	const uint8_t *p = data;

	AY_ASSERT(w->header.n_records == 0);
	if (w->options.targets && ay__targets_feed(&w->targets, data, len))
		return ay_err_errno(err, ENOMEM, "manifest delta");
	while (len > 0) {
		size_t room = w->options.part_limit - w->delta.len, n = len < room ? len : room;

		ay_put_bytes(&w->delta, p, n);
		w->header.delta_size += n;
		p += n;
		len -= n;
		if (w->delta.len == w->options.part_limit) {
			int rc = section_seal(w, AY_SECTION_DELTA, err);

			if (rc)
				return rc;
		}
	}
	return 0;
}

int ay_bundle_writer_map(struct ay_bundle_writer *w, const struct ay__btf_map *map, struct ay_err *err)
{
	int rc = 0;

	AY_ASSERT(w->header.n_records == 0);
	if (map->n[AY__BTF_TYPE] == 0 && map->n[AY__BTF_NAME] == 0)
		return 0;
	if (w->delta.len)
		rc = section_seal(w, AY_SECTION_DELTA, err);
	if (rc)
		return rc;
	ay__btf_map_put(&w->delta, map);
	AY_ASSERT(w->delta.len <= w->options.part_limit);
	w->header.map_size = (uint32_t)w->delta.len;
	w->header.extra_memory = ay__btf_map_memory(w->header.map_size);
	return section_seal(w, AY_SECTION_MAP, err);
}

static size_t part_len(const struct ay_bundle_writer *w)
{
	size_t sum = 0;

	for (unsigned i = 0; i < AY_STREAMS; i++)
		sum += w->col[i].len;
	return sum;
}

/* Which files of the old manifest the bases are. */
static void bases_put(struct ay_bundle_writer *w)
{
	struct ay_buf *record = &w->col[AY_STREAM_RECORD];

	for (unsigned i = 0; i < w->n_bases; i++) {
		uint64_t b = w->bases[i];

		ay_put_varint(record, b ? 1 + ay_zigzag((int64_t)(b - 1 - w->next_base)) : 0);
		w->next_base = b ? b : w->next_base;
	}
	w->n_bases = 0;
}

/* Put the record's head before a piece of @piece bytes, in the next part if this one has no room for both. */
static int head_put(struct ay_bundle_writer *w, size_t piece, struct ay_err *err)
{
	size_t need = piece + w->head.len + w->head_digests.len + w->n_bases * REFERENCE_MAX +
		      (w->reference ? REFERENCE_MAX : 0);
	int rc = 0;

	AY_ASSERT(need <= w->options.part_limit);
	if (need > w->options.part_limit - part_len(w))
		rc = section_seal(w, AY_SECTION_PART, err);
	ay_put_bytes(&w->col[AY_STREAM_RECORD], w->head.data, w->head.len);
	/* Each part counts anew: who goes on with one knows nothing of those before. */
	if (w->reference == BY_DIGEST)
		ay_put_varint(&w->col[AY_STREAM_RECORD], 0);
	if (w->reference == BY_INDEX) {
		ay_put_varint(&w->col[AY_STREAM_RECORD], 1 + ay_zigzag((int64_t)w->index - w->next_target));
		w->next_target = w->index + 1;
	}
	w->reference = NO_REFERENCE;
	bases_put(w);
	ay_put_bytes(&w->col[AY_STREAM_DIGEST], w->head_digests.data, w->head_digests.len);
	ay_buf_reset(&w->head);
	ay_buf_reset(&w->head_digests);
	return rc;
}

uint64_t ay_bundle_writer_tables(const struct ay_bundle_writer *w)
{
	return ay__targets_memory(w->targets.n) + ay__btf_map_memory(w->header.map_size);
}

/* The record's target: which of the delta's contents, or its digest. */
static int target_put(struct ay_bundle_writer *w, const struct ay_digest *target)
{
	if (w->options.targets && !w->target_rows) {
		w->target_rows = ay__targets_sort(&w->targets);
		if (!w->target_rows)
			return -ENOMEM;
	}
	if (w->options.targets && ay__targets_find(&w->targets, w->target_rows, target, &w->index)) {
		w->reference = BY_INDEX;
		return 0;
	}
	if (w->options.targets)
		w->reference = BY_DIGEST;
	ay_put_bytes(&w->head_digests, target->b, AY_DIGEST_LEN);
	return 0;
}

/* Both recipes, in chunks each of which fits a part. */
static int recipe_put(struct ay_bundle_writer *w, const struct ay_bundle_record *r, struct ay_err *err)
{
	struct ay_slice both[2] = {r->base_recipe, r->target_recipe};
	AY_CLEANUP(ay_buf_release) struct ay_buf chunk = {0};

	if (r->n_bases)
		ay_put_varint(&chunk, r->base_recipe.len);
	ay_put_varint(&chunk, r->target_recipe.len);
	for (unsigned i = 0; i < 2; i++) {
		for (size_t at = 0; at < both[i].len;) {
			size_t left = both[i].len - at;
			size_t n = left < AY_RECIPE_CHUNK_MAX ? left : AY_RECIPE_CHUNK_MAX;

			ay_put_varint(&chunk, n);
			ay_put_bytes(&chunk, both[i].data + at, n);
			at += n;
			int rc = ay_buf_status(&chunk) ? ay_err_errno(err, ENOMEM, "a record's recipe")
						       : head_put(w, chunk.len, err);
			if (rc)
				return rc;
			ay_put_bytes(&w->col[AY_STREAM_RECIPE], chunk.data, chunk.len);
			ay_buf_reset(&chunk);
		}
	}
	return 0;
}

int ay_bundle_writer_record(struct ay_bundle_writer *w, const struct ay_bundle_record *r, struct ay_err *err)
{
	int rc = 0;

	if (w->header.n_records == AY_BUNDLE_RECORDS_MAX)
		return ay_err_set(err, AY_ELIMIT, "more than %u files in one bundle", AY_BUNDLE_RECORDS_MAX);
	if (w->header.n_records == 0 && w->delta.len)
		rc = section_seal(w, AY_SECTION_DELTA, err);
	if (rc == 0 && w->head.len)
		rc = head_put(w, 0, err);
	if (rc)
		return rc;
	ay_put_u8(&w->head, (uint8_t)r->method);
	ay_put_u8(&w->head, (uint8_t)r->n_bases);
	ay_put_u8(&w->head, (uint8_t)__builtin_popcount(r->filters));
	for (unsigned i = 0; i < 32; i++) {
		if (r->filters >> i & 1)
			ay_put_varint(&w->head, i);
	}
	ay_put_varint(&w->head, r->size);
	for (unsigned i = 0; i < r->n_bases; i++)
		ay_put_varint(&w->head, ay_zigzag((int64_t)(r->base_sizes[i] - r->size)));
	rc = target_put(w, &r->target);
	for (unsigned i = 0; i < r->n_bases; i++) {
		uint64_t number = w->options.bases ? r->base_numbers[i] : 0;

		if (number == 0)
			ay_put_bytes(&w->head_digests, r->bases[i].b, AY_DIGEST_LEN);
		if (w->options.bases)
			w->bases[w->n_bases++] = number;
	}
	if (rc == 0)
		rc = ay_buf_status(&w->head_digests);
	if (rc)
		return ay_err_set(err, rc, "a record's head: %s", ay_strerror(rc));
	w->last_old = 0;
	w->header.n_records++;
	w->header.unpacked_size += r->size;
	uint64_t extra = r->extra_memory + ay_bundle_writer_tables(w);
	if (extra > w->header.extra_memory)
		w->header.extra_memory = extra;
	if (r->scratch_size > w->header.scratch_size)
		w->header.scratch_size = r->scratch_size;
	w->header.encoders |= r->encoders;
	return r->filters ? recipe_put(w, r, err) : 0;
}

int ay_bundle_writer_columns(struct ay_bundle_writer *w, const struct ay_columns *c, struct ay_err *err)
{
	size_t done[AY_STREAMS] = {0};

	for (size_t p = 0; p < c->n_pieces; p++) {
		const struct ay_piece *piece = &c->pieces[p];
		struct ay_buf seek = {0};
		size_t len = 0;

		if (c->has_copy && p == c->first_copy_piece)
			ay_put_varint(&seek, ay_zigzag((int64_t)(c->first_old - w->last_old)));
		for (unsigned i = 0; i < AY_STREAMS; i++)
			len += piece->len[i];
		int rc = ay_buf_status(&seek);
		if (rc == 0)
			rc = head_put(w, len + seek.len, err);
		ay_put_bytes(&w->col[AY_STREAM_SEEK], seek.data, seek.len);
		ay_buf_release(&seek);
		if (rc)
			return rc;
		for (unsigned i = 0; i < AY_STREAMS; i++) {
			if (piece->len[i] == 0) /* the column may be no memory at all */
				continue;
			ay_put_bytes(&w->col[i], c->col[i].data + done[i], piece->len[i]);
			done[i] += piece->len[i];
		}
	}
	if (c->has_copy)
		w->last_old = c->last_old;
	return 0;
}

static int header_write(struct ay_bundle_writer *w, struct ay_err *err)
{
	const struct ay_bundle_header *h = &w->header;
	struct ay_buf b = {0};
	uint8_t check[AY_BUNDLE_CHECK_SIZE];

	ay_put_bytes(&b, AY_BUNDLE_MAGIC, AY_BUNDLE_MAGIC_LEN + 1);
	ay_put_bytes(&b, h->from.b, AY_DIGEST_LEN);
	ay_put_bytes(&b, h->to.b, AY_DIGEST_LEN);
	ay_put_u64(&b, h->delta_size);
	ay_put_u64(&b, h->unpacked_size);
	ay_put_u32(&b, h->n_records);
	ay_put_u32(&b, h->n_parts);
	ay_put_u32(&b, h->part_limit);
	ay_put_u32(&b, h->flags);
	ay_put_u64(&b, h->extra_memory);
	ay_put_u64(&b, h->scratch_size);
	ay_put_u32(&b, h->encoders);
	ay_put_u32(&b, h->map_size);
	ay_put_u64(&b, 0);
	int rc = ay_buf_status(&b);
	if (rc == 0) {
		ay__check(b.data, b.len, check);
		ay_put_bytes(&b, check, sizeof(check));
		rc = ay_buf_status(&b);
	}
	if (rc)
		ay_err_set(err, rc, "the bundle's header: %s", ay_strerror(rc));
	else
		rc = write_at(w, b.data, b.len, 0, err);
	ay_buf_release(&b);
	return rc;
}

void ay_bundle_writer_needs(const struct ay_bundle_writer *w, uint64_t *memory, uint32_t *encoders)
{
	*memory = ay_bundle_memory(w->header.part_limit) + w->header.extra_memory;
	*encoders = w->header.encoders;
}

int ay_bundle_writer_finish(struct ay_bundle_writer *w, struct ay_err *err)
{
	int rc = 0;

	if (w->header.extra_memory == 0)
		w->header.extra_memory = ay_bundle_writer_tables(w);
	if (w->delta.len)
		rc = section_seal(w, AY_SECTION_DELTA, err);
	if (rc == 0 && w->head.len)
		rc = head_put(w, 0, err);
	if (rc == 0 && part_len(w))
		rc = section_seal(w, AY_SECTION_PART, err);
	while (rc == 0 && w->first)
		rc = part_write(w, err);
	return rc ? rc : header_write(w, err);
}
