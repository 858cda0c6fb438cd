/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as an old and a new file of method elf. Bytes 0 and 1: the old one's length; byte 2: bit 0 both are made to begin as
 * ELF files of x86-64 do, bit 1 of AArch64, bits 2 to 4 the copies' lengths, bit 5 type numbers
 * are predicted, too, by what the two files' .BTF teaches; the files follow. Fields are found alike whether the file lies in memory or is read, do not
 * overlap, and say their bytes back; writer and reader of a prediction give the new file again. Masked, what is equal stays equal.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "diff/btf_learn.h"
#include "diff/mask.h"
#include "diff/predict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int read_memory(void *ctx, uint64_t offset, void *dst, size_t len)
{
	memcpy(dst, (const uint8_t *)ctx + offset, len);
	return 0;
}

static void no_row(void *ctx, const struct ay_buf *coded)
{
	ay_put_bytes(ctx, coded->data, coded->len);
}

static void fields_check(struct ay__source *src, struct ay__elf *elf, const struct ay__fields *f)
{
	struct ay__source other = ay__source_reader(src->size, read_memory, (void *)(uintptr_t)src->data);
	struct ay__fields g = {0};
	struct ay__elf e;

	AY_ASSERT(ay__elf_parse(&other, 0, &e) == 0);
	AY_ASSERT(ay__fields_find(&other, &e, &g) == 0);
	AY_ASSERT(memcmp(f->kind, g.kind, f->size) == 0);
	for (uint64_t at = ay__fields_next(f, 0, f->size); at < f->size;) {
		struct ay__field a, b;

		ay__field_describe(f, elf, src, at, &a);
		ay__field_describe(&g, &e, &other, at, &b);
		AY_ASSERT(a.width > 0 && a.width <= f->size - at);
		AY_ASSERT(a.base == b.base && a.target == b.target && a.raw == b.raw && a.from == b.from);
		for (unsigned i = 1; i < a.width; i++)
			AY_ASSERT(f->kind[at + i] == AY__FIELD_INSIDE);
		AY_ASSERT(a.from == AY__FROM_NUMBER ||
			  ay__field_put(a.kind, a.raw, ay__field_number(a.kind, a.raw)) == a.raw);
		at = ay__fields_next(f, at + a.width, f->size);
	}
	ay__fields_release(&g);
	ay__elf_release(&e);
	ay__source_release(&other);
}

/* Copies of @step bytes, more or less in order. */
static uint32_t copies_make(uint64_t old, uint64_t new_, unsigned step, struct ay__copy *c)
{
	uint32_t n = 0;

	for (uint64_t at = 0; at < new_ && n < 64; at += step) {
		uint64_t from = at + at / 128 * 4 % 64, l = new_ - at < step ? new_ - at : step;

		if (from + l <= old)
			c[n++] = (struct ay__copy){from, at, l};
	}
	return n;
}

/* All fields of all copies: once as the writer does (@wrong is filled), once as the reader does. */
static void walk(struct ay__predict *p, const struct ay__copy *c, uint32_t n, uint64_t *wrong,
		 const uint8_t *new_, bool write)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t end = c[i].old + c[i].len;

		for (uint64_t at = c[i].old; at < end;) {
			/* They may be looked at one by one, or many before the first one is predicted. */
			struct ay__aim aims[7];
			uint32_t m = ay__aims_take(ay__predict_aimer(p), &at, end, c[i].new_ - c[i].old, aims,
						   write ? 1 : 7);

			for (uint32_t k = 0; k < m; k++) {
				const unsigned width = aims[k].width;
				uint64_t new_at = c[i].new_ + (aims[k].at - c[i].old);
				uint64_t guess = ay__predict_aim(p, &aims[k]);
				uint64_t raw = ay__field_load(new_ + new_at, width);

				if (write)
					*wrong = raw - guess;
				else
					AY_ASSERT(raw ==
						  (guess + *wrong) << (64 - 8 * width) >> (64 - 8 * width));
				wrong++;
				ay__predict_learn(p, raw);
			}
		}
	}
}

static struct ay_slice btf_of(const struct ay__source *src, const struct ay__elf *elf)
{
	for (uint32_t i = 1; i < elf->n; i++) {
		const struct ay__elf_section *s = &elf->sections[i];

		if (s->holds == AY__HOLDS_BTF)
			return (struct ay_slice){src->data + s->offset, (size_t)s->size};
	}
	return (struct ay_slice){0};
}

