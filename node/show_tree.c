/* SPDX-License-Identifier: MIT */
/*
 * `ayni show` of what describes trees: manifests, manifest deltas; and of datagrams.
 *
 * Manifests and deltas are text already: they are decoded to the end first, and then printed as they are.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "manifest/delta.h"
#include "node/cmd.h"
#include "node/progress.h"
#include "node/show.h"

static int print_out(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	return fwrite(data, 1, len, stdout) == len ? 0 : -EIO;
}

/* ---- manifests ---- */

struct totals {
	uint64_t entries, files, bytes, added, removed;
};

static int read_manifest(const char *data, size_t len, struct totals *t, struct ay_err *err)
{
	struct ay_manifest_reader *reader = ay_manifest_reader_new_mem(data, len);
	struct ay_entry e;
	int r = reader ? 1 : ay_err_set(err, -ENOMEM, "out of memory");
	while (r > 0 && (r = ay_manifest_next(reader, &e, err)) > 0) {
		t->entries++;
		t->files += e.type == AY_ENTRY_FILE;
		t->bytes += e.type == AY_ENTRY_FILE ? e.size : 0;
	}
	ay_manifest_reader_free(reader);
	return r;
}

static int print_mtree(const char *data, size_t len, struct ay_err *err)
{
	struct ay_manifest_reader *reader = ay_manifest_reader_new_mem(data, len);
	if (!reader)
		return ay_err_set(err, -ENOMEM, "out of memory");
	int r = ay_manifest_mtree(reader, print_out, NULL, err);
	ay_manifest_reader_free(reader);
	return r;
}

int ay_show_manifest(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct totals t = {0};
	struct ay_digest d;
	char hex[AY_DIGEST_HEX + 1], human[32];
	int r = read_manifest(data, len, &t, err);
	if (r < 0)
		return r;
	if (s->mtree)
		return print_mtree(data, len, err);
	ay_digest_mem(data, len, &d);
	if (s->json) {
		json_t *o = json_pack("{s:s, s:I, s:I, s:I}", "type", "manifest", "entries",
				      (json_int_t)t.entries, "files", (json_int_t)t.files, "bytes",
				      (json_int_t)t.bytes);
		ay_json_set_document(o, &d, len);
		return ay_print_json(o, err);
	}
	print_out(NULL, data, len);
	printf("\ndocument: %s %zu\n%" PRIu64 " entries, %" PRIu64 " files, %s\n", ay_digest_hex(&d, hex),
	       len, t.entries, t.files, ay_human_bytes(t.bytes, human));
	return 0;
}

/* ---- manifest deltas ---- */

static int count_line(void *ctx, bool added, const struct ay_entry *e, struct ay_err *err)
{
	struct totals *t = ctx;
	(void)e;
	(void)err;
	*(added ? &t->added : &t->removed) += 1;
	return 0;
}

static long read_slice(void *ctx, void *buf, size_t len)
{
	struct ay_slice *rest = ctx;
	size_t n = len < rest->len ? len : rest->len;
	memcpy(buf, rest->data, n);
	rest->data += n;
	rest->len -= n;
	return (long)n;
}

int ay_show_delta(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct ay_slice rest = {(const uint8_t *)data, len};
	struct ay_digest from, to;
	struct totals t = {0};
	char a[AY_DIGEST_HEX + 1], b[AY_DIGEST_HEX + 1];
	int r = ay_delta_read(read_slice, &rest, &from, &to, count_line, &t, err);
	if (r < 0)
		return r;
	if (s->json)
		return ay_print_json(json_pack("{s:s, s:s, s:s, s:I, s:I}", "type", "manifest-delta", "from",
					       ay_digest_hex(&from, a), "to", ay_digest_hex(&to, b), "added",
					       (json_int_t)t.added, "removed", (json_int_t)t.removed),
				     err);
	print_out(NULL, data, len);
	printf("\n%" PRIu64 " entries come or change, %" PRIu64 " go\n", t.added, t.removed);
	return 0;
}

/* ---- datagrams ---- */

static void print_chat(const struct ay_wire_datagram *d)
{
	printf("%s%s, root %u, %u neighbours\n", d->question ? "question" : "summary",
	       d->incomplete ? ", something is missing" : "", d->root_version, d->neighbours);
	for (unsigned i = 0; i < d->n; i++)
		printf("branch %08x: head %u, has %u\n", d->summaries[i].tag, d->summaries[i].head_serial,
		       d->summaries[i].have_serial);
}

int ay_show_datagram(const struct ay_show *s, const char *data, size_t len, struct ay_err *err)
{
	struct ay_wire_datagram d;
	int r = ay_wire_datagram_get(data, len, &d);
	if (r < 0)
		return ay_err_set(err, r, "not a datagram of version %d: %s", AY_WIRE_VERSION,
				  ay_strerror(r));
	if (s->json) {
		json_t *o = ay_json_datagram(&d);
		struct ay_head h;
		if (d.type == AY_DATAGRAM_HEAD && ay_head_parse(d.head, AY_HEAD_SIZE, &h, NULL) == 0)
			json_object_set_new(o, "head", ay_json_head(&h));
		return ay_print_json(o, err);
	}
	printf("ayni-datagram %d\nfrom: %s, session %016" PRIx64 ", TCP port %u\n", AY_WIRE_VERSION,
	       d.school ? "school" : "laptop", d.session_id, d.port);
	if (d.type == AY_DATAGRAM_HEAD)
		return ay_show_head(s, (const char *)d.head, AY_HEAD_SIZE, err);
	print_chat(&d);
	return 0;
}
