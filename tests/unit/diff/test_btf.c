/* SPDX-License-Identifier: MIT */
/* References in .BTF, the map of old numbers to new ones, and what is learned from modules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "diff/btf_keys.h"
#include "diff/btf_learn.h"
#include "diff/predict_btf.h"
#include "elf_kit.h"

#define PTR     (2u << 24)
#define STRUCT  (4u << 24)
#define FUNC    (12u << 24)
#define PROTO   (13u << 24)
#define TYPEDEF (8u << 24)

/* A section: types and names are appended, then sealed with a header. */
struct kit {
	struct ay_buf types, names, section;
	uint32_t name_base; /* of the kernel's names */
};

static void type(struct kit *k, uint32_t name, uint32_t info, uint32_t size_or_type)
{
	ay_put_u32(&k->types, name);
	ay_put_u32(&k->types, info);
	ay_put_u32(&k->types, size_or_type);
}

static uint32_t name(struct kit *k, const char *text)
{
	uint32_t at = (uint32_t)k->names.len;

	ay_put_bytes(&k->names, text, strlen(text) + 1);
	return k->name_base + at;
}

static struct ay_slice seal(struct kit *k)
{
	ay_put_u16(&k->section, 0xeb9f);
	ay_put_u8(&k->section, 1);
	ay_put_u8(&k->section, 0);
	ay_put_u32(&k->section, 24);
	ay_put_u32(&k->section, 0);
	ay_put_u32(&k->section, (uint32_t)k->types.len);
	ay_put_u32(&k->section, (uint32_t)k->types.len);
	ay_put_u32(&k->section, (uint32_t)k->names.len);
	ay_put_bytes(&k->section, k->types.data, k->types.len);
	ay_put_bytes(&k->section, k->names.data, k->names.len);
	assert_int_equal(ay_buf_status(&k->section), 0);
	return (struct ay_slice){k->section.data, k->section.len};
}

static void kit_release(struct kit *k)
{
	ay_buf_release(&k->types);
	ay_buf_release(&k->names);
	ay_buf_release(&k->section);
	*k = (struct kit){0};
}

/* Where the references of each kind are, as include/uapi/linux/btf.h says. */
static void references(void **state)
{
	static const struct {
		unsigned kind, n, rows; /* words of rows behind the head */
		const char *want;       /* per reference: N or T and the word it is in */
	} cases[] = {
		{1, 0, 1, "N0"},
		{2, 0, 0, "N0T2"},
		{3, 0, 3, "N0T3T4"},
		{4, 2, 6, "N0N3T4N6T7"},
		{5, 1, 3, "N0N3T4"},
		{6, 2, 4, "N0N3N5"},
		{7, 0, 0, "N0"},
		{8, 0, 0, "N0T2"},
		{9, 0, 0, "N0T2"},
		{10, 0, 0, "N0T2"},
		{11, 0, 0, "N0T2"},
		{12, 1, 0, "N0T2"},
		{13, 2, 4, "N0T2N3T4N5T6"},
		{14, 0, 1, "N0T2"},
		{15, 2, 6, "N0T3T6"},
		{16, 0, 0, "N0"},
		{17, 0, 1, "N0T2"},
		{18, 0, 0, "N0T2"},
		{19, 1, 3, "N0N3"},
		{0, 0, 0, ""},
		{20, 0, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kit k = {0};
		char got[64] = "";
		struct ay__btf btf;
		enum ay__btf_space space;
		uint64_t at;

		type(&k, 1, cases[i].kind << 24 | cases[i].n, 2);
		for (unsigned w = 0; w < cases[i].rows; w++)
			ay_put_u32(&k.types, 3);
		struct ay_slice s = seal(&k);
		struct ay__source src = ay__source_memory(s.data, s.len);
		assert_true(ay__btf_parse(&src, 0, s.len, &btf));
		struct ay__btf_walk w = {.src = &src, .at = btf.types, .end = btf.types_end};
		while (ay__btf_next(&w, &at, &space))
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%c%d",
				 space == AY__BTF_NAME ? 'N' : 'T', (int)((at - btf.types) / 4));
		assert_string_equal(got, cases[i].want);
		/* cut off anywhere it ends before what is not there */
		w = (struct ay__btf_walk){.src = &src, .at = btf.types, .end = btf.types_end - 4};
		while (ay__btf_next(&w, &at, &space))
			assert_true(at + 4 <= btf.types_end - 4);
		kit_release(&k);
	}
}