static void map_learn(struct ay_slice old, struct ay_slice new_, struct ay__btf_map *map)
{
	struct ay__btf_learner l = {0};

	for (unsigned i = 0; i < 4; i++)
		AY_ASSERT(ay__btf_learn(&l, old, new_) == 0);
	AY_ASSERT(ay__btf_learned(&l, map) == 0);
	ay__btf_learner_release(&l);
}

static void mask_check(struct ay__source *src, struct ay__elf *elf, const struct ay__fields *f,
		       const struct ay__btf_map *btf)
{
	uint8_t *a, *b;

	AY_ASSERT(ay__mask(src, elf, f, btf, true, &a) == 0);
	AY_ASSERT(ay__mask_bytes((struct ay_slice){src->data, (size_t)src->size}, btf, true, &b) == 0);
	AY_ASSERT(memcmp(a, b, (size_t)src->size) == 0);
	for (uint64_t at = 0; at < src->size; at++)
		AY_ASSERT(f->kind[at] || a[at] == src->data[at]);
	free(a);
	free(b);
}

static void pair_check(struct ay__source *old_src, struct ay__elf *old, struct ay__source *new_src,
		       struct ay__elf *new_, unsigned how)
{
	unsigned step = 16u << (how >> 2 & 7);
	struct ay__btf_map btf = {0};
	struct ay__fields f = {0};
	struct ay__elf_map map, read;
	struct ay_buf coded = {0};
	struct ay__copy copies[64];
	struct ay_cursor c;
	uint64_t *wrong = calloc(new_src->size + 1, sizeof(*wrong));
	uint32_t n = copies_make(old_src->size, new_src->size, step, copies);

	AY_ASSERT(wrong && ay__fields_find(old_src, old, &f) == 0);
	fields_check(old_src, old, &f);
	if (how & 32)
		map_learn(btf_of(old_src, old), btf_of(new_src, new_), &btf);
	mask_check(old_src, old, &f, &btf);
	AY_ASSERT(ay__elf_map_make(old, old_src, new_, new_src, no_row, &coded, &map) == 0);
	ay_cursor_init(&c, coded.data, coded.len);
	AY_ASSERT(ay__elf_map_begin(old, new_src->size, &c, &read) == 0);
	for (uint32_t i = 1; i < read.image.n; i++)
		AY_ASSERT(ay__elf_map_row(&read, &c) == 0);
	AY_ASSERT(ay_cursor_done(&c) && ay__elf_map_end(&read) == 0);
	struct ay__predict *w = ay__predict_new(old, old_src, &f, &map, copies, n, &btf);
	struct ay__predict *r = ay__predict_new(old, old_src, &f, &read, copies, n, &btf);
	AY_ASSERT(w && r);
	walk(w, copies, n, wrong, new_src->data, true);
	walk(r, copies, n, wrong, new_src->data, false);
	ay__predict_free(w);
	ay__predict_free(r);
	ay__btf_map_release(&btf);
	ay__elf_map_release(&map);
	ay__elf_map_release(&read);
	ay__fields_release(&f);
	ay_buf_release(&coded);
	free(wrong);
}

static void begin_as_elf(uint8_t *p, size_t len, unsigned how)
{
	if (len < 64 || !(how & 3))
		return;
	memcpy(p, "\177ELF\2\1\1", 7);
	p[16] = (uint8_t)(1 + p[16] % 3);
	p[18] = how & 1 ? AY__ELF_X86_64 : AY__ELF_AARCH64;
	p[17] = p[19] = p[59] = p[61] = p[63] = 0;
	p[58] = 64;
	p[60] %= 24;
	memset(p + 42, 0, 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay__elf old_elf, new_elf;

	if (len < 3)
		return 0;
	size_t old_len = (size_t)(data[0] | data[1] << 8), new_len;
	if (old_len > len - 3)
		old_len = len - 3;
	new_len = len - 3 - old_len;
	uint8_t *old = malloc(old_len + 1), *new_ = malloc(new_len + 1);
	AY_ASSERT(old && new_);
	memcpy(old, data + 3, old_len);
	memcpy(new_, data + 3 + old_len, new_len);
	begin_as_elf(old, old_len, data[2]);
	begin_as_elf(new_, new_len, data[2]);
	struct ay__source old_src = ay__source_memory(old, old_len),
			  new_src = ay__source_memory(new_, new_len);
	if (ay__elf_parse(&old_src, 0, &old_elf) == 0) {
		if (ay__elf_parse(&new_src, 0, &new_elf) == 0) {
			pair_check(&old_src, &old_elf, &new_src, &new_elf, data[2]);
			ay__elf_release(&new_elf);
		}
		ay__elf_release(&old_elf);
	}
	free(old);
	free(new_);
	return 0;
}
