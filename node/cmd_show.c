/* SPDX-License-Identifier: MIT */
/*
 * `ayni show`: any file of Ayni's, in words. One table says how each kind is
 * recognised and printed; the printing itself stands on the same decoders that
 * everybody else uses, so what cannot be read there cannot be shown here.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "diff/bundle.h"
#include "manifest/delta.h"
#include "manifest/trust.h"
#include "node/cmd.h"
#include "node/progress.h"

#define SHOW_MAX (1ull << 30) /* manifests are the largest that is read whole */

struct args {
	const char *path, *split, *root_path;
	int mtree;
	struct ay_root *root; /* to check signatures against; may be NULL */
};

static void print_key_id(const uint8_t id[8])
{
	/* minisign prints key ids as a little-endian number. */
	for (int i = 7; i >= 0; i--)
		printf("%02X", id[i]);
}

/* ---- signed text ---- */

static int write_split(const struct args *a, const struct ay_envelope *env, struct ay_err *err)
{
	int r = ay_write_output(a->split, env->text.data, env->text.len, 0644, true, err);
	if (r == 0)
		printf("text: %s\n", a->split);
	for (unsigned i = 0; r == 0 && i < env->n_signatures; i++) {
		AY_FREE char *name = NULL;
		int n = i == 0 ? asprintf(&name, "%s.minisig", a->split)
			       : asprintf(&name, "%s.minisig.%u", a->split, i);
		if (n < 0) {
			name = NULL;
			return ay_err_set(err, -ENOMEM, "out of memory");
		}
		r = ay_write_output(name, env->signatures[i].file.data, env->signatures[i].file.len, 0644,
				    true, err);
		if (r == 0)
			printf("signature: %s\n", name);
	}
	return r;
}

static const struct ay_public_key *key_of(const struct ay_root *root, const uint8_t id[8])
{
	for (unsigned i = 0; root && i < root->n_keys; i++) {
		if (memcmp(root->keys[i].id, id, 8) == 0)
			return &root->keys[i];
	}
	return NULL;
}

/* Believed by the rules of the one place where that is decided, not by "some signature fits". */
static int check_trust(const struct args *a, const struct ay_envelope *env, const char *data, size_t len,
		       struct ay_err *err)
{
	static const char release[] = "ayni-release ", offer[] = "ayni-offer ", root[] = "ayni-root ";
	struct ay_release rel;
	struct ay_offer off;
	const char *text = (const char *)env->text.data;
	if (env->text.len > sizeof(release) && memcmp(text, release, sizeof(release) - 1) == 0)
		return ay_trust_release(a->root, NULL, data, len, &rel, err);
	if (env->text.len > sizeof(offer) && memcmp(text, offer, sizeof(offer) - 1) == 0)
		return ay_trust_offer(a->root, NULL, data, len, &off, err);
	if (env->text.len > sizeof(root) && memcmp(text, root, sizeof(root) - 1) == 0) {
		struct ay_root *next = NULL;
		int r = ay_trust_next_root(a->root, data, len, &next, err);
		ay_root_free(next);
		return r == AY_ENOTHING ? 0 : r;
	}
	return ay_err_set(err, AY_EFORMAT, "this text is no root, release or offer");
}

static int show_envelope(const struct args *a, const char *data, size_t len, struct ay_err *err)
{
	struct ay_envelope env;
	int r = ay_envelope_parse(data, len, &env, err);
	if (r < 0)
		return r;
	if (a->split)
		return write_split(a, &env, err);
	struct ay_digest d;
	char hex[AY_DIGEST_HEX + 1];
	ay_digest_mem(data, len, &d);
	fwrite(env.text.data, 1, env.text.len, stdout);
	printf("\ndocument: %s %zu\n", ay_digest_hex(&d, hex), len);
	for (unsigned i = 0; i < env.n_signatures; i++) {
		const struct ay_public_key *pk = key_of(a->root, env.signatures[i].key_id);
		printf("signature: key ");
		print_key_id(env.signatures[i].key_id);
		puts(!a->root                               ? ", not checked (give --root)"
		     : !pk                                  ? ", a key that the root does not know"
		     : ay_envelope_verify(&env, i, pk) == 0 ? ", good"
							    : ", BAD");
	}
	if (!a->root)
		return 0;
	r = check_trust(a, &env, data, len, err);
	if (r == 0)
		puts("believed: yes");
	return r;
}

/* ---- head ---- */

