/* SPDX-License-Identifier: MIT */
/*
 * diff/section.c - sections: the head is checked before anything is allocated, the check before anything is unpacked.
 *
 * The check is no defence (who can change a bundle can change it too; the offer's signed digest is the defence). It
 * names the damaged section, and it makes every bit of a bundle count, also those to which a codec is indifferent.
 */
#include "diff/section.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diff/codec.h"

#define THREAD_MIN (64u << 10) /* unpacked bytes that are worth a thread */

struct stream_head {
	uint8_t id, codec;
	uint32_t packed, unpacked;
};

const char *ay_stream_name(unsigned id)
{
	static const char *const names[AY_STREAMS] = {
		"record",    "digest",     "diff-len",   "seek",       "extra-len", "zero-run",
		"diff-run",  "diff",       "literal",    "elf-map",    "elf-run",   "field-zero",
		"field-run", "field-code", "field-data", "field-wide", "recipe",
	};

	return id < AY_STREAMS ? names[id] : id == AY_STREAM_DELTA ? "delta" : "?";
}

void ay__section_release(struct ay__section *s)
{
	free(s->raw.bytes);
	free(s->streams.bytes);
	s->raw = s->streams = (struct ay__section_memory){0};
}

/* At least @len bytes; what was in them is gone. Exactly so many: the declared memory is a promise. */
static uint8_t *memory_for(struct ay__section_memory *m, size_t len)
{
	if (m->bytes && m->len >= len)
		return m->bytes;
	free(m->bytes);
	m->bytes = malloc(len ? len : 1);
	m->len = m->bytes ? len : 0;
	return m->bytes;
}

void ay__check(const void *data, size_t len, uint8_t out[AY_BUNDLE_CHECK_SIZE])
{
	uint8_t sum[32];

	ay_sha256(data, len, sum);
	memcpy(out, sum, AY_BUNDLE_CHECK_SIZE);
}

int ay__pread_all(int fd, void *buf, size_t len, uint64_t offset, int short_code, struct ay_err *err)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "read at offset %llu", (unsigned long long)offset);
		if (n == 0)
			return ay_err_set(err, short_code, "the file ends at offset %llu",
					  (unsigned long long)offset);
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Heads in @c to @heads; sums into @s. */
static int heads_parse(struct ay_cursor *c, unsigned n, enum ay_section_kind kind, uint32_t part_limit,
		       struct stream_head *heads, struct ay__section *s, struct ay_err *err)
{
	s->packed = s->unpacked = 0;
	for (unsigned i = 0; i < n; i++) {
		struct stream_head *h = &heads[i];

		h->id = ay_get_u8(c);
		h->codec = ay_get_u8(c);
		uint16_t zero = ay_get_u16(c);
		h->packed = ay_get_u32(c);
		h->unpacked = ay_get_u32(c);
		if (kind == AY_SECTION_PART ? h->id >= AY_STREAMS : h->id != AY_STREAM_DELTA)
			return ay_err_set(err, AY_EUNSUPPORTED, "stream %u is unknown to this version",
					  h->id);
		if (i > 0 && h->id <= heads[i - 1].id)
			return ay_err_set(err, AY_EFORMAT, "stream %u is out of order", h->id);
		if (h->codec >= AY_CODECS)
			return ay_err_set(err, AY_EUNSUPPORTED,
					  "stream %s: codec %u is unknown to this version",
					  ay_stream_name(h->id), h->codec);
		if (zero != 0 || h->unpacked == 0 || h->packed == 0 ||
		    (h->codec == AY_CODEC_NONE ? h->packed != h->unpacked : h->packed >= h->unpacked))
			return ay_err_set(
				err, AY_EFORMAT, "stream %s: sizes %u and %u make no sense with codec %s",
				ay_stream_name(h->id), h->packed, h->unpacked, ay_codec_name(h->codec));
		s->packed += h->packed;
		s->unpacked += h->unpacked;
		s->stream[h->id < AY_STREAMS ? h->id : 0] =
			(struct ay__stream_sizes){h->codec, h->packed, h->unpacked};
	}
	if (s->unpacked > part_limit)
		return ay_err_set(err, AY_EFORMAT,
				  "streams of %llu bytes are over the bundle's part limit of %u",
				  (unsigned long long)s->unpacked, part_limit);
	return 0;
}

/* The whole section into @s->raw, its check compared. */
static int raw_read(int fd, size_t head_len, uint64_t bundle_size, struct ay__section *s, struct ay_err *err)
{
	uint64_t len = head_len + s->packed + AY_BUNDLE_CHECK_SIZE;
	uint8_t check[AY_BUNDLE_CHECK_SIZE];

	if (len > bundle_size - s->offset)
		return ay_err_set(err, AY_EFORMAT, "the bundle ends inside the section");
	uint8_t *raw = memory_for(&s->raw, (size_t)len);
	if (!raw)
		return ay_err_errno(err, ENOMEM, "a section of %llu bytes", (unsigned long long)len);
	int rc = ay__pread_all(fd, raw, (size_t)len, s->offset, AY_EFORMAT, err);
	if (rc)
		return rc;
	ay__check(raw, (size_t)len - sizeof(check), check);
	if (memcmp(check, raw + len - sizeof(check), sizeof(check)) != 0)
		return ay_err_set(err, AY_EFORMAT, "the section's check does not fit: damaged");
	s->end = s->offset + len;
	return 0;
}

/* A stream to be unpacked, perhaps by another thread. */
struct unpacking {
	const struct stream_head *head;
	struct ay_slice packed;
	uint8_t *out;
	int rc;
	struct ay_err err;
};

