/* SPDX-License-Identifier: MIT */
/* Code that moved is equal once it is masked, and what changed is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "diff/mask.h"
#include "elf_kit.h"

#define TEXT 0x1000

struct image {
	struct ay_buf bytes;
	struct ay__source src;
	struct ay__elf elf;
	struct ay__fields fields;
	uint8_t *masked;
	const struct ay__elf_section *section;
};

static void image_make(struct image *m, struct elf_kit *kit)
{
	elf_kit_build(kit, &m->bytes);
	m->src = ay__source_memory(m->bytes.data, m->bytes.len);
	assert_int_equal(ay__elf_parse(&m->src, 0, &m->elf), 0);
	assert_int_equal(ay__fields_find(&m->src, &m->elf, &m->fields), 0);
	assert_int_equal(ay__mask(&m->src, &m->elf, &m->fields, NULL, true, &m->masked), 0);
	m->section = &m->elf.sections[1];
}

static void image_release(struct image *m)
{
	ay_buf_release(&m->bytes);
	ay__elf_release(&m->elf);
	ay__fields_release(&m->fields);
	free(m->masked);
}

static void put_call(struct ay_buf *b, size_t target)
{
	ay_put_u8(b, 0xe8);
	ay_put_u32(b, (uint32_t)(target - (b->len + 4)));
}

/* A function of 32 bytes that nothing else equals: adds @n to registers. */
static void put_function(struct ay_buf *b, uint8_t n)
{
	for (unsigned i = 0; i < 7; i++)
		ay_put_bytes(b, (const uint8_t[]){0x48, 0x83, (uint8_t)(0xc0 + i), (uint8_t)(n + i)}, 4);
	ay_put_bytes(b, "\x90\x90\x90\xc3", 4);
}

/* Functions A (with one before it, if @more), B, and a caller of A, of B and of a place in .rodata. */
static void text(struct ay_buf *b, bool more, uint64_t rodata)
{
	size_t a, other;

	if (more)
		put_function(b, 90);
	a = b->len;
	put_function(b, 10);
	other = b->len;
	put_function(b, 40);
	put_call(b, a);
	put_call(b, other);
	ay_put_bytes(b, "\x48\x8d\x3d", 3); /* lea string(%rip),%rdi */
	ay_put_u32(b, (uint32_t)(rodata - (TEXT + b->len + 4)));
	ay_put_bytes(b, "\xc3\x90\x90\x90", 4);
}

static void moved(void **state)
{
	struct ay_buf old_text = {0}, new_text = {0};
	struct image a = {0}, b = {0};
	size_t caller = 64, added = 32;

	(void)state;
	text(&old_text, false, 0x2000);
	text(&new_text, true, 0x3004);
	struct elf_kit old = {AY__ELF_X86_64,
			      AY__ELF_DYN,
			      {{0},
			       {".text", 1, 6, TEXT, old_text.data, old_text.len, 0, 0, 0},
			       {".rodata", 1, 2, 0x2000, "a text\0other", 13, 0, 0, 0}}};
	struct elf_kit new_ = {AY__ELF_X86_64,
			       AY__ELF_DYN,
			       {{0},
				{".text", 1, 6, TEXT, new_text.data, new_text.len, 0, 0, 0},
				{".rodata", 1, 2, 0x3000, "new\0a text\0other", 17, 0, 0, 0}}};
	image_make(&a, &old);
	image_make(&b, &new_);
	const uint8_t *x = a.masked + a.section->offset, *y = b.masked + b.section->offset;
	/* in the files the caller differs, in the masked copies it does not */
	assert_memory_not_equal(old_text.data + caller, new_text.data + caller + added,
				old_text.len - caller);
	assert_memory_equal(x + caller, y + caller + added, old_text.len - caller);
	/* two calls of two functions are two things */
	assert_memory_not_equal(x + caller + 1, x + caller + 6, 4);
	/* what is no field stays as it is */
	assert_memory_equal(x, old_text.data, caller + 1);
	assert_memory_equal(a.bytes.data, a.src.data, a.bytes.len);
	image_release(&a);
	image_release(&b);
	ay_buf_release(&old_text);
	ay_buf_release(&new_text);
}

static void put_symbol(struct ay_buf *b, uint32_t name, uint8_t info, uint16_t section, uint64_t value)
{
	ay_put_u32(b, name);
	ay_put_u8(b, info);
	ay_put_u8(b, 0);
	ay_put_u16(b, section);
	ay_put_u64(b, value);
	ay_put_u64(b, 0);
}

static void put_rela(struct ay_buf *b, uint64_t offset, uint32_t symbol, uint32_t kind, uint64_t addend)
{
	ay_put_u64(b, offset);
	ay_put_u32(b, kind);
	ay_put_u32(b, symbol);
	ay_put_u64(b, addend);
}

