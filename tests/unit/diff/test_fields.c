/* SPDX-License-Identifier: MIT */
/* Each rule that finds a field, on the bytes of real instructions and tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/error.h"
#include "diff/fields.h"
#include "diff/fields_parts.h"
#include "diff/x86.h"
#include "elf_kit.h"

/* Lengths and places, as objdump has them. */
static void lengths(void **state)
{
	static const struct {
		const char *bytes;
		uint8_t len, disp, disp_at, imm_at, imm_len, is_rel;
	} cases[] = {
		{"\x90", 1, 0, 0, 1, 0, 0},                                    /* nop */
		{"\xe8\x01\x02\x03\x04", 5, 0, 0, 1, 4, 1},                    /* call */
		{"\x0f\x84\x01\x02\x03\x04", 6, 0, 0, 2, 4, 1},                /* je */
		{"\x48\x8d\x05\x01\x02\x03\x04", 7, AY__DISP_RIP, 3, 7, 0, 0}, /* lea x(%rip),%rax */
		{"\xc7\x05\x01\x02\x03\x04\x05\x06\x07\x08", 10, AY__DISP_RIP, 2, 6, 4,
		 0},                                                                   /* movl $x,y(%rip) */
		{"\x66\xc7\x05\x01\x02\x03\x04\x05\x06", 9, AY__DISP_RIP, 3, 7, 2, 0}, /* movw */
		{"\x80\x3d\x01\x02\x03\x04\x00", 7, AY__DISP_RIP, 2, 6, 1, 0},         /* cmpb $0,x(%rip) */
		{"\x48\x8b\x04\x25\x01\x02\x03\x04", 8, AY__DISP_ABS, 4, 8, 0, 0},     /* mov x,%rax */
		{"\x48\x8b\x04\xc5\x01\x02\x03\x04", 8, AY__DISP_BASE, 4, 8, 0, 0}, /* mov x(,%rax,8),%rax */
		{"\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10, 0, 0, 2, 8, 0},    /* movabs */
		{"\xf7\x05\x01\x02\x03\x04\x05\x06\x07\x08", 10, AY__DISP_RIP, 2, 6, 4,
		 0},                                                               /* testl $x,y(%rip) */
		{"\xf7\x1d\x01\x02\x03\x04", 6, AY__DISP_RIP, 2, 6, 0, 0},         /* negl x(%rip) */
		{"\xc5\xf9\x6f\x05\x01\x02\x03\x04", 8, AY__DISP_RIP, 4, 8, 0, 0}, /* vmovdqa x(%rip),%xmm0 */
		{"\xc4\xe3\x79\x0f\x0d\x01\x02\x03\x04\x05", 10, AY__DISP_RIP, 5, 9, 1, 0},  /* vpalignr */
		{"\x62\xf1\xfd\x48\x6f\x05\x01\x02\x03\x04", 10, AY__DISP_RIP, 6, 10, 0, 0}, /* vmovdqa64 */
		{"\x66\x0f\x3a\x0f\x05\x01\x02\x03\x04\x05", 10, AY__DISP_RIP, 5, 9, 1, 0},  /* palignr */
		{"\xf3\x0f\x1e\xfa", 4, 0, 0, 4, 0, 0},                                      /* endbr64 */
		{"\x48\x83\xec\x08", 4, 0, 0, 3, 1, 0},                                      /* sub $8,%rsp */
		{"\x06", 0, 0, 0, 0, 0, 0}, /* not in 64-bit mode */
	};
	struct ay__x86 x;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[AY__X86_MAX + 1] = {0};

		memcpy(bytes, cases[i].bytes, cases[i].len ? cases[i].len : 1);
		assert_int_equal(ay__x86_decode(bytes, AY__X86_MAX, &x), cases[i].len);
		if (!cases[i].len)
			continue;
		assert_int_equal(x.disp, cases[i].disp);
		assert_int_equal(x.is_rel, cases[i].is_rel);
		assert_int_equal(x.imm_len, cases[i].imm_len);
		if (x.disp)
			assert_int_equal(x.disp_at, cases[i].disp_at);
		if (x.imm_len)
			assert_int_equal(x.imm_at, cases[i].imm_at);
		/* cut off anywhere it is none */
		for (size_t n = 0; n < cases[i].len; n++)
			assert_int_equal(ay__x86_decode(bytes, n, &x), 0);
	}
}