static void *unpack(void *arg)
{
	struct unpacking *u = arg;

	u->rc = ay_codec_unpack(u->head->codec, u->packed, u->out, u->head->unpacked, &u->err);
	return NULL;
}

/*
 * The largest by a thread of its own, where that is wanted and can be had. The dictionaries of two streams take no more
 * memory than they unpack to, which is at most the part limit: what one might take alone.
 */
static int unpack_all(struct unpacking *u, unsigned n, bool threads, struct ay_err *err)
{
	unsigned largest = 0;
	pthread_t thread;

	for (unsigned i = 1; i < n; i++)
		largest = u[i].head->packed > u[largest].head->packed ? i : largest;
	threads = threads && n > 1 && u[largest].head->unpacked >= THREAD_MIN &&
		  pthread_create(&thread, NULL, unpack, &u[largest]) == 0;
	for (unsigned i = 0; i < n; i++) {
		if (!threads || i != largest)
			unpack(&u[i]);
	}
	if (threads)
		pthread_join(thread, NULL);
	for (unsigned i = 0; i < n; i++) {
		if (u[i].rc == 0)
			continue;
		if (err)
			*err = u[i].err;
		return ay_err_wrap(err, u[i].rc, "stream %s", ay_stream_name(u[i].head->id));
	}
	return 0;
}

static int streams_unpack(const struct stream_head *heads, unsigned n, size_t head_len, uint32_t wanted,
			  struct ay__section *s, struct ay_err *err)
{
	const uint8_t *packed = s->raw.bytes + head_len;
	struct unpacking u[AY_STREAMS];
	uint64_t need = 0;
	unsigned n_packed = 0;

	for (unsigned i = 0; i < n; i++) {
		bool want = heads[i].id == AY_STREAM_DELTA || (wanted >> heads[i].id & 1);

		need += want && heads[i].codec != AY_CODEC_NONE ? heads[i].unpacked : 0;
	}
	uint8_t *out = memory_for(&s->streams, (size_t)need);
	if (!out)
		return ay_err_errno(err, ENOMEM, "streams of %llu bytes", (unsigned long long)need);
	for (unsigned i = 0; i < n; packed += heads[i].packed, i++) {
		const struct stream_head *h = &heads[i];
		struct ay_slice stream = {.data = packed, .len = h->packed};

		if (h->id != AY_STREAM_DELTA && !(wanted >> h->id & 1))
			continue;
		if (h->codec != AY_CODEC_NONE) {
			u[n_packed++] = (struct unpacking){.head = h, .packed = stream, .out = out};
			stream = (struct ay_slice){.data = out, .len = h->unpacked};
			out += h->unpacked;
		}
		if (h->id == AY_STREAM_DELTA)
			s->delta = stream;
		else
			ay_cursor_init(&s->col[h->id], stream.data, stream.len);
	}
	return unpack_all(u, n_packed, s->threads, err);
}

int ay__section_read(int fd, uint64_t offset, uint64_t bundle_size, enum ay_section_kind kind,
		     uint32_t part_limit, uint32_t wanted, struct ay__section *s, struct ay_err *err)
{
	uint8_t head[AY_SECTION_HEAD_SIZE + AY_STREAMS * AY_SECTION_STREAM_SIZE];
	struct stream_head heads[AY_STREAMS];
	struct ay_cursor c;

	s->offset = offset;
	s->delta = (struct ay_slice){0};
	memset(s->stream, 0, sizeof(s->stream));
	for (unsigned i = 0; i < AY_STREAMS; i++)
		ay_cursor_init(&s->col[i], NULL, 0);
	if (offset > bundle_size || bundle_size - offset < AY_SECTION_HEAD_SIZE)
		return ay_err_set(err, AY_EFORMAT, "the bundle ends where a section should begin");
	int rc = ay__pread_all(fd, head, AY_SECTION_HEAD_SIZE, offset, AY_EFORMAT, err);
	if (rc)
		return rc;
	unsigned n = head[1];
	if (head[0] != kind || head[2] || head[3])
		return ay_err_set(err, AY_EFORMAT, "no section of kind '%c' begins here", (int)kind);
	if (n > AY_STREAMS)
		return ay_err_set(err, AY_EUNSUPPORTED, "%u streams: more than this version knows", n);
	if (n == 0 || (kind != AY_SECTION_PART && n != 1))
		return ay_err_set(err, AY_EFORMAT, "%u streams in a section of kind '%c'", n, (int)kind);
	size_t head_len = AY_SECTION_HEAD_SIZE + n * (size_t)AY_SECTION_STREAM_SIZE;
	if (bundle_size - offset < head_len)
		return ay_err_set(err, AY_EFORMAT, "the bundle ends inside a section's head");
	rc = ay__pread_all(fd, head, head_len, offset, AY_EFORMAT, err);
	if (rc)
		return rc;
	ay_cursor_init(&c, head + AY_SECTION_HEAD_SIZE, head_len - AY_SECTION_HEAD_SIZE);
	rc = heads_parse(&c, n, kind, part_limit, heads, s, err);
	if (rc == 0)
		rc = raw_read(fd, head_len, bundle_size, s, err);
	/* Head and body were read apart: what was parsed must be what was checked. */
	if (rc == 0 && memcmp(head, s->raw.bytes, head_len) != 0)
		rc = ay_err_set(err, AY_EFORMAT, "the bundle changed while it was read");
	if (rc == 0)
		rc = streams_unpack(heads, n, head_len, wanted, s, err);
	return rc;
}
