/* SPDX-License-Identifier: MIT */
/*
 * diff/x86.c - lengths of x86-64 instructions, by table.
 *
 * Only lengths: what an instruction does is of no interest. Legacy, VEX and EVEX encodings of 64-bit mode. A wrong length costs a few
 * fields until the scan is in step again, which it is after some instructions by itself.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 and appendix A (opcode maps).
 */
#include "diff/x86.h"

/* What follows an opcode, a letter each. */
enum {
	N = 0,   /* nothing */
	M = 1,   /* ModRM and what it asks for */
	B = 2,   /* one byte */
	Z = 4,   /* four bytes, two with prefix 66 */
	J = 8,   /* a branch's distance, four bytes */
	W = 16,  /* two bytes */
	Q = 32,  /* as Z, eight with REX.W */
	O = 64,  /* an address of eight bytes */
	X = 128, /* no instruction here, or handled apart */
	MB = M | B,
	MZ = M | Z,
	WB = W | B,
};

static const uint8_t one_byte[256] = {
	/* 00 */ M,  M,  M, M,  B, Z, X,  X,  M,  M,  M, M,  B, Z, X, X,
	/* 10 */ M,  M,  M, M,  B, Z, X,  X,  M,  M,  M, M,  B, Z, X, X,
	/* 20 */ M,  M,  M, M,  B, Z, X,  X,  M,  M,  M, M,  B, Z, X, X,
	/* 30 */ M,  M,  M, M,  B, Z, X,  X,  M,  M,  M, M,  B, Z, X, X,
	/* 40 */ X,  X,  X, X,  X, X, X,  X,  X,  X,  X, X,  X, X, X, X,
	/* 50 */ N,  N,  N, N,  N, N, N,  N,  N,  N,  N, N,  N, N, N, N,
	/* 60 */ X,  X,  X, M,  X, X, X,  X,  Z,  MZ, B, MB, N, N, N, N,
	/* 70 */ B,  B,  B, B,  B, B, B,  B,  B,  B,  B, B,  B, B, B, B,
	/* 80 */ MB, MZ, X, MB, M, M, M,  M,  M,  M,  M, M,  M, M, M, M,
	/* 90 */ N,  N,  N, N,  N, N, N,  N,  N,  N,  X, N,  N, N, N, N,
	/* a0 */ O,  O,  O, O,  N, N, N,  N,  B,  Z,  N, N,  N, N, N, N,
	/* b0 */ B,  B,  B, B,  B, B, B,  B,  Q,  Q,  Q, Q,  Q, Q, Q, Q,
	/* c0 */ MB, MB, W, N,  X, X, MB, MZ, WB, N,  W, N,  N, B, X, N,
	/* d0 */ M,  M,  M, M,  X, X, X,  N,  M,  M,  M, M,  M, M, M, M,
	/* e0 */ B,  B,  B, B,  B, B, B,  B,  J,  J,  X, B,  N, N, N, N,
	/* f0 */ X,  N,  X, X,  N, N, M,  M,  N,  N,  N, N,  N, N, M, M,
};

static const uint8_t two_byte[256] = {
	/* 00 */ M,  M,  M,  M,  X,  N,  N,  N, N, N, X,  N, X,  M, N, MB,
	/* 10 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	/* 20 */ M,  M,  M,  M,  X,  X,  X,  X, M, M, M,  M, M,  M, M, M,
	/* 30 */ N,  N,  N,  N,  N,  N,  X,  N, X, X, X,  X, X,  X, X, X,
	/* 40 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	/* 50 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	/* 60 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	/* 70 */ MB, MB, MB, MB, M,  M,  M,  N, M, M, X,  X, M,  M, M, M,
	/* 80 */ J,  J,  J,  J,  J,  J,  J,  J, J, J, J,  J, J,  J, J, J,
	/* 90 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	/* a0 */ N,  N,  N,  M,  MB, M,  X,  X, N, N, N,  M, MB, M, M, M,
	/* b0 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, MB, M, M,  M, M, M,
	/* c0 */ M,  M,  MB, M,  MB, MB, MB, M, N, N, N,  N, N,  N, N, N,
	/* d0 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	/* e0 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
	/* f0 */ M,  M,  M,  M,  M,  M,  M,  M, M, M, M,  M, M,  M, M, M,
};