static int show_head(const struct args *a, const char *data, size_t len, struct ay_err *err)
{
	struct ay_head h;
	char hex[AY_DIGEST_HEX + 1];
	int r = ay_head_parse((const uint8_t *)data, len, &h, err);
	if (r < 0)
		return r;
	printf("ayni-head 1\nbranch-id: ");
	for (unsigned i = 0; i < sizeof(h.branch.b); i++)
		printf("%02x", h.branch.b[i]);
	printf("\nroot-epoch: %u\nserial: %u\nmin-serial: %u\nrollout: %u %%\nrelease: %s %u\nsigned-at: %" PRIu64
	       "\nsignature: key ",
	       h.root_epoch, h.serial, h.min_serial, h.rollout, ay_digest_hex(&h.release, hex),
	       h.release_size, h.signed_at_s);
	print_key_id(h.key_id);
	puts(a->root ? "" : ", not checked (give --root)");
	if (!a->root)
		return 0;
	r = ay_trust_head(a->root, (const uint8_t *)data, len, &h, err);
	if (r == 0)
		puts("believed: yes");
	return r;
}

/* ---- manifests ---- */

static int print_out(void *ctx, const void *data, size_t len)
{
	(void)ctx;
	return fwrite(data, 1, len, stdout) == len ? 0 : -EIO;
}

static int show_manifest(const struct args *a, const char *data, size_t len, struct ay_err *err)
{
	struct ay_manifest_reader *reader = ay_manifest_reader_new_mem(data, len);
	if (!reader)
		return ay_err_set(err, -ENOMEM, "out of memory");
	int r = 0;
	struct ay_digest d;
	uint64_t size = 0, files = 0, entries = 0, bytes = 0;
	char hex[AY_DIGEST_HEX + 1], human[32];
	if (a->mtree) {
		r = ay_manifest_mtree(reader, print_out, NULL, err);
	} else {
		struct ay_entry e;
		while ((r = ay_manifest_next(reader, &e, err)) == 1) {
			entries++;
			files += e.type == AY_ENTRY_FILE;
			bytes += e.type == AY_ENTRY_FILE ? e.size : 0;
		}
		if (r == 0) {
			fwrite(data, 1, len, stdout);
			ay_manifest_reader_digest(reader, &d, &size);
			printf("\ndocument: %s %" PRIu64 "\n%" PRIu64 " entries, %" PRIu64 " files, %s\n",
			       ay_digest_hex(&d, hex), size, entries, files, ay_human_bytes(bytes, human));
		}
	}
	ay_manifest_reader_free(reader);
	return r;
}

static int show_text(const struct args *a, const char *data, size_t len, struct ay_err *err)
{
	(void)a;
	return print_out(NULL, data, len) == 0 ? 0 : ay_err_errno(err, errno, "cannot write");
}

/* A secret key's bytes are never printed: only what may be known of it. */
static int show_key(const struct args *a, const char *data, size_t len, struct ay_err *err)
{
	(void)a;
	struct ay_public_key pk;
	char line[57];
	int r = ay_public_key_parse(data, len, &pk, err);
	if (r < 0)
		return ay_err_wrap(err, r, "not a public key (a secret key is not shown)");
	ay_public_key_line(&pk, line);
	printf("minisign public key ");
	print_key_id(pk.id);
	printf("\n%s\n", line);
	return 0;
}

/* ---- bundles ---- */

struct bundle_totals {
	uint64_t literal_bytes, diff_bytes, literals, diffs;
	uint64_t delta_bytes;
};

static int bundle_header(void *ctx, const struct ay_bundle_header *h, struct ay_err *err)
{
	(void)ctx;
	(void)err;
	char from[AY_DIGEST_HEX + 1], to[AY_DIGEST_HEX + 1], human[32];
	printf("ayni-bundle 1\nfrom: %s%s\nto: %s\nmanifest delta: %" PRIu64
	       " bytes\nunpacked: %s\nrecords: %u\n"
	       "parts: %u of at most %u bytes\n\n%8s %-8s %12s  %s\n",
	       ay_digest_hex(&h->from, from), ay_digest_is_zero(&h->from) ? " (nothing)" : "",
	       ay_digest_hex(&h->to, to), h->delta_size, ay_human_bytes(h->unpacked_size, human),
	       h->n_records, h->n_parts, h->part_limit, "record", "way", "bytes", "target <- base");
	return 0;
}

static int bundle_record(void *ctx, const struct ay_bundle_record *rec, bool *skip, struct ay_err *err)
{
	(void)err;
	struct bundle_totals *t = ctx;
	char target[AY_DIGEST_HEX + 1], base[AY_DIGEST_HEX + 1];
	bool literal = rec->method == AY_METHOD_LITERAL;
	printf("%8u %-8s %12" PRIu64 "  %.16s", rec->index, literal ? "literal" : "bsdiff", rec->size,
	       ay_digest_hex(&rec->target, target));
	for (unsigned i = 0; i < rec->n_bases; i++)
		printf(" <- %.16s (%" PRIu64 ")", ay_digest_hex(&rec->bases[i], base), rec->base_sizes[i]);
	putchar('\n');
	*(literal ? &t->literals : &t->diffs) += 1;
	*(literal ? &t->literal_bytes : &t->diff_bytes) += rec->size;
	*skip = true;
	return 0;
}