static void no_section(void **state)
{
	struct kit k = {0};
	struct ay__btf btf;

	(void)state;
	type(&k, 0, PTR, 1);
	name(&k, "x");
	struct ay_slice s = seal(&k);
	struct ay__source src = ay__source_memory(s.data, s.len);
	assert_true(ay__btf_parse(&src, 0, s.len, &btf));
	assert_false(ay__btf_parse(&src, 0, s.len - 1, &btf));
	assert_false(ay__btf_parse(&src, 0, 23, &btf));
	for (unsigned i = 0; i < 3; i++) { /* magic, version */
		k.section.data[i] ^= 1;
		assert_false(ay__btf_parse(&src, 0, s.len, &btf));
		k.section.data[i] ^= 1;
	}
	for (unsigned i = 4; i < 24; i += 4) { /* every length and offset */
		uint8_t was = k.section.data[i + 3];

		k.section.data[i + 3] = 0xff;
		assert_false(ay__btf_parse(&src, 0, s.len, &btf));
		k.section.data[i + 3] = was;
	}
	kit_release(&k);
}

static void map_there_and_back(void **state)
{
	struct ay__btf_row types[] = {{0, 3}, {10, 14}, {11, 14}, {4000000000u, 7}}, names[] = {{5, 4}};
	struct ay__btf_map m = {.rows = {types, names}, .n = {4, 1}}, back;
	struct ay_buf b = {0};
	struct ay_cursor c;

	(void)state;
	ay__btf_map_put(&b, &m);
	assert_int_equal(ay_buf_status(&b), 0);
	ay_cursor_init(&c, b.data, b.len);
	assert_int_equal(ay__btf_map_get(&c, &back), 0);
	assert_true(ay_cursor_done(&c));
	assert_memory_equal(back.rows[0], types, sizeof(types));
	assert_memory_equal(back.rows[1], names, sizeof(names));
	assert_int_equal(ay__btf_mapped(&back, AY__BTF_TYPE, 0), 3);
	assert_int_equal(ay__btf_mapped(&back, AY__BTF_TYPE, 9), 12);
	assert_int_equal(ay__btf_mapped(&back, AY__BTF_TYPE, 10), 14);
	assert_int_equal(ay__btf_mapped(&back, AY__BTF_TYPE, 100), 103);
	assert_int_equal(ay__btf_mapped(&back, AY__BTF_TYPE, UINT32_MAX), 7 + UINT32_MAX - 4000000000u);
	assert_int_equal(ay__btf_mapped(&back, AY__BTF_NAME, 4), 4);
	assert_int_equal(ay__btf_mapped(&back, AY__BTF_NAME, 6), 5);
	ay__btf_map_release(&back);
	/* cut off anywhere it is refused */
	for (size_t len = 0; len < b.len; len++) {
		ay_cursor_init(&c, b.data, len);
		assert_int_equal(ay__btf_map_get(&c, &back), AY_EFORMAT);
		ay__btf_map_release(&back);
	}
	ay_buf_release(&b);
}

static void map_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{"\1\5\0\0", 4},                        /* a row that changes nothing */
		{"\2\5\2\0\2\0", 6},                    /* the same number twice */
		{"\2\xff\xff\xff\xff\x0f\2\1\2\0", 10}, /* past 32 bits */
		{"\x81\x80\4\5\2", 5},                  /* 65537 rows */
		{"\1\5\x80\x80\x80\x80\x80\1\0", 9},    /* moved by more than 32 bits tell */
		{"\1\5", 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ay__btf_map m;
		struct ay_cursor c;

		ay_cursor_init(&c, cases[i].bytes, cases[i].len);
		assert_int_equal(ay__btf_map_get(&c, &m), AY_EFORMAT);
		ay__btf_map_release(&m);
	}
}

/* Module @i: a structure of its own, a pointer to it, a pointer to the kernel's type @theirs, functions; own numbers begin at @own. */
static struct ay_slice module(struct kit *k, uint32_t own, uint32_t name_base, const uint32_t theirs[3],
			      bool more)
{
	k->name_base = name_base;
	uint32_t n1 = name(k, "mine"), n2 = name(k, "first"), n3 = name(k, "second");

	if (more)
		type(k, name(k, "new_one"), TYPEDEF, theirs[2]);
	own += more;
	type(k, n1, STRUCT | 1, 8);
	ay_put_u32(&k->types, theirs[1] - theirs[0]); /* a kernel's name */
	ay_put_u32(&k->types, theirs[0]);
	ay_put_u32(&k->types, 0);
	type(k, 0, PTR, own + 1);
	type(k, 0, PTR, theirs[1]);
	type(k, 0, PROTO | 1, theirs[0]);
	ay_put_u32(&k->types, 0);
	ay_put_u32(&k->types, own + 2);
	type(k, n2, FUNC, own + 4);
	type(k, n3, FUNC, own + 4);
	return seal(k);
}

