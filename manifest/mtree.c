/* SPDX-License-Identifier: MIT */
/*
 * manifest/mtree.c - a manifest as mtree(5), for people and their tools.
 *
 * Names are escaped as vis(3) does with octal digits. mtree has no word for an
 * fs-verity digest and none for xattrs: the digest travels as a tag, which other
 * programs pass over, and xattrs are left out.
 */
#include <string.h>

#include "manifest/manifest.h"

static void put_vis(struct ay_buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)s[i];
		if (c <= 0x20 || c >= 0x7f || strchr("\\#*?[=", c))
			ay_put_fmt(out, "\\%03o", c);
		else
			ay_put_u8(out, c);
	}
}

static const char *type_name(enum ay_entry_type type)
{
	switch (type) {
	case AY_ENTRY_FILE:
		return "file";
	case AY_ENTRY_DIR:
		return "dir";
	case AY_ENTRY_SYMLINK:
		return "link";
	case AY_ENTRY_CHAR:
		return "char";
	case AY_ENTRY_BLOCK:
		return "block";
	case AY_ENTRY_FIFO:
		return "fifo";
	}
	return "file";
}

static void put_entry(struct ay_buf *out, const struct ay_entry *e)
{
	char hex[AY_DIGEST_HEX + 1];

	ay_put_u8(out, '.');
	if (e->path_len > 1)
		put_vis(out, e->path, e->path_len);
	ay_put_fmt(out, " type=%s mode=%04o uid=%u gid=%u time=%lld.%09u", type_name(e->type), e->mode,
		   e->uid, e->gid, (long long)e->mtime_s, e->mtime_ns);
	if (e->type == AY_ENTRY_FILE) {
		ay_put_fmt(out, " size=%llu tags=fsverity-sha256:%s", (unsigned long long)e->size,
			   ay_digest_hex(&e->digest, hex));
	} else if (e->type == AY_ENTRY_SYMLINK) {
		ay_put_str(out, " link=");
		put_vis(out, e->target, e->target_len);
	} else if (e->type == AY_ENTRY_CHAR || e->type == AY_ENTRY_BLOCK) {
		ay_put_fmt(out, " device=linux,%u,%u", e->dev_major, e->dev_minor);
	}
	ay_put_u8(out, '\n');
}

int ay_manifest_mtree(struct ay_manifest_reader *r, ay_write_fn write, void *ctx, struct ay_err *err)
{
	struct ay_buf out;
	struct ay_entry e;
	int n;

	ay_buf_init(&out, 0);
	ay_put_str(&out, "#mtree\n");
	while ((n = ay_manifest_next(r, &e, err)) > 0) {
		put_entry(&out, &e);
		if (out.len < 65536)
			continue;
		n = ay_buf_status(&out);
		if (!n)
			n = write(ctx, out.data, out.len);
		if (n) {
			ay_err_set(err, n, "writing mtree: %s", ay_strerror(n));
			break;
		}
		ay_buf_reset(&out);
	}
	if (!n) {
		n = ay_buf_status(&out);
		if (!n)
			n = write(ctx, out.data, out.len);
		if (n)
			ay_err_set(err, n, "writing mtree: %s", ay_strerror(n));
	}
	ay_buf_release(&out);
	return n;
}