/* Most instructions go a shorter way when enough bytes are left; where fewer are, all go the long one. Both must say the same. */
static void two_ways(void **state)
{
	uint64_t seed = 88172645463325252ull;
	unsigned known = 0;

	(void)state;
	for (unsigned i = 0; i < 2000000; i++) {
		uint8_t bytes[AY__X86_MAX + 1];
		struct ay__x86 a, b;

		for (unsigned k = 0; k < sizeof(bytes); k += 8) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			memcpy(bytes + k, &seed, 8);
		}
		bytes[0] = i & 1 ? (uint8_t)(0x40 | (i >> 1 & 15)) : i & 2 ? 0x0f : bytes[0];
		unsigned len = ay__x86_decode(bytes, AY__X86_MAX, &a);
		if (len == AY__X86_MAX)
			continue;
		assert_int_equal(ay__x86_decode(bytes, AY__X86_MAX - 1, &b), len);
		if (len == 0)
			continue;
		known++;
		assert_int_equal(a.len, b.len);
		assert_int_equal(a.disp, b.disp);
		assert_int_equal(a.disp_at, b.disp_at);
		assert_int_equal(a.imm_at, b.imm_at);
		assert_int_equal(a.imm_len, b.imm_len);
		assert_int_equal(a.opcode, b.opcode);
		assert_int_equal(a.map, b.map);
		assert_int_equal(a.is_rel, b.is_rel);
	}
	assert_true(known > 1000000);
}

struct found {
	struct ay_buf bytes;
	struct ay__source src;
	struct ay__elf elf;
	struct ay__fields f;
};

static void find(struct elf_kit *kit, struct found *o)
{
	*o = (struct found){0};
	elf_kit_build(kit, &o->bytes);
	o->src = ay__source_memory(o->bytes.data, o->bytes.len);
	assert_int_equal(ay__elf_parse(&o->src, 0, &o->elf), 0);
	assert_int_equal(ay__fields_find(&o->src, &o->elf, &o->f), 0);
}

static void release(struct found *o)
{
	ay__fields_release(&o->f);
	ay__elf_release(&o->elf);
	ay_buf_release(&o->bytes);
}

static void expect(struct found *o, uint64_t at, enum ay__field_kind kind, uint64_t target)
{
	struct ay__field d;

	assert_int_equal(o->f.kind[at], kind);
	if (kind == AY__FIELD_NONE)
		return;
	ay__field_describe(&o->f, &o->elf, &o->src, at, &d);
	assert_int_equal(d.target, target);
	/* there and back */
	assert_int_equal(ay__field_put(kind, d.raw, ay__field_number(kind, d.raw)), d.raw);
	for (unsigned i = 1; i < d.width; i++)
		assert_int_equal(o->f.kind[at + i], AY__FIELD_INSIDE);
}

#define DATA(x) .data = (x), .len = sizeof(x) - 1

static void x86_shared(void **state)
{
	static const char text[] = "\xe8\x00\x01\x00\x00"         /* call */
				   "\x48\x8d\x05\xf4\x0f\x00\x00" /* lea 0x2000(%rip): the jump table */
				   "\xc7\x05\x01\x02\x00\x00\x05\x06\x07\x08" /* movl */
				   "\xb8\x10\x20\x00\x00";                    /* mov $0x2010: a number here */
	static const char table[] = "\x00\xf0\xff\xff"                        /* 0x1000 */
				    "\x05\xf0\xff\xff"                        /* 0x1005 */
				    "\x00\x00\x00\x01"                        /* no code there */
				    "\x01\x00\x00\x00";
	static const char got[] = "\x05\x10\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff";
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_DYN,
			      .sections = {[1] = {".text", 1, 6, 0x1000, DATA(text)},
					   [2] = {".rodata", 1, 2, 0x2000, DATA(table)},
					   [3] = {".got", 1, 3, 0x3000, DATA(got)}}};
	struct found o;
	uint64_t t, r;

	(void)state;
	find(&kit, &o);
	t = kit.sections[1].at;
	r = kit.sections[2].at;
	expect(&o, t + 1, AY__FIELD_BRANCH, 0x1105);
	expect(&o, t + 8, AY__FIELD_RIP0, 0x2000);
	expect(&o, t + 14, AY__FIELD_RIP4, 0x1217);
	expect(&o, t + 23, AY__FIELD_NONE, 0);
	expect(&o, r, AY__FIELD_JUMP_FIRST, 0x1000);
	expect(&o, r + 4, AY__FIELD_JUMP_NEXT, 0x1005);
	expect(&o, r + 8, AY__FIELD_NONE, 0);
	expect(&o, kit.sections[3].at, AY__FIELD_ABS64, 0x1005);
	expect(&o, kit.sections[3].at + 8, AY__FIELD_NONE, 0);
	assert_int_equal(ay__fields_next(&o.f, t, t + 4), t + 4); /* the field does not fit */
	assert_int_equal(ay__fields_next(&o.f, t, t + 5), t + 1);
	release(&o);
}

