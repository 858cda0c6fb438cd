/* SPDX-License-Identifier: MIT */
/* diff/inside.c - from beginning to beginning; what a stream unpacks to is searched like the file itself. */
#include "diff/inside.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "diff/elf.h"
#include "diff/inside_stream.h"

/* Failed attempts cost time: two bytes that look like a zlib header are found once in 8,000 of noise. */
#define TRIES_MAX 4096

/* Of an image in which a stream has this share little is left to be coded by its sections. */
#define CONTAINER_SHARE 2

struct scan {
	const struct ay__inside_options *o;
	struct ay__inside *out;
	struct ay__stream_hints hints;
	unsigned heavy, filters, tries;
	uint64_t unpacked; /* bytes of all streams, of nested ones too */
	uint64_t memory[AY__RECIPE_DEPTH + 1];
};

/* Bytes [from, to) of what is being searched. */
struct span {
	size_t from, to;
};

/*
 * The ELF image in what was unpacked, if it is one: it is coded by its sections (diff/elf.h), which are no longer where its
 * headers say when something before them was unpacked and is longer now. A Linux kernel has a few packed samples to test
 * itself with: for these few bytes all of its addresses would be lost. (In a file itself nothing is spared: as it is it was tried already.)
 */
static int image_find(struct ay_slice b, struct span *image)
{
	struct ay__source src = ay__source_memory(b.data, b.len);
	struct ay__elf elf;
	uint64_t start;

	*image = (struct span){0};
	if (!ay__elf_find(b.data, b.len, &start))
		return 0;
	int rc = ay__elf_parse(&src, start, &elf);
	if (rc)
		return rc == -ENOMEM ? rc : 0;
	*image = (struct span){.from = (size_t)elf.start, .to = (size_t)elf.end};
	ay__elf_release(&elf);
	return 0;
}

/* Does the stream @t, found at @at, lie in the image, and is not nearly all of it? */
static bool spared(const struct span *image, size_t at, const struct ay__stream *t)
{
	size_t from = at + t->offset, to = from + t->packed;

	return from < image->to && to > image->from &&
	       t->packed < (image->to - image->from) / CONTAINER_SHARE;
}

/*
 * What begins at @at is tried. In an image it is only unpacked at first, which is quick: to find out how it was packed takes
 * long, and nearly all that an image has inside is spared.
 */
static int stream_try(struct scan *s, const struct span *image, struct ay_slice b, size_t at, bool more,
		      struct ay__stream *t)
{
	struct ay_slice here = {.data = b.data + at, .len = b.len - at};

	if (s->o->target && at < image->to) {
		AY_CLEANUP(ay__stream_release) struct ay__stream unpacked = {0};
		struct ay__inside_options as_base = *s->o;

		as_base.target = false;
		int rc = ay__stream_try(here, more, &as_base, &s->hints, &unpacked);
		if (rc <= 0 || spared(image, at, &unpacked))
			return rc < 0 ? rc : 0;
	}
	int rc = ay__stream_try(here, more, s->o, &s->hints, t);
	return rc == 1 && spared(image, at, t) ? 0 : rc;
}

/* Offset of the next possible beginning from @at on, or the length. */
static size_t beginning_next(struct ay_slice b, size_t at)
{
	for (; at + 16 < b.len; at++) {
		uint8_t c = b.data[at], d = b.data[at + 1];

		if ((c == 0x1f && d == 0x8b && b.data[at + 2] == 8) ||
		    (c == 'P' && d == 'K' && b.data[at + 2] == 3 && b.data[at + 3] == 4) ||
		    (c == 0xfd && d == '7' && b.data[at + 2] == 'z') ||
		    (c == 0x28 && d == 0xb5 && b.data[at + 2] == 0x2f && b.data[at + 3] == 0xfd) ||
		    (c == 0x78 && (d == 0x01 || d == 0x5e || d == 0x9c || d == 0xda)))
			return at;
	}
	return b.len;
}