/* Numbers from 20 on moved by 2 in the new kernel; own ones begin at 100 and 102, names at 1000 and 1010. */
static void learned(void **state)
{
	static const uint32_t old[3] = {10, 25, 30}, new_[3] = {10, 27, 32};
	struct ay__btf_learner l = {0};
	struct ay__btf_map m;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct kit a = {0}, b = {0};

		assert_int_equal(ay__btf_learn(&l, module(&a, 100, 1000, old, false),
					       module(&b, 102, 1010, new_, i == 3)),
				 0);
		kit_release(&a);
		kit_release(&b);
	}
	assert_int_equal(ay__btf_learned(&l, &m), 0);
	assert_int_equal(ay__btf_mapped(&m, AY__BTF_TYPE, 10), 10);
	assert_int_equal(ay__btf_mapped(&m, AY__BTF_TYPE, 25), 27);
	assert_int_equal(ay__btf_mapped(&m, AY__BTF_TYPE, 101), 103);
	assert_int_equal(ay__btf_mapped(&m, AY__BTF_NAME, 15), 17);
	assert_int_equal(ay__btf_mapped(&m, AY__BTF_NAME, 1000), 1010);
	ay__btf_map_release(&m);
	ay__btf_learner_release(&l);
}

/* What is no .BTF teaches nothing, nor do too few modules. */
static void nothing_learned(void **state)
{
	static const uint32_t old[3] = {10, 25, 30}, new_[3] = {10, 27, 32};
	struct ay__btf_learner l = {0};
	struct ay__btf_map m;
	struct kit a = {0}, b = {0};
	struct ay_slice x = module(&a, 100, 1000, old, false), y = module(&b, 102, 1010, new_, false);

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(ay__btf_learn(&l, (struct ay_slice){(const uint8_t *)"garbage", 7}, y), 0);
	assert_int_equal(ay__btf_learn(&l, x, y), 0);
	assert_int_equal(ay__btf_learned(&l, &m), 0);
	assert_int_equal(m.n[0] + m.n[1], 0);
	ay__btf_map_release(&m);
	ay__btf_learner_release(&l);
	kit_release(&a);
	kit_release(&b);
}

/* A hash says what a number stands for, in both files the same; and different things have different ones. */
static void keys(void **state)
{
	static const uint32_t old[3] = {10, 25, 30}, new_[3] = {10, 27, 32};
	struct ay__btf_row rows[] = {{20, 22}};
	struct ay__btf_map m = {.rows = {rows, NULL}, .n = {1, 0}, .own = {{100, 102}, {1000, 1010}}};
	struct ay__btf_keys x = {0}, y = {0};
	struct kit a = {0}, b = {0};

	(void)state;
	assert_int_equal(ay__btf_keys_make(&x, module(&a, 100, 1000, old, false), &m, true), 0);
	assert_int_equal(ay__btf_keys_make(&y, module(&b, 102, 1010, new_, true), &m, false), 0);
	for (uint32_t i = 1; i <= 6; i++)
		assert_int_equal(ay__btf_key(&x, AY__BTF_TYPE, 100 + i),
				 ay__btf_key(&y, AY__BTF_TYPE, 103 + i));
	assert_int_equal(ay__btf_key(&x, AY__BTF_TYPE, 25), ay__btf_key(&y, AY__BTF_TYPE, 27));
	assert_int_equal(ay__btf_key(&x, AY__BTF_NAME, 1005), ay__btf_key(&y, AY__BTF_NAME, 1015));
	assert_int_not_equal(ay__btf_key(&x, AY__BTF_TYPE, 102), ay__btf_key(&x, AY__BTF_TYPE, 103));
	assert_int_not_equal(ay__btf_key(&x, AY__BTF_TYPE, 105), ay__btf_key(&x, AY__BTF_TYPE, 106));
	assert_int_not_equal(ay__btf_key(&x, AY__BTF_TYPE, 25), ay__btf_key(&x, AY__BTF_TYPE, 26));
	assert_int_equal(ay__btf_key(&x, AY__BTF_TYPE, 0), 0);
	ay__btf_key(&x, AY__BTF_TYPE, UINT32_MAX); /* looks at nothing */
	ay__btf_key(&x, AY__BTF_NAME, UINT32_MAX);
	ay__btf_keys_release(&x);
	ay__btf_keys_release(&y);
	kit_release(&a);
	kit_release(&b);
}

