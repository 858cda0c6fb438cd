/* SPDX-License-Identifier: MIT */
/* What the tests of manifest/ share. */
#include "tests/unit/manifest/support.h"

#include <sodium.h>
#include <stdio.h>

void assert_code_(int got, int want, const char *call, const struct ay_err *err, const char *file, int line)
{
	if (got == want)
		return;
	print_error("%s is %d (%s: %s), not %d\n", call, got, ay_error_name(got), err->msg, want);
	_fail(file, line);
}

struct ay_secret_key key_of(char name)
{
	struct ay_secret_key sk;
	uint8_t seed[32], pk[32];

	assert_true(sodium_init() >= 0);
	memset(seed, name, sizeof(seed));
	memcpy(sk.id, (uint8_t[8]){'k', 'e', 'y', '-', (uint8_t)name, 0, 0, 0}, 8);
	crypto_sign_seed_keypair(pk, sk.key, seed);
	return sk;
}

struct ay_public_key pub_of(char name)
{
	struct ay_secret_key sk = key_of(name);
	struct ay_public_key pk;

	ay_secret_key_public(&sk, &pk);
	return pk;
}

void set_role(struct ay_root *root, enum ay_role role, unsigned threshold, const char *names)
{
	struct ay_role_keys *k = &root->roles[role];

	k->threshold = (uint16_t)threshold;
	k->n = 0;
	for (; *names; names++) {
		struct ay_public_key pk = pub_of(*names);
		unsigned i = 0;
		while (i < root->n_keys && memcmp(root->keys[i].id, pk.id, 8))
			i++;
		assert_true(i < root->n_keys);
		k->keys[k->n++] = (uint8_t)i;
	}
}

struct ay_root *fleet_root(uint32_t version)
{
	struct ay_root *root = ay_root_new();

	assert_non_null(root);
	root->version = version;
	memcpy(root->fleet, "test", 5);
	for (const char *p = "ABCDEHIST"; *p; p++)
		root->keys[root->n_keys++] = pub_of(*p);
	set_role(root, AY_ROLE_ROOT, 2, "AB");
	set_role(root, AY_ROLE_RELEASE, 2, "CDE");
	set_role(root, AY_ROLE_HEAD, 1, "HI");
	set_role(root, AY_ROLE_SCHOOL, 1, "ST");
	root->branches = calloc(2, sizeof(root->branches[0]));
	assert_non_null(root->branches);
	root->n_branches = 2;
	root->branches[0] = (struct ay_branch_rule){.name = "one/own", .n_release = 2, .release = {2, 3}};
	root->branches[1] = (struct ay_branch_rule){.name = "one/small",
						    .nosuid = true,
						    .nodev = true,
						    .nocaps = true,
						    .has_uids = true,
						    .uid_low = 1000,
						    .uid_high = 1999};
	root->revoked = calloc(1, sizeof(root->revoked[0]));
	assert_non_null(root->revoked);
	root->n_revoked = 1;
	memcpy(root->revoked[0], key_of('T').id, 8);
	return root;
}

void seal(const void *text, size_t len, const char *signers, struct ay_buf *out)
{
	struct ay_secret_key keys[AY_SIGNATURES_MAX];
	const struct ay_secret_key *ptrs[AY_SIGNATURES_MAX];
	struct ay_err err = {0};
	unsigned n = 0;

	for (; *signers; signers++, n++) {
		keys[n] = key_of(*signers);
		ptrs[n] = &keys[n];
	}
	ay_buf_reset(out);
	assert_code(ay_envelope_write(text, len, ptrs, n, "a test", out, &err), 0);
}

void seal_root(const struct ay_root *root, const char *signers, struct ay_buf *out)
{
	struct ay_buf text = {0};
	struct ay_err err = {0};

	assert_code(ay_root_write(root, &text, &err), 0);
	seal(text.data, text.len, signers, out);
	ay_buf_release(&text);
}

struct ay_release some_release(const char *branch, uint32_t serial)
{
	struct ay_release r = {.serial = serial,
			       .root_epoch = 1,
			       .name = "2026.3 \"spring\"",
			       .date_s = 1700000000,
			       .manifest_size = 4321,
			       .unpacked_size = 123456789,
			       .entries = 77,
			       .min_serial = serial / 2,
			       .notes = "First line.\n\tSecond, with 100 % \xc3\xa9."};

	snprintf(r.branch, sizeof(r.branch), "%s", branch);
	memset(r.manifest.b, 0xa1, sizeof(r.manifest.b));
	return r;
}

struct ay_offer some_offer(const char *branch, bool by_school)
{
	struct ay_offer o = {.bundle_size = 1000000,
			     .unpacked_size = 40000000,
			     .memory = 100 << 20,
			     .cpu = 1,
			     .n_encoders = 2,
			     .encoders = {"xz-5.4", "zstd-1.5"},
			     .by_school = by_school};

	snprintf(o.branch, sizeof(o.branch), "%s", branch);
	memset(o.from.b, 0xf0, sizeof(o.from.b));
	memset(o.to.b, 0x70, sizeof(o.to.b));
	memset(o.bundle.b, 0xb0, sizeof(o.bundle.b));
	return o;
}