static int bundle_part(void *ctx, uint32_t part, uint64_t packed, uint64_t unpacked, struct ay_err *err)
{
	(void)ctx;
	(void)err;
	printf("part %u: %" PRIu64 " bytes, unpacks to %" PRIu64 "\n", part, packed, unpacked);
	return 0;
}

static int show_bundle(int fd, struct ay_err *err)
{
	struct bundle_totals t = {0};
	const struct ay_bundle_sink sink = {
		.ctx = &t, .header = bundle_header, .begin = bundle_record, .part = bundle_part};
	const struct ay_bundle_limits limits = {.memory = UINT64_MAX};
	int r = ay_bundle_read(fd, &limits, &sink, false, err);
	if (r < 0)
		return r;
	char a[32], b[32];
	printf("\n%" PRIu64 " files as differences (%s), %" PRIu64 " whole (%s)\n", t.diffs,
	       ay_human_bytes(t.diff_bytes, a), t.literals, ay_human_bytes(t.literal_bytes, b));
	struct ay_digest d;
	uint64_t size = 0;
	char hex[AY_DIGEST_HEX + 1];
	r = ay_digest_fd(fd, &d, &size);
	if (r == 0)
		printf("document: %s %" PRIu64 "\n", ay_digest_hex(&d, hex), size);
	return r;
}

/* ---- which kind is it ---- */

static const struct kind {
	const char *magic;
	size_t magic_len;
	int (*show)(const struct args *a, const char *data, size_t len,
		    struct ay_err *err); /* NULL: a bundle */
} kinds[] = {
	{"ayni-manifest ", 14, show_manifest},
	{"ayni-manifest-delta ", 20, show_text},
	{"ayni-envelope ", 14, show_envelope},
	{"AyniHd", 6, show_head},
	{"AyniBn", 6, NULL},
	{"untrusted comment: ", 19, show_key},
	{"ayni-store ", 11, show_text},
	{"ayni-repo ", 10, show_text},
};

static int show(const struct args *a, struct ay_err *err)
{
	char start[32] = "";
	AY_CLOSE int fd = open(a->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ay_err_errno(err, errno, "cannot open %s", a->path);
	ssize_t n = pread(fd, start, sizeof(start), 0);
	if (n < 0)
		return ay_err_errno(err, errno, "cannot read %s", a->path);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct kind *k = &kinds[i];
		if ((size_t)n < k->magic_len || memcmp(start, k->magic, k->magic_len) != 0)
			continue;
		if (!k->show) {
			int r = show_bundle(fd, err);
			return r < 0 ? ay_err_wrap(err, r, "%s", a->path) : 0;
		}
		AY_FREE char *data = NULL;
		size_t len = 0;
		int r = ay_read_input(a->path, SHOW_MAX, &data, &len, err);
		if (r == 0)
			r = k->show(a, data, len, err);
		return r < 0 ? ay_err_wrap(err, r, "%s", a->path) : 0;
	}
	return ay_err_set(err, AY_EFORMAT,
			  "%s: not a file of Ayni's: its first bytes are of no kind that is known", a->path);
}

static int each(void *ctx, int val, const char *arg, struct ay_err *err)
{
	(void)err;
	struct args *a = ctx;
	*(val == 'S' ? &a->split : &a->root_path) = arg;
	return 0;
}

static int run(int argc, char **argv, struct ay_err *err)
{
	struct args a = {0};
	int first = 0;
	const struct option longs[] = {{"split", required_argument, NULL, 'S'},
				       {"root", required_argument, NULL, 'R'},
				       {"mtree", no_argument, &a.mtree, 1},
				       {0}};
	int r = ay_options(argc, argv, longs, each, &a, &first, err);
	if (r < 0)
		return r;
	if (argc - first != 1)
		return ay_usage(err, "show", "show needs one file");
	a.path = argv[first];
	if (a.root_path) {
		AY_FREE char *data = NULL;
		size_t len = 0;
		r = ay_read_input(a.root_path, AY_ENVELOPE_MAX, &data, &len, err);
		if (r == 0)
			r = ay_trust_first_root(data, len, &a.root, err);
		if (r < 0)
			return ay_err_wrap(err, r, "--root %s", a.root_path);
	}
	r = show(&a, err);
	ay_root_free(a.root);
	return r;
}

const struct ay_cmd ay_cmd_show = {
	"show",
	"print any file of Ayni's in words",
	"Usage: ayni show [--root FILE] [--split NAME] [--mtree] FILE\n"
	"\n"
	"Recognises manifests, manifest deltas, roots, releases, offers, heads, bundles and public keys.\n"
	"\n"
	"  -R, --root FILE     check signatures against this root; exit code 4 when they are refused\n"
	"  -S, --split NAME    write a signed text to NAME and its signatures to NAME.minisig, NAME.minisig.1, ...:\n"
	"                      `minisign -Vm NAME -p PUBLIC` verifies them\n"
	"      --mtree         print a manifest as mtree(5)\n",
	run,
};