/* In a module a symbol is its name, whatever its number, and a section's symbol is that section's. */
static void symbols(void **state)
{
	struct ay_buf old_rela = {0}, new_rela = {0}, old_symbols = {0}, new_symbols = {0};
	static const uint8_t code[64] = {0x48, 0x83, 0xc0, 1, 0x48, 0x83, 0xc1, 2, 0xc3};
	struct image a = {0}, b = {0};

	(void)state;
	put_symbol(&old_symbols, 0, 0, 0, 0);
	put_symbol(&old_symbols, 0, 3, 1, 0);
	put_symbol(&old_symbols, 1, 0x10, 0, 0); /* printk */
	put_symbol(&old_symbols, 8, 0x10, 0, 0); /* kfree */
	put_rela(&old_rela, 1, 2, 4, (uint64_t)-4);
	put_rela(&old_rela, 9, 3, 4, (uint64_t)-4);
	put_rela(&old_rela, 20, 1, 1, 4);
	put_symbol(&new_symbols, 0, 0, 0, 0);
	put_symbol(&new_symbols, 5, 0x10, 0, 0); /* kfree */
	put_symbol(&new_symbols, 0, 3, 1, 0);
	put_symbol(&new_symbols, 11, 0x10, 0, 0); /* printk */
	put_rela(&new_rela, 3, 3, 4, (uint64_t)-4);
	put_rela(&new_rela, 12, 1, 4, (uint64_t)-4);
	put_rela(&new_rela, 24, 2, 1, 4);
	struct elf_kit old = {AY__ELF_X86_64,
			      AY__ELF_REL,
			      {{0},
			       {".text", 1, 6, 0, code, sizeof(code), 0, 0, 0},
			       {".rela.text", 4, 0, 0, old_rela.data, old_rela.len, 3, 1, 0},
			       {".symtab", 2, 0, 0, old_symbols.data, old_symbols.len, 4, 2, 0},
			       {".strtab", 3, 0, 0, "\0printk\0kfree", 14, 0, 0, 0}}};
	struct elf_kit new_ = {AY__ELF_X86_64,
			       AY__ELF_REL,
			       {{0},
				{".text", 1, 6, 0, code, sizeof(code), 0, 0, 0},
				{".rela.text", 4, 0, 0, new_rela.data, new_rela.len, 3, 1, 0},
				{".symtab", 2, 0, 0, new_symbols.data, new_symbols.len, 4, 2, 0},
				{".strtab", 3, 0, 0, "\0new\0kfree\0printk", 18, 0, 0, 0}}};
	image_make(&a, &old);
	image_make(&b, &new_);
	assert_memory_equal(a.masked + a.elf.sections[2].offset, b.masked + b.elf.sections[2].offset,
			    old_rela.len);
	assert_memory_not_equal(a.masked + a.elf.sections[2].offset, a.masked + a.elf.sections[2].offset + 24,
				24);
	image_release(&a);
	image_release(&b);
	ay_buf_release(&old_rela);
	ay_buf_release(&new_rela);
	ay_buf_release(&old_symbols);
	ay_buf_release(&new_symbols);
}

/* Whatever the bytes are, nothing outside of them is looked at (this is what the sanitizers watch). */
static void damaged(void **state)
{
	struct ay_buf t = {0}, bytes = {0};
	uint32_t seed = 1;

	(void)state;
	text(&t, true, 0x2000);
	struct elf_kit kit = {
		AY__ELF_X86_64,
		AY__ELF_DYN,
		{{0},
		 {".text", 1, 6, TEXT, t.data, t.len, 0, 0, 0},
		 {".rela.dyn", 4, 2, 0x4000, t.data, 96, 3, 0, 0},
		 {".dynsym", 11, 2, 0x5000, t.data, 96, 4, 1, 0},
		 {".dynstr", 3, 2, 0x6000, "\0name", 6, 0, 0, 0},
		 {".BTF", 1, 0, 0,
		  "\x9f\xeb\1\0\x18\0\0\0\0\0\0\0\x0c\0\0\0\x0c\0\0\0\2\0\0\0\1\0\0\0\0\0\0\2\1\0\0\0\0a", 38,
		  0, 0, 0},
		 {".data", 1, 3, 0x2000, t.data, t.len, 0, 0, 0}}};
	elf_kit_build(&kit, &bytes);
	for (unsigned i = 0; i < 3000; i++) {
		uint8_t *copy = malloc(bytes.len), *masked = NULL;
		struct ay__fields f = {0};
		struct ay__elf elf;

		assert_non_null(copy);
		memcpy(copy, bytes.data, bytes.len);
		for (unsigned k = 0; k < 1 + i % 4; k++) {
			seed = seed * 1103515245 + 12345;
			copy[(seed >> 8) % bytes.len] = (uint8_t)(seed >> 3);
		}
		struct ay__source src = ay__source_memory(copy, bytes.len);
		if (ay__elf_parse(&src, 0, &elf) == 0) {
			assert_int_equal(ay__fields_find(&src, &elf, &f), 0);
			assert_int_equal(ay__mask(&src, &elf, &f, NULL, false, &masked), 0);
			ay__fields_release(&f);
			ay__elf_release(&elf);
			free(masked);
		}
		free(copy);
	}
	ay_buf_release(&t);
	ay_buf_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moved),
		cmocka_unit_test(symbols),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