static void x86_executable(void **state)
{
	static const char text[] = "\xb8\x10\x20\x40\x00"                     /* mov $0x402010,%eax */
				   "\x48\x8b\x04\xc5\x00\x20\x40\x00"         /* mov 0x402000(,%rax,8),%rax */
				   "\x48\xb8\x00\x20\x40\x00\x00\x00\x00\x00" /* movabs */
				   "\xb8\x10\x20\x50\x00";                    /* points nowhere */
	static const char data[32] = "\x00\x10\x40\x00\x00\x00\x00\x00";
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_EXEC,
			      .sections = {[1] = {".text", 1, 6, 0x401000, DATA(text)},
					   [2] = {".rodata", 1, 2, 0x402000, DATA(data)}}};
	struct found o;
	uint64_t t;

	(void)state;
	find(&kit, &o);
	t = kit.sections[1].at;
	expect(&o, t + 1, AY__FIELD_ABS32, 0x402010);
	expect(&o, t + 9, AY__FIELD_ABS32, 0x402000);
	expect(&o, t + 15, AY__FIELD_ABS64, 0x402000);
	expect(&o, t + 24, AY__FIELD_NONE, 0);
	expect(&o, kit.sections[2].at, AY__FIELD_ABS64, 0x401000);
	release(&o);
}

static void a64_shared(void **state)
{
	static const char text[] = "\x02\x00\x00\x94"  /* bl +8 */
				   "\x40\x00\x00\x54"  /* b.eq +8 */
				   "\x60\x00\x00\xb4"  /* cbz x0, +12 */
				   "\x40\x00\x00\x36"  /* tbz w0, #0, +8 */
				   "\x01\x00\x00\xb0"  /* adrp x1, next page */
				   "\x1f\x20\x03\xd5"  /* nop */
				   "\x21\x10\x40\xf9"  /* ldr x1, [x1, #32] */
				   "\x00\x00\x00\x90"  /* adrp x0, this page */
				   "\x00\x40\x00\x91"  /* add x0, x0, #16 */
				   "\x42\x40\x00\x91"; /* add x2, x2, #16: completes nothing */
	struct elf_kit kit = {.machine = AY__ELF_AARCH64,
			      .type = AY__ELF_DYN,
			      .sections = {[1] = {".text", 1, 6, 0x1000, DATA(text)}}};
	struct found o;
	uint64_t t;

	(void)state;
	find(&kit, &o);
	t = kit.sections[1].at;
	expect(&o, t, AY__FIELD_A64_BRANCH26, 0x1008);
	expect(&o, t + 4, AY__FIELD_A64_IMM19, 0x100c);
	expect(&o, t + 8, AY__FIELD_A64_IMM19, 0x1014);
	expect(&o, t + 12, AY__FIELD_A64_IMM14, 0x1014);
	assert_int_equal(o.f.kind[t + 16], AY__FIELD_A64_ADRP);
	expect(&o, t + 24, AY__FIELD_A64_LOW12, 0x2020);
	expect(&o, t + 32, AY__FIELD_A64_LOW12, 0x1010);
	expect(&o, t + 36, AY__FIELD_NONE, 0);
	struct ay__field d;
	ay__field_describe(&o.f, &o.elf, &o.src, t + 16, &d);
	assert_int_equal(d.target, 0x2020); /* page and the 12 bits of its partner */
	release(&o);
}

