/* SPDX-License-Identifier: MIT */
/* tests/unit/diff/elf_program.c - a compiler and a linker in one: functions of made-up instructions that call each other. */
#include "elf_kit.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/prng.h"

#define FUNCTIONS_MAX 2000
#define TABLE_ENTRIES 6
#define CALLS         6

struct function {
	uint64_t at; /* in .text */
	uint32_t size, filler;
	uint32_t callee[CALLS], datum[CALLS];
	uint64_t name;
};

struct program {
	struct function *f;
	unsigned n;
	uint64_t seed, text_addr, data_addr;
	bool a64;
	enum ay__elf_type type;
	struct ay_buf text, rodata, data, symbols, strings, rela, frame, frame_hdr;
};

static uint32_t size_of_code(const struct program *p)
{
	return (p->a64 ? 12 : 12) * CALLS;
}

static void layout(struct program *p, unsigned variant)
{
	struct ay_prng r;
	uint64_t at = 0;

	ay_prng_init(&r, p->seed);
	for (unsigned i = 0; i < p->n; i++) {
		struct function *f = &p->f[i];

		f->filler = 8 + 4 * (uint32_t)ay_prng_below(&r, 20);
		for (unsigned c = 0; c < CALLS; c++) {
			f->callee[c] = (uint32_t)ay_prng_below(&r, p->n);
			f->datum[c] = (uint32_t)ay_prng_below(&r, p->n);
		}
		for (unsigned bit = 0; bit < 8; bit++)
			f->filler += variant >> bit & 1 && i % 37 == 5 + bit ? 4 * (1 + bit) : 0;
		f->at = at;
		f->size = size_of_code(p) + f->filler + 4;
		at += (f->size + 15) / 16 * 16;
	}
}

static void put_a64_pair(struct program *p, uint64_t from, uint64_t to)
{
	uint64_t pages = (to >> 12) - (from >> 12);

	ay_put_u32(&p->text,
		   0x90000001u | (uint32_t)(pages & 3) << 29 | (uint32_t)(pages >> 2 & 0x7ffff) << 5);
	ay_put_u32(&p->text, 0x91000021u | (uint32_t)(to & 0xfff) << 10);
}

/* A call to @callee, and the address of datum @datum. */
static void put_step(struct program *p, uint64_t callee, uint64_t datum)
{
	uint64_t here = p->text_addr + p->text.len;

	if (p->a64) {
		ay_put_u32(&p->text,
			   0x94000000u | (uint32_t)((p->text_addr + callee - here) >> 2 & 0x3ffffff));
		put_a64_pair(p, here + 4, datum);
		return;
	}
	ay_put_u8(&p->text, 0xe8);
	ay_put_u32(&p->text, (uint32_t)(p->text_addr + callee - here - 5));
	ay_put_bytes(&p->text, "\x48\x8d\x05", 3);
	ay_put_u32(&p->text, (uint32_t)(datum - here - 12));
}

static void text_make(struct program *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct function *f = &p->f[i];
		struct ay_prng r;

		ay_prng_init(&r, p->seed + i);
		for (unsigned c = 0; c < CALLS; c++)
			put_step(p, p->f[f->callee[c]].at, p->data_addr + 32 * (uint64_t)f->datum[c]);
		for (unsigned k = 0; k < f->filler / 4; k++)
			ay_put_u32(&p->text, p->a64 ? 0x11000400u | (uint32_t)ay_prng_below(&r, 1024)
						    : 0x00c08348u | (uint32_t)ay_prng_below(&r, 127) << 24);
		ay_put_u32(&p->text, p->a64 ? 0xd65f03c0 : 0x909090c3);
		while (p->text.len % 16)
			ay_put_u8(&p->text, p->a64 ? 0 : 0x90);
	}
}

/* A datum of 32 bytes per function: every 16th a jump table into it, the others text. */
static void rodata_make(struct program *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		uint64_t base = p->data_addr + p->rodata.len;

		for (unsigned k = 0; k < 8; k++) {
			if (i % 16 == 0 && k < TABLE_ENTRIES)
				ay_put_u32(&p->rodata, (uint32_t)(p->text_addr + p->f[i].at + 12 * k - base));
			else
				ay_put_u32(&p->rodata, i * 2654435761u % 100000);
		}
	}
}

static void symbols_make(struct program *p)
{
	static const uint8_t zeros[24];

	ay_put_bytes(&p->symbols, zeros, 24);
	ay_put_u8(&p->strings, 0);
	for (unsigned i = 0; i < p->n; i++) {
		const struct function *f = &p->f[i];

		ay_put_u32(&p->symbols, (uint32_t)p->strings.len);
		ay_put_u8(&p->symbols, i == 0 && p->type == AY__ELF_REL ? 3 : 0x12);
		ay_put_u8(&p->symbols, 0);
		ay_put_u16(&p->symbols, 1);
		ay_put_u64(&p->symbols, (p->type == AY__ELF_REL ? 0 : p->text_addr) + f->at);
		ay_put_u64(&p->symbols, f->size);
		ay_put_fmt(&p->strings, "function_%u%s", i * 2654435761u, f->size % 5 ? "" : "_grown");
		ay_put_u8(&p->strings, 0);
	}
}

