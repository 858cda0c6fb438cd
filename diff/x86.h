/* SPDX-License-Identifier: MIT */
/*
 * diff/x86.h - the length of an x86-64 instruction and where its addresses are (internal to diff/).
 */
#ifndef AYNI_DIFF_X86_H
#define AYNI_DIFF_X86_H

#include <stddef.h>
#include <stdint.h>

#define AY__X86_MAX 15 /* bytes of an instruction at most */

enum ay__x86_disp {
	AY__DISP_NONE = 0, /* none of 4 bytes */
	AY__DISP_RIP,      /* counts from the instruction's end */
	AY__DISP_ABS,      /* alone: an absolute address */
	AY__DISP_BASE,     /* added to a register: perhaps a table's address */
};

struct ay__x86 {
	uint8_t len;
	uint8_t disp_at; /* where the 4 bytes of displacement are, when .disp says that there are */
	uint8_t imm_at, imm_len;
	uint8_t opcode;
	uint8_t map;    /* 0 one byte, 1 0F, 2 0F38, 3 0F3A, others VEX, EVEX */
	uint8_t is_rel; /* the immediate is a branch's distance, counted from the instruction's end */
	enum ay__x86_disp disp;
};

/**
 * ay__x86_decode() - look at the instruction that begins at @p.
 * @len: bytes there; fewer than AY__X86_MAX only where the code ends.
 *
 * Return: its length, *@out filled in; 0: none is known that begins so, or it is cut off.
 */
unsigned ay__x86_decode(const uint8_t *p, size_t len, struct ay__x86 *out);

#endif