static void relocatable(void **state)
{
	static const char text[] = "\xe8\x00\x00\x00\x00\xe9\x02\x00\x00\x00\x90\x90\x90";
	/* symbols: none; section 1; a function in section 1, value 2, size 3 */
	static const char symbols[] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				      "\0\0\0\0\3\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				      "\1\0\0\0\x12\0\1\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0";
	/* offset 1, PC32 of symbol 1, addend 3 */
	static const char rela[] = "\1\0\0\0\0\0\0\0\2\0\0\0\1\0\0\0\3\0\0\0\0\0\0\0";
	static const char names[] = "\0main\0";
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_REL,
			      .sections = {[1] = {".text", 1, 6, 0, DATA(text)},
					   [2] = {".rela.text", 4, 0x40, 0, DATA(rela), 3, 1},
					   [3] = {".symtab", 2, 0, 0, DATA(symbols), 4, 2},
					   [4] = {".strtab", 3, 0, 0, DATA(names)}}};
	struct found o;
	uint64_t t, r, s;

	(void)state;
	find(&kit, &o);
	t = kit.sections[1].at;
	r = kit.sections[2].at;
	s = kit.sections[3].at;
	expect(&o, t + 1, AY__FIELD_NONE, 0); /* a relocation fills it in */
	expect(&o, t + 6, AY__FIELD_BRANCH, AY__FILE_SPACE + t + 12);
	expect(&o, r, AY__FIELD_RELA_OFFSET, AY__FILE_SPACE + t + 1);
	expect(&o, r + 12, AY__FIELD_RELA_SYMBOL, AY__FILE_SPACE + s + 24);
	expect(&o, r + 16, AY__FIELD_RELA_ADDEND_PC, AY__FILE_SPACE + t + 7);
	expect(&o, s + 48, AY__FIELD_SYMBOL_NAME, AY__FILE_SPACE + kit.sections[4].at + 1);
	expect(&o, s + 54, AY__FIELD_SYMBOL_SECTION, 1);
	expect(&o, s + 56, AY__FIELD_SYMBOL_VALUE, AY__FILE_SPACE + t + 2);
	expect(&o, s + 64, AY__FIELD_SYMBOL_SIZE, AY__FILE_SPACE + t + 5);
	release(&o);
}

static void unwind(void **state)
{
	static const char frame[] = "\x14\0\0\0\0\0\0\0\1zR\0\1\x78\x10\1\x1b\x0c\7\x08\x90\1\0\0"
				    "\x14\0\0\0\x1c\0\0\0\x00\x10\0\0\x10\0\0\0\0\0\0\0\0\0\0\0"
				    "\0\0\0\0";
	static const char hdr[] = "\1\x1b\x03\x3b\x00\xf0\xff\xff\1\0\0\0\x00\xe0\xff\xff\x18\0\0\0";
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_DYN,
			      .sections = {[1] = {".eh_frame", 1, 2, 0x2000, DATA(frame)},
					   [2] = {".eh_frame_hdr", 1, 2, 0x3000, DATA(hdr)}}};
	struct found o;
	uint64_t e, h;

	(void)state;
	find(&kit, &o);
	e = kit.sections[1].at;
	h = kit.sections[2].at;
	expect(&o, e + 28, AY__FIELD_EH_CIE, 0x2000);
	expect(&o, e + 32, AY__FIELD_REL32, 0x3020);
	expect(&o, e + 36, AY__FIELD_EH_LENGTH, 0x3030);
	expect(&o, h + 4, AY__FIELD_REL32, 0x2004);
	expect(&o, h + 12, AY__FIELD_SECTION32, 0x1000);
	expect(&o, h + 16, AY__FIELD_SECTION32, 0x3018);
	release(&o);
}