static void rela_make(struct program *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		bool rel = p->type == AY__ELF_REL;

		ay_put_u64(&p->rela, rel ? p->f[i].at + 8 : p->data_addr + 0x100000 + 8 * (uint64_t)i);
		ay_put_u32(&p->rela, rel ? 2 : p->a64 ? 1027 : 8);
		ay_put_u32(&p->rela, rel ? 1 : 0);
		ay_put_u64(&p->rela, (rel ? 0 : p->text_addr) + p->f[(i * 7) % p->n].at + (rel ? 12 : 0));
		ay_put_u64(&p->data, rel ? 0 : p->text_addr + p->f[(i * 7) % p->n].at);
	}
}

static void frame_make(struct program *p, uint64_t frame_addr, uint64_t hdr_addr)
{
	ay_put_bytes(&p->frame, "\x14\0\0\0\0\0\0\0\1zR\0\1\x78\x10\1\x1b\x0c\7\x08\x90\1\0\0", 24);
	ay_put_bytes(&p->frame_hdr, "\1\x1b\x03\x3b", 4);
	ay_put_u32(&p->frame_hdr, (uint32_t)(frame_addr - hdr_addr - 4));
	ay_put_u32(&p->frame_hdr, p->n);
	for (unsigned i = 0; i < p->n; i++) {
		uint64_t at = p->frame.len;

		ay_put_u32(&p->frame_hdr, (uint32_t)(p->text_addr + p->f[i].at - hdr_addr));
		ay_put_u32(&p->frame_hdr, (uint32_t)(frame_addr + at - hdr_addr));
		ay_put_u32(&p->frame, 20);
		ay_put_u32(&p->frame, (uint32_t)(at + 4));
		ay_put_u32(&p->frame, (uint32_t)(p->text_addr + p->f[i].at - frame_addr - at - 8));
		ay_put_u32(&p->frame, p->f[i].size);
		ay_put_bytes(&p->frame, "\0\x41\x0e\x10\x86\2\0\0", 8);
	}
	ay_put_u32(&p->frame, 0);
}

void elf_kit_program(uint64_t seed, unsigned n, unsigned variant, enum ay__elf_machine machine,
		     enum ay__elf_type type, struct ay_buf *out)
{
	struct function *functions = calloc(FUNCTIONS_MAX, sizeof(*functions));
	struct program p = {.f = functions,
			    .n = n,
			    .seed = seed,
			    .text_addr = type == AY__ELF_EXEC ? 0x401000 : 0x1000,
			    .a64 = machine == AY__ELF_AARCH64,
			    .type = type};

	AY_ASSERT(functions && n > 0 && n <= FUNCTIONS_MAX);
	layout(&p, variant);
	p.data_addr = (p.text_addr + p.f[n - 1].at + p.f[n - 1].size + 0x1fff) & ~0xfffull;
	text_make(&p);
	rodata_make(&p);
	symbols_make(&p);
	rela_make(&p);
	frame_make(&p, p.data_addr + 0x200000, p.data_addr + 0x300000);
	bool rel = type == AY__ELF_REL;
	struct elf_kit kit = {
		.machine = machine,
		.type = type,
		.sections = {
			[1] = {".text", 1, 6, rel ? 0 : p.text_addr, p.text.data, p.text.len, 0, 0, 0},
			[2] = {".rodata", 1, 2, rel ? 0 : p.data_addr, p.rodata.data, p.rodata.len, 0, 0, 0},
			[3] = {".data", 1, 3, rel ? 0 : p.data_addr + 0x100000, p.data.data, p.data.len, 0, 0,
			       0},
			[4] = {".rela.text", 4, 0x40, 0, p.rela.data, p.rela.len, 5, 1, 0},
			[5] = {".symtab", 2, 0, 0, p.symbols.data, p.symbols.len, 6, 1, 0},
			[6] = {".strtab", 3, 0, 0, p.strings.data, p.strings.len, 0, 0, 0},
			[7] = {".bss", 8, 3, rel ? 0 : p.data_addr + 0x400000, NULL, 4096, 0, 0, 0},
			[8] = {rel ? NULL : ".eh_frame", 1, 2, p.data_addr + 0x200000, p.frame.data,
			       p.frame.len, 0, 0, 0},
			[9] = {".eh_frame_hdr", 1, 2, p.data_addr + 0x300000, p.frame_hdr.data,
			       p.frame_hdr.len, 0, 0, 0},
		}};
	elf_kit_build(&kit, out);
	struct ay_buf *all[] = {&p.text,    &p.rodata, &p.data,  &p.symbols,
				&p.strings, &p.rela,   &p.frame, &p.frame_hdr};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		AY_ASSERT(ay_buf_status(all[i]) == 0);
		ay_buf_release(all[i]);
	}
	free(functions);
}