/* Two types that moved behind the four others: their ranks are told by the copies, the kernel's numbers by the map. */
static void ranks(void **state)
{
	static const uint32_t theirs[3] = {10, 25, 30};
	struct ay__btf_row types[] = {{20, 22}, {100, 102}}, names[] = {{1000, 1010}};
	struct ay__btf_map m = {.rows = {types, names}, .n = {2, 1}};
	struct ay__btf_guess g;
	struct kit k = {0};
	struct ay_slice s = module(&k, 100, 1000, theirs, false);
	struct elf_kit kit = {AY__ELF_X86_64, AY__ELF_REL, {{0}, {".BTF", 1, 0, 0, s.data, s.len, 0, 0, 0}}};
	struct ay_buf bytes = {0};
	struct ay__elf elf;
	uint64_t at = 0;
	uint32_t index = 0;

	(void)state;
	/* A module is told from the kernel by having far fewer types than the border says. */
	types[1].from = 1000, types[1].to = 1002;
	elf_kit_build(&kit, &bytes);
	struct ay__source src = ay__source_memory(bytes.data, bytes.len);
	assert_int_equal(ay__elf_parse(&src, 0, &elf), 0);
	uint64_t first = elf.sections[1].offset + 24, moved = 24 + 12, end = k.types.len;
	struct ay__copy copies[] = {{first + moved, 5000, end - moved}, {first, 5000 + end - moved, moved}};
	assert_int_equal(ay__btf_guess_init(&g, &elf, &src, &m, copies, 2), 0);
	assert_int_equal(g.n, 6);
	assert_int_equal(ay__btf_guess_place(&g, AY__BTF_TYPE, 25, &at, &index), AY__BTF_THEIRS);
	assert_int_equal(ay__btf_guess_theirs(&g, AY__BTF_TYPE, 25), 2);
	assert_int_equal(ay__btf_guess_place(&g, AY__BTF_TYPE, 1001, &at, &index), AY__BTF_OWN);
	assert_int_equal(at, first);
	assert_int_equal(ay__btf_guess_own(&g, AY__BTF_TYPE, 1, index), 2 + 4);
	assert_int_equal(ay__btf_guess_place(&g, AY__BTF_TYPE, 1003, &at, &index), AY__BTF_OWN);
	assert_int_equal(at, first + moved);
	assert_int_equal(ay__btf_guess_own(&g, AY__BTF_TYPE, 0, index), 2 - 2);
	/* one new type before them: seen once, it counts from then on */
	ay__btf_guess_learn(&g, AY__BTF_TYPE, 1);
	assert_int_equal(ay__btf_guess_own(&g, AY__BTF_TYPE, 1, 1), 2 + 4 + 1);
	/* a great change must be seen twice */
	ay__btf_guess_learn(&g, AY__BTF_TYPE, 500);
	assert_int_equal(ay__btf_guess_own(&g, AY__BTF_TYPE, 1, 1), 2 + 4 + 1);
	ay__btf_guess_learn(&g, AY__BTF_TYPE, 500);
	assert_int_equal(ay__btf_guess_own(&g, AY__BTF_TYPE, 1, 1), 500);
	assert_int_equal(ay__btf_guess_place(&g, AY__BTF_TYPE, 1007, &at, &index), AY__BTF_NOBODYS);
	assert_int_equal(ay__btf_guess_place(&g, AY__BTF_TYPE, UINT32_MAX, &at, &index), AY__BTF_NOBODYS);
	assert_int_equal(ay__btf_guess_place(&g, AY__BTF_NAME, UINT32_MAX, &at, &index), AY__BTF_NOBODYS);
	assert_int_equal(ay__btf_guess_place(&g, AY__BTF_NAME, 1005, &at, &index), AY__BTF_OWN);
	assert_int_equal(at, first + end + 5);
	ay__btf_guess_release(&g);
	ay__elf_release(&elf);
	ay_buf_release(&bytes);
	kit_release(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references),
		cmocka_unit_test(no_section),
		cmocka_unit_test(map_there_and_back),
		cmocka_unit_test(map_refused),
		cmocka_unit_test(learned),
		cmocka_unit_test(nothing_learned),
		cmocka_unit_test(keys),
		cmocka_unit_test(ranks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
