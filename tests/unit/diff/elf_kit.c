/* SPDX-License-Identifier: MIT */
/* tests/unit/diff/elf_kit.c - sections, one behind the other, and the table that says where. */
#include "elf_kit.h"

#include <string.h>

#include "base/error.h"

static void header(struct ay_buf *h, const struct elf_kit_section *s, uint32_t name)
{
	ay_put_u32(h, name);
	ay_put_u32(h, s->type);
	ay_put_u64(h, s->flags);
	ay_put_u64(h, s->addr);
	ay_put_u64(h, s->at);
	ay_put_u64(h, s->len);
	ay_put_u32(h, s->link);
	ay_put_u32(h, s->info);
	ay_put_u64(h, 16);
	ay_put_u64(h, s->type == 4 || s->type == 2 || s->type == 11 ? 24 : 0);
}

void elf_kit_build(struct elf_kit *kit, struct ay_buf *out)
{
	static const struct elf_kit_section none;
	struct ay_buf headers = {0}, names = {0};
	size_t start = out->len, n = 1;
	static const uint8_t zeros[16];

	ay_put_bytes(out, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0", 16);
	ay_put_u16(out, (uint16_t)kit->type);
	ay_put_u16(out, (uint16_t)kit->machine);
	for (unsigned i = 0; i < 44; i++)
		ay_put_u8(out, 0);
	header(&headers, &none, 0);
	ay_put_u8(&names, 0);
	for (; n < KIT_SECTIONS - 1 && kit->sections[n].name; n++) {
		struct elf_kit_section *s = &kit->sections[n];

		s->at = out->len - start;
		header(&headers, s, (uint32_t)names.len);
		ay_put_bytes(&names, s->name, strlen(s->name) + 1);
		if (s->type != 8)
			ay_put_bytes(out, s->data, s->len);
		ay_put_bytes(out, zeros, (0 - (out->len - start)) % 16);
	}
	struct elf_kit_section last = {.type = 3, .at = out->len - start};
	uint32_t name = (uint32_t)names.len;
	ay_put_bytes(&names, ".shstrtab", 10);
	last.len = names.len;
	header(&headers, &last, name);
	ay_put_bytes(out, names.data, names.len);
	ay_put_bytes(out, zeros, (0 - (out->len - start)) % 16);
	uint64_t shoff = out->len - start;
	ay_put_bytes(out, headers.data, headers.len);
	AY_ASSERT(ay_buf_status(out) == 0 && ay_buf_status(&headers) == 0 && ay_buf_status(&names) == 0);
	memcpy(out->data + start + 40, &shoff, 8);
	out->data[start + 52] = out->data[start + 58] = 64;
	out->data[start + 60] = (uint8_t)(n + 1);
	out->data[start + 62] = (uint8_t)n;
	ay_buf_release(&headers);
	ay_buf_release(&names);
}