struct scan {
	const uint8_t *p;
	size_t len, at;
	int opsize, rex_w;
};

/* ModRM, SIB, displacement. */
static int modrm(struct scan *s, struct ay__x86 *out, unsigned *reg)
{
	if (s->at >= s->len)
		return 0;
	unsigned m = s->p[s->at++], mod = m >> 6, rm = m & 7;

	*reg = m >> 3 & 7;
	if (mod == 3)
		return 1;
	out->disp = AY__DISP_BASE;
	if (rm == 4) {
		if (s->at >= s->len)
			return 0;
		if ((s->p[s->at++] & 7) == 5 && mod == 0) {
			out->disp = (s->p[s->at - 1] & 0x38) == 0x20 ? AY__DISP_ABS : AY__DISP_BASE;
			mod = 2;
		}
	} else if (rm == 5 && mod == 0) {
		out->disp = AY__DISP_RIP;
		mod = 2;
	}
	if (mod == 2) {
		out->disp_at = (uint8_t)s->at;
		s->at += 4;
	} else {
		out->disp = AY__DISP_NONE;
		s->at += mod;
	}
	return 1;
}

static void immediate(struct scan *s, struct ay__x86 *out, unsigned what)
{
	unsigned n = 0;

	if (what & B)
		n += 1;
	if (what & W)
		n += 2;
	if (what & Z)
		n += s->opsize && !s->rex_w ? 2 : 4;
	if (what & Q)
		n += s->rex_w ? 8 : s->opsize ? 2 : 4;
	if (what & O)
		n += 8;
	if (what & J) {
		n += 4;
		out->is_rel = 1;
	}
	out->imm_at = (uint8_t)s->at;
	out->imm_len = (uint8_t)n;
	s->at += n;
}

/* VEX and EVEX: @prefix bytes, then opcode and ModRM. */
static unsigned vector(struct scan *s, struct ay__x86 *out, unsigned prefix, unsigned map)
{
	unsigned reg, what = M;

	s->at += prefix;
	if (s->at >= s->len)
		return 0;
	out->opcode = s->p[s->at++];
	out->map = 8;
	if (map == 3 || (map == 1 && (two_byte[out->opcode] & B)))
		what = MB;
	if (map == 1 && out->opcode == 0x77)
		what = N;
	if (what & M && !modrm(s, out, &reg))
		return 0;
	immediate(s, out, what);
	return 1;
}

static unsigned escape(struct scan *s, struct ay__x86 *out)
{
	if (s->at >= s->len)
		return X;
	out->opcode = s->p[s->at++];
	out->map = 1;
	if (out->opcode == 0x38 || out->opcode == 0x3a) {
		unsigned what = out->opcode == 0x3a ? MB : M;

		if (s->at >= s->len)
			return X;
		out->map = out->opcode == 0x3a ? 3 : 2;
		out->opcode = s->p[s->at++];
		return what;
	}
	return two_byte[out->opcode];
}

static void prefixes(struct scan *s)
{
	for (; s->at < s->len; s->at++) {
		switch (s->p[s->at]) {
		case 0x66:
			s->opsize = 1;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0x67:
		case 0xf0:
		case 0xf2:
		case 0xf3:
			break;
		default:
			if ((s->p[s->at] & 0xf0) != 0x40)
				return;
			/* REX counts only right before the opcode. */
			if (s->at + 1 < s->len) {
				s->rex_w = s->p[s->at] >> 3 & 1;
				s->at++;
			}
			return;
		}
	}
}