/* Few values for each field, so that two trees have much in common. */
static void random_entry(struct ay_prng *r, struct ay_entry *e, struct ay_xattr *x)
{
	static const char *const targets[] = {"a", "../b", "/usr/lib/%weird name\n", "\xff"};
	static const uint8_t value[] = {0, 1, 0xfe};

	e->mode = (uint16_t)ay_prng_below(r, 4) * 0111;
	e->uid = (uint32_t)ay_prng_below(r, 2) * (UINT32_MAX - 1);
	e->gid = (uint32_t)ay_prng_below(r, 2);
	e->mtime_s = ay_prng_below(r, 8) ? 1700000000 : -2;
	e->mtime_ns = (uint32_t)ay_prng_below(r, 2) * 999999999;
	e->size = ay_prng_below(r, 2) * INT64_MAX;
	memset(e->digest.b, (int)ay_prng_below(r, 3), sizeof(e->digest.b));
	e->dev_major = (uint32_t)ay_prng_below(r, 2);
	e->dev_minor = (uint32_t)ay_prng_below(r, 2) * UINT32_MAX;
	if (e->type == AY_ENTRY_SYMLINK) {
		e->mode = 0777;
		e->target = targets[ay_prng_below(r, 4)];
		e->target_len = strlen(e->target);
	}
	if (ay_prng_below(r, 4) == 0) {
		x[0] = (struct ay_xattr){"security.capability", value, ay_prng_below(r, 4)};
		x[1] = (struct ay_xattr){"user.a=b c", value, ay_prng_below(r, 4)};
		e->xattrs = x;
		e->n_xattrs = 1 + ay_prng_below(r, 2);
	}
}

static void random_dir(struct ay_prng *r, struct ay_manifest_writer *w, const char *dir, unsigned depth)
{
	static const char *const names[] = {"\x01", " ",    "a", "a b",      "a-",
					    "ab",   "b%41", "c", "\xc3\xa9", "\xff"};
	struct ay_err err = {0};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (ay_prng_below(r, 2))
			continue;
		char path[128];
		struct ay_xattr x[2];
		struct ay_entry e = {
			.type = (enum ay_entry_type) "fdlcbpfd"[ay_prng_below(r, depth ? 8 : 1)]};
		random_entry(r, &e, x);
		e.path = path;
		e.path_len = (size_t)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_code(ay_manifest_add(w, &e, &err), 0);
		if (e.type == AY_ENTRY_DIR)
			random_dir(r, w, path, depth - 1);
	}
}

void random_tree(struct ay_prng *r, struct ay_buf *out, struct ay_digest *d)
{
	struct ay_err err = {0};
	struct ay_entry top = {.type = AY_ENTRY_DIR, .mode = 0755, .path = "/", .path_len = 1};
	struct ay_manifest_writer *w = ay_manifest_writer_new(ay_write_to_buf, out);

	assert_non_null(w);
	top.mtime_s = (int64_t)ay_prng_below(r, 2);
	assert_code(ay_manifest_add(w, &top, &err), 0);
	random_dir(r, w, "", (unsigned)ay_prng_below(r, 4));
	assert_code(ay_manifest_finish(w, d, NULL, &err), 0);
	ay_manifest_writer_free(w);
}

struct slow slow_of(const void *data, size_t len, size_t step)
{
	return (struct slow){data, len, 0, step, SIZE_MAX};
}

long slow_read(void *ctx, void *buf, size_t len)
{
	struct slow *s = ctx;
	size_t n = s->len - s->at;

	if (s->at >= s->fail_at)
		return -EIO;
	if (n > s->step)
		n = s->step;
	if (n > len)
		n = len;
	memcpy(buf, s->data + s->at, n);
	s->at += n;
	return (long)n;
}

int read_manifest(const void *data, size_t len, struct ay_err *err)
{
	struct ay_manifest_reader *r = ay_manifest_reader_new_mem(data, len);
	struct ay_entry e;
	int n;

	assert_non_null(r);
	while ((n = ay_manifest_next(r, &e, err)) > 0)
		;
	ay_manifest_reader_free(r);
	return n;
}

struct ay_digest digest_of(const struct ay_buf *b)
{
	struct ay_digest d;

	ay_digest_mem(b->data, b->len, &d);
	return d;
}

static void assert_refused_or_same(const uint8_t *data, size_t len, again_fn again, struct ay_buf *out,
				   const char *what, size_t at)
{
	/* An exact allocation, so that a sanitizer sees a read past the end. */
	uint8_t *exact = malloc(len ? len : 1);

	assert_non_null(exact);
	memcpy(exact, data, len);
	ay_buf_reset(out);
	int r = again(exact, len, out);
	bool same = r == 0 && out->len == len && memcmp(out->data, data, len) == 0;
	free(exact);
	if (r >= 0 && !same) {
		print_error("%s at %zu: taken, but its encoding is another\n", what, at);
		fail();
	}
}

void assert_strict(const void *data, size_t len, again_fn again)
{
	struct ay_buf out = {0};
	uint8_t *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, data, len);
	assert_int_equal(again(data, len, &out), 0);
	assert_int_equal(out.len, len);
	assert_memory_equal(out.data, data, len);
	for (size_t i = 0; i < len; i++)
		assert_refused_or_same(copy, i, again, &out, "cut", i);
	for (size_t i = 0; i < len * 8; i++) {
		copy[i / 8] ^= (uint8_t)(1u << (i % 8));
		assert_refused_or_same(copy, len, again, &out, "bit flipped", i);
		copy[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	free(copy);
	ay_buf_release(&out);
}

char *changed(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	char *out = NULL;

	assert_non_null(at);
	assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) >= 0);
	return out;
}