static void kernel_tables(void **state)
{
	static const char twelve[] = "\x00\x01\0\0\x00\x02\0\0\x00\x03\0\0";
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_EXEC,
			      .sections = {[1] = {"__ksymtab", 1, 2, 0x1000, DATA(twelve)},
					   [2] = {"__ex_table", 1, 2, 0x2000, DATA(twelve)},
					   [3] = {".orc_unwind_ip", 1, 2, 0x3000, DATA(twelve)},
					   [4] = {".text", 1, 6, 0xffffffff81000000, DATA(twelve)}}};
	struct found o;

	(void)state;
	/* behind the image: a list of addresses, 32 bits each */
	find(&kit, &o);
	ay__fields_release(&o.f);
	ay__elf_release(&o.elf);
	ay_put_u32(&o.bytes, 0);
	ay_put_u32(&o.bytes, 0x81000004);
	o.src = ay__source_memory(o.bytes.data, o.bytes.len);
	assert_int_equal(ay__elf_parse(&o.src, 0, &o.elf), 0);
	assert_int_equal(ay__fields_find(&o.src, &o.elf, &o.f), 0);
	expect(&o, kit.sections[1].at + 8, AY__FIELD_REL32, 0x1308);
	expect(&o, kit.sections[2].at + 4, AY__FIELD_REL32, 0x2204);
	expect(&o, kit.sections[2].at + 8, AY__FIELD_NONE, 0);
	expect(&o, kit.sections[3].at + 8, AY__FIELD_REL32, 0x3308);
	expect(&o, o.bytes.len - 8, AY__FIELD_NONE, 0);
	expect(&o, o.bytes.len - 4, AY__FIELD_ABS32, 0xffffffff81000004);
	/* words that are none, of any number of bytes: 255 in a row do not end it, 256 do */
	uint64_t list = o.bytes.len;
	for (unsigned gap = 255; gap <= 256; gap++) {
		for (unsigned i = 0; i < gap; i++)
			ay_put_u32(&o.bytes, 0x83000000);
		ay_put_u32(&o.bytes, 0x81000008);
	}
	ay_put_bytes(&o.bytes, twelve, 3);
	ay__fields_release(&o.f);
	ay__elf_release(&o.elf);
	o.src = ay__source_memory(o.bytes.data, o.bytes.len);
	assert_int_equal(ay__elf_parse(&o.src, 0, &o.elf), 0);
	assert_int_equal(ay__fields_find(&o.src, &o.elf, &o.f), 0);
	expect(&o, list - 4, AY__FIELD_ABS32, 0xffffffff81000004);
	expect(&o, list + (size_t)4 * 255, AY__FIELD_ABS32, 0xffffffff81000008);
	expect(&o, list + (size_t)4 * 512, AY__FIELD_NONE, 0);
	release(&o);
}

/* An image that does not begin at 0; what is no image; a table that lies. */
static void parsing(void **state)
{
	static const char text[] = "\xe8\x00\x01\x00\x00";
	struct elf_kit kit = {
		.machine = AY__ELF_X86_64,
		.type = AY__ELF_DYN,
		.sections = {
			[1] = {".text", 1, 6, 0x1000, DATA(text)}, [2] = {".bss", 8, 3, 0x5000, .len = 64}}};
	struct ay_buf b = {0};
	struct ay__source src;
	struct ay__elf elf;
	uint64_t at;

	(void)state;
	ay_put_bytes(&b, "before", 6);
	elf_kit_build(&kit, &b);
	src = ay__source_memory(b.data, b.len);
	assert_int_equal(ay__elf_parse(&src, 0, &elf), AY_EUNSUPPORTED);
	assert_int_equal(ay__elf_parse(&src, 6, &elf), 0);
	assert_int_equal(elf.end, b.len);
	assert_int_equal(ay__elf_addr(&elf, 6 + kit.sections[1].at + 2), 0x1002);
	assert_true(ay__elf_offset(&elf, 0x1002, &at));
	assert_int_equal(at, 6 + kit.sections[1].at + 2);
	assert_false(ay__elf_offset(&elf, 0x5002, &at));
	assert_true(ay__elf_loaded(&elf, 0x5040));
	assert_false(ay__elf_loaded(&elf, 0x5041));
	assert_true(ay__elf_code(&elf, 0x1004));
	assert_false(ay__elf_code(&elf, 0x1005));
	assert_int_equal(ay__elf_addr(&elf, 3), AY__FILE_SPACE + 3);
	ay__elf_release(&elf);
	/* cut anywhere: parsed or refused, never read behind the end (the sanitizer sees) */
	for (size_t n = 0; n < b.len; n++) {
		uint8_t *copy = malloc(n + 1);
		struct ay__fields f;

		assert_non_null(copy);
		memcpy(copy, b.data, n);
		src = ay__source_memory(copy, n);
		if (ay__elf_parse(&src, 6, &elf) == 0) {
			assert_int_equal(ay__fields_find(&src, &elf, &f), 0);
			ay__fields_release(&f);
			ay__elf_release(&elf);
		}
		free(copy);
	}
	ay_buf_release(&b);
}