/* By mod and r/m of ModRM: bytes behind it, whether a SIB is the first of them, what the four bytes of displacement are. */
#define AFTER(bytes, sib, disp) ((bytes) | (sib) << 4 | (disp) << 5)
#define DISP32(sib)             AFTER(4 + (sib), sib, AY__DISP_BASE)
#define ALONE                   128 /* the SIB may stand for a displacement without a register */
static const uint8_t after_modrm[32] = {
	0,
	0,
	0,
	0,
	AFTER(1, 1, 0) | ALONE,
	AFTER(4, 0, AY__DISP_RIP),
	0,
	0,
	1,
	1,
	1,
	1,
	AFTER(2, 1, 0),
	1,
	1,
	1,
	DISP32(0),
	DISP32(0),
	DISP32(0),
	DISP32(0),
	DISP32(1),
	DISP32(0),
	DISP32(0),
	DISP32(0),
};

/*
 * Instructions without legacy prefixes and vectors, which are nearly all, where so many bytes are left that none ends behind them. What
 * comes next is hard to foresee, so there are few branches.
 */
static inline unsigned quick(const uint8_t *p, struct ay__x86 *out)
{
	unsigned rex = (p[0] & 0xf0) == 0x40, rex_w = rex & p[0] >> 3, op = p[rex], at = 1 + rex, map = 0;
	unsigned what = one_byte[op];

	if (op == 0x0f) {
		op = p[at++];
		what = two_byte[op];
		map = 1;
	}
	if (what & X)
		return 0;
	unsigned has = what & M, m = p[at], after = after_modrm[(m >> 6) << 3 | (m & 7)] & (0 - has);
	if (after & ALONE && (p[at + 1] & 7) == 5)
		after = AFTER(5, 1, (p[at + 1] & 0x38) == 0x20 ? AY__DISP_ABS : AY__DISP_BASE);
	if ((op | 1) == 0xf7 && map == 0 && (m & 0x30) == 0)
		what |= op == 0xf6 ? B : Z;
	unsigned disp = after >> 5 & 3, disp_at = at + has + (after >> 4 & 1);
	unsigned imm = (what & B) / B + (what & (Z | J) ? 4 : 0) + (what & Q ? 4 + 4 * rex_w : 0);
	if (what & (W | O))
		imm += what & W ? 2 : 8;
	at += has + (after & 15);
	*out = (struct ay__x86){.len = (uint8_t)(at + imm),
				.disp_at = (uint8_t)(disp ? disp_at : 0),
				.imm_at = (uint8_t)at,
				.imm_len = (uint8_t)imm,
				.opcode = (uint8_t)op,
				.map = (uint8_t)map,
				.is_rel = (what & J) != 0,
				.disp = (enum ay__x86_disp)disp};
	return at + imm;
}

unsigned ay__x86_decode(const uint8_t *p, size_t len, struct ay__x86 *out)
{
	struct scan s = {.p = p, .len = len < AY__X86_MAX ? len : AY__X86_MAX};
	unsigned what, reg = 0, ok = 1;

	if (len >= AY__X86_MAX && (what = quick(p, out)) != 0)
		return what;
	*out = (struct ay__x86){0};
	prefixes(&s);
	if (s.at >= s.len)
		return 0;
	uint8_t op = s.p[s.at++];
	out->opcode = op;
	if (op == 0xc5 && s.at < s.len) {
		ok = vector(&s, out, 1, 1);
	} else if (op == 0xc4 && s.at + 1 < s.len) {
		ok = vector(&s, out, 2, s.p[s.at] & 31);
	} else if (op == 0x62 && s.at + 2 < s.len) {
		ok = vector(&s, out, 3, s.p[s.at] & 7);
	} else {
		what = op == 0x0f ? escape(&s, out) : one_byte[op];
		if (what & X)
			return 0;
		if (what & M && !modrm(&s, out, &reg))
			return 0;
		/* TEST in the group of NOT, NEG, MUL, DIV has an immediate. */
		if (out->map == 0 && (op == 0xf6 || op == 0xf7) && reg < 2)
			what |= op == 0xf6 ? B : Z;
		immediate(&s, out, what);
	}
	if (!ok || s.at > s.len)
		return 0;
	out->len = (uint8_t)s.at;
	return out->len;
}