bool ay__inside_maybe(struct ay_slice b)
{
	for (size_t at = 0; (at = beginning_next(b, at)) < b.len; at++) {
		/* Of these two bytes alone there are too many. */
		if (b.data[at] != 0x78 || at == 0)
			return true;
	}
	return false;
}

static int list_scan(struct scan *s, struct ay_slice b, unsigned depth);

/* Room within the bounds for the stream? */
static bool fits(const struct scan *s, const struct ay__stream *t, size_t raw_max, unsigned depth)
{
	const struct ay__inside_options *o = s->o;
	bool heavy = t->params.id != AY__FILTER_DEFLATE;
	uint64_t memory = s->memory[depth] + ay__filter_memory(&t->params, o->target);

	/* What is raw is at most as long as what it stands in. */
	if (s->out->view.len + raw_max + t->content.len > o->view_max)
		return false;
	return s->filters < AY__RECIPE_PIECES && s->heavy + heavy <= AY__RECIPE_HEAVY &&
	       memory <= o->memory_max &&
	       s->out->recipe.len + t->params.corrections.len < AY__RECIPE_MAX / 2 - 4096;
}

/* Raw bytes, then the stream and what is in it. */
static int stream_put(struct scan *s, struct ay_slice raw, const struct ay__stream *t, unsigned depth)
{
	struct ay_slice content = {.data = t->content.data, .len = t->content.len};

	ay_put_varint(&s->out->recipe, raw.len);
	ay_put_bytes(&s->out->view, raw.data, raw.len);
	ay__filter_put(&s->out->recipe, s->o->target, &t->params);
	s->filters++;
	s->unpacked += content.len;
	s->heavy += t->params.id != AY__FILTER_DEFLATE;
	s->memory[depth + 1] = s->memory[depth] + ay__filter_memory(&t->params, s->o->target);
	return list_scan(s, content, depth + 1);
}

static int list_scan(struct scan *s, struct ay_slice b, unsigned depth)
{
	struct span image = {0};
	size_t done = 0, at = 0;
	bool more = false;
	int rc = depth > 0 ? image_find(b, &image) : 0;

	if (rc)
		return rc;
	while (depth < AY__RECIPE_DEPTH && s->tries < TRIES_MAX) {
		AY_CLEANUP(ay__stream_release) struct ay__stream t = {0};

		if (!more && (at = beginning_next(b, at)) == b.len)
			break;
		rc = stream_try(s, &image, b, at, more, &t);
		if (rc < 0)
			return rc;
		if (rc == 0 || !fits(s, &t, b.len - done, depth)) {
			s->tries += !more;
			at += !more;
			more = false;
			continue;
		}
		struct ay_slice raw = {.data = b.data + done, .len = at + t.offset - done};
		rc = stream_put(s, raw, &t, depth);
		if (rc)
			return rc;
		done = at = at + t.offset + t.packed;
		more = t.more;
	}
	ay_put_varint(&s->out->recipe, b.len - done);
	ay_put_u8(&s->out->recipe, AY__FILTER_END);
	ay_put_bytes(&s->out->view, b.data + done, b.len - done);
	return ay_buf_status(&s->out->view) ? -ENOMEM : ay_buf_status(&s->out->recipe);
}

int ay__inside(struct ay_slice file, const struct ay__inside_options *options, struct ay__inside *out)
{
	struct scan s = {.o = options, .out = out};
	int rc = list_scan(&s, file, 0);

	if (rc == 0 && s.filters > 0) {
		struct ay_slice recipe = {.data = out->recipe.data, .len = out->recipe.len};

		rc = ay__recipe_check(recipe, options->target, &out->sums, NULL);
		AY_ASSERT(rc == 0 && out->sums.view_size == out->view.len);
	}
	if (rc || s.filters == 0 || s.unpacked > ay__unwrap_max(file.len, out->view.len) ||
	    out->view.len > AY__VIEW_FREE + AY__VIEW_SHARE * (uint64_t)file.len)
		ay__inside_release(out);
	return rc;
}

void ay__inside_release(struct ay__inside *in)
{
	ay_buf_release(&in->view);
	ay_buf_release(&in->recipe);
	*in = (struct ay__inside){0};
}