/* Debugging: an address at any place; in a file that may be loaded anywhere only those of code. */
static void debugging(void **state)
{
	static const char text[] = "\x90\x90\x90\x90";
	static const char info[] = "\3\2\x10\x40\0\0\0\0\0\0\x50\x20\0\0\0\0\0\0\2\x10\0\0\0\0\0\0";
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_EXEC,
			      .sections = {[1] = {".text", 1, 6, 0x401000, DATA(text)},
					   [2] = {".debug_info", 1, 0, 0, DATA(info)}}};
	struct found o;

	(void)state;
	find(&kit, &o);
	expect(&o, kit.sections[2].at + 1, AY__FIELD_ABS64, 0x401002);
	expect(&o, kit.sections[2].at + 18, AY__FIELD_NONE, 0);
	release(&o);
	/* 0x401000, or 0x4010 behind a zero: what follows tells */
	static const char more[] = "\x00\x10\x40\0\0\0\0\0\7"
				   "\x00\x10\x40\0\0\0\0\0\0\7";
	kit.sections[2].data = more;
	kit.sections[2].len = sizeof(more) - 1;
	find(&kit, &o);
	expect(&o, kit.sections[2].at, AY__FIELD_ABS64, 0x401000);
	expect(&o, kit.sections[2].at + 9, AY__FIELD_NONE, 0);
	release(&o);
	kit.sections[2].data = info;
	kit.sections[2].len = sizeof(info) - 1;
	kit.type = AY__ELF_DYN;
	kit.sections[1].addr = 0x1000;
	find(&kit, &o);
	expect(&o, kit.sections[2].at + 1, AY__FIELD_NONE, 0);
	expect(&o, kit.sections[2].at + 18, AY__FIELD_ABS64, 0x1002);
	release(&o);
}

/* Sections that lie over each other: the answer does not depend on what was asked before. */
static void look_ups(void **state)
{
	static const char text[64];
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_DYN,
			      .sections = {[1] = {".text", 1, 6, 0x1000, DATA(text)},
					   [2] = {".data", 1, 3, 0x1010, DATA(text)},
					   [3] = {".more", 1, 3, 0x1010, DATA(text)}}};
	struct found o;
	const struct ay__elf_section *s;

	(void)state;
	find(&kit, &o);
	s = o.elf.sections;
	for (unsigned i = 0; i < 400; i++) {
		uint64_t addr = 0x1000 + i * 7919u % 0x60;
		const struct ay__elf_section *at = ay__elf_section_at(&o.elf, addr);

		assert_ptr_equal(at, addr < 0x1010 ? s + 1 : s + 3);
		at = ay__elf_section_of(&o.elf, kit.sections[1].at + i * 31u % 128);
		assert_ptr_equal(at, i * 31u % 128 < 63                           ? s + 1
				     : i * 31u % 128 >= 64 && i * 31u % 128 < 127 ? s + 2
										  : NULL);
	}
	release(&o);
}

/* 4000 sections that are all of the same 512 KiB: looked at are four times the file's size, not 2 GB. */
static void many_sections(void **state)
{
	size_t len = 64 + 4000 * 64 + (512u << 10);
	uint8_t *p = calloc(1, len);
	struct ay__source src;
	struct ay__elf elf;
	struct ay__fields f;

	(void)state;
	assert_non_null(p);
	memcpy(p, "\177ELF\2\1\1", 7);
	p[16] = AY__ELF_DYN;
	p[18] = AY__ELF_X86_64;
	p[40] = p[58] = 64;
	p[60] = 4000 & 255;
	p[61] = 4000 >> 8;
	for (size_t i = 1; i < 4000; i++) {
		uint8_t *h = p + 64 + 64 * i;

		h[4] = 1;
		h[8] = 6;
		memcpy(h + 24, &(uint64_t){64 + 4000 * 64}, 8);
		memcpy(h + 32, &(uint64_t){512u << 10}, 8);
	}
	clock_t begin = clock();
	src = ay__source_memory(p, len);
	assert_int_equal(ay__elf_parse(&src, 0, &elf), 0);
	assert_int_equal(ay__fields_find(&src, &elf, &f), 0);
	assert_true(clock() - begin < 2 * CLOCKS_PER_SEC);
	ay__fields_release(&f);
	ay__elf_release(&elf);
	free(p);
}

/* A table of jumps longer than is looked at; entries say where it begins in whatever order they are asked. */
static void long_jump_table(void **state)
{
	static const char text[] = "\x48\x8d\x05\xf9\x0f\x00\x00\x90"; /* lea 0x2000(%rip) */
	static char table[2 * AY__JUMP_TABLE_MAX + 1];
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_DYN,
			      .sections = {[1] = {".text", 1, 6, 0x1000, DATA(text)},
					   [2] = {".rodata", 1, 2, 0x2000, DATA(table)}}};
	struct found o;

	(void)state;
	for (size_t i = 0; i + 4 < sizeof(table); i += 4)
		memcpy(table + i, "\x03\xf0\xff\xff", 4);
	find(&kit, &o);
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t entry = i * 7919u % (sizeof(table) / 4) * 4, at = kit.sections[2].at + entry;

		if (entry < AY__JUMP_TABLE_MAX)
			expect(&o, at, entry ? AY__FIELD_JUMP_NEXT : AY__FIELD_JUMP_FIRST, 0x1003);
		else
			expect(&o, at, AY__FIELD_NONE, 0);
	}
	release(&o);
}

/* The same fields whether a second thread begins in the middle of the code or not. Returns how many there are. */
static unsigned by_two(const struct ay_buf *b)
{
	struct ay__source src = ay__source_memory(b->data, b->len), second = src;
	struct ay__fields one = {0}, two = {0};
	struct ay__elf elf;
	unsigned n = 0;

	assert_int_equal(ay__elf_parse(&src, 0, &elf), 0);
	assert_int_equal(ay__fields_find(&src, &elf, &one), 0);
	assert_int_equal(ay__fields_find_by_two(&src, &second, &elf, &two), 0);
	assert_memory_equal(one.kind, two.kind, b->len);
	for (uint64_t at = ay__fields_next(&one, 0, b->len); at < b->len; n++)
		at = ay__fields_next(&one, at + ay__field_width(one.kind[at]), b->len);
	ay__fields_release(&one);
	ay__fields_release(&two);
	ay__elf_release(&elf);
	return n;
}

/* A program is in step at once; calls of calls of calls never are, when one begins between them. */
static void two_threads(void **state)
{
	const size_t size = 200003;
	uint8_t *calls = malloc(size);
	struct elf_kit kit = {.machine = AY__ELF_X86_64,
			      .type = AY__ELF_DYN,
			      .sections = {[1] = {.name = ".text",
						  .type = 1,
						  .flags = 6,
						  .addr = 0x1000,
						  .data = calls,
						  .len = size}}};
	struct ay_buf b = {0};

	(void)state;
	assert_non_null(calls);
	for (unsigned type = AY__ELF_REL; type <= AY__ELF_DYN; type++) {
		elf_kit_program(5, 2000, 0, AY__ELF_X86_64, (enum ay__elf_type)type, &b);
		assert_true(by_two(&b) > 10000);
		ay_buf_reset(&b);
	}
	memset(calls, 0xe8, size);
	for (size_t i = 0; i + 7 <= 30000; i += 35) /* and some code that points into the middle of it all */
		memcpy(calls + i, "\x48\x8d\x05\x00\x90\x01\x00", 7);
	elf_kit_build(&kit, &b);
	assert_true(size / 2 % 5 != 0 && by_two(&b) > 39000);
	ay_buf_release(&b);
	free(calls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),         cmocka_unit_test(two_ways),
		cmocka_unit_test(two_threads),     cmocka_unit_test(x86_shared),
		cmocka_unit_test(x86_executable),  cmocka_unit_test(a64_shared),
		cmocka_unit_test(relocatable),     cmocka_unit_test(unwind),
		cmocka_unit_test(kernel_tables),   cmocka_unit_test(parsing),
		cmocka_unit_test(look_ups),        cmocka_unit_test(debugging),
		cmocka_unit_test(long_jump_table), cmocka_unit_test(many_sections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
