/* SPDX-License-Identifier: MIT */
/*
 * Power cuts while a publisher works on his repository, in lives with processes that are killed and syncs that fail: what
 * readers see is a release that was published, whole, never an older one than was promised; and publishing goes on.
 *
 * That the test sees is shown by leaving out each sync of it in turn. (A sync that is only done too late need not show: until
 * the head is replaced nothing is promised, and a document that does not hold what it should is written again.)
 *
 *     AYNI_CRASH_STATES=n   how many states to look at
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/fault/store/publish.h"
#include "tests/support/fs_crash.h"
#include "tests/support/fs_fault.h"
#include "tests/support/place.h"
#include "tests/support/store_kit.h"

#ifdef __SANITIZE_ADDRESS__
#define STATES 200
#define STEP   4
#else
#define STATES 1500
#define STEP   1
#endif
#define WHY       1400
#define PER_LIFE  25
#define SERIALS   3
#define LIVES     12 /* in which syncs are collected, and mutants looked for, */
#define CUTS_EACH 40 /* with so many cuts in each */

struct life {
	struct fs_crash c;
	uint32_t end[SERIALS + 1]; /* calls when it was published */
	unsigned kills, failures;
};

static struct ay_fs *quiet(struct fs_fault *f)
{
	fs_fault_init(f);
	f->syncs_off = true;
	return &f->fs;
}

static int get(struct ay_repo *r, enum ay_repo_kind kind, uint32_t serial, struct ay_err *err)
{
	struct ay_digest d;
	AY_FREE uint8_t *data = NULL;
	size_t len;

	ay_digest_mem(&serial, sizeof(serial), &d);
	return ay_repo_get(r, kind, &d, sizeof(serial), &data, &len, err);
}

static int count(void *ctx, const uint8_t *data, size_t len)
{
	(void)data;
	*(unsigned *)ctx += len == sizeof(uint32_t);
	return 0;
}

/* What readers see: @serial 0, or a release of which all is there. NULL, or what does not hold. */
static const char *see(const char *path, uint32_t *serial, char why[WHY])
{
	static const enum ay_repo_kind kinds[] = {AY_REPO_MANIFEST, AY_REPO_RELEASE, AY_REPO_BUNDLE};
	struct ay_repo *r = NULL;
	struct ay_err err = {0};
	uint8_t head[AY_HEAD_SIZE];
	AY_FREE uint8_t *root = NULL;
	struct ay_head h;
	unsigned offers = 0;
	size_t len;

	*serial = 0;
	int rc = ay_repo_open(ay_fs_real(), path, false, &r, &err);
	if (rc == AY_ESTATE)
		return NULL;
	if (rc == 0 && (rc = ay_repo_get_head(r, "xo/stable", head, &err)) == -ENOENT) {
		ay_repo_close(r);
		return NULL;
	}
	if (rc == 0 && (rc = ay_head_parse(head, sizeof(head), &h, &err)) == 0)
		*serial = h.serial;
	for (size_t i = 0; rc == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		rc = get(r, kinds[i], h.serial, &err);
	if (rc == 0)
		rc = ay_repo_get_root(r, 0, NULL, &root, &len, &err);
	if (rc == 0) {
		const struct ay_digest to = {{(uint8_t)h.serial}};
		rc = ay_repo_each_offer(r, &to, count, &offers, &err);
	}
	ay_repo_close(r);
	if (rc < 0 || offers != 1) {
		snprintf(why, WHY, "release %u: %u offers; %s", *serial, offers, err.msg);
		return why;
	}
	return NULL;
}

static void tell(struct life *l, const char *disk, uint64_t seed, const char *mutant,
		 struct crash_sites *sites)
{
	char path[300];
	struct ay_prng r;

	memset(l, 0, sizeof(*l));
	fs_crash_init(&l->c, disk);
	l->c.mutant = mutant;
	l->c.sites = sites;
	snprintf(path, sizeof(path), "%s/lib/repo", disk);
	ay_prng_init(&r, seed);
	for (uint32_t serial = 1; serial <= SERIALS; serial++) {
		uint64_t mishap = seed % 3 ? ay_prng_below(&r, 4) : 3;
		uint32_t n = 1 + (uint32_t)ay_prng_below(&r, 30);
		l->c.kill_at = mishap == 0 ? l->c.calls + n : 0;
		l->c.kill_at_sync = mishap == 1 ? 1 + n % 8 : 0;
		l->c.fail_at = mishap == 2 ? l->c.calls + n : 0;
		l->c.names_too = n % 2;
		for (int tries = 0;; tries++) {
			struct ay_err err = {0};
			fs_crash_label(&l->c, serial == 1 ? "first" : "next");
			int rc = publish(&l->c.fs, path, serial, &err);
			bool met = l->c.dead || l->c.failed;
			if (rc == 0 && !l->c.dead)
				break;
			l->kills += l->c.dead;
			l->failures += l->c.failed;
			l->c.dead = l->c.failed = false;
			l->c.kill_at = l->c.kill_at_sync = l->c.fail_at = 0;
			if (!met || tries > 2)
				fail_msg("seed %llu, release %u: %s", (unsigned long long)seed, serial,
					 err.msg);
		}
		l->c.kill_at = l->c.kill_at_sync = l->c.fail_at = 0;
		l->c.failed = false;
		l->end[serial] = l->c.calls;
	}
}

/* Cut the power, look, go on. NULL, or what does not hold. */
static const char *cut_and_look(const struct life *l, struct kit *k, const struct crash_cut *cut,
				char why[WHY])
{
	char path[300];
	uint32_t promised = 0, seen;
	struct fs_fault f;

	kit_rm(k, "after");
	kit_mkdir(k, "after", 0755);
	AY_CLOSE int fd = openat(k->fd, "after", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	crash_build(&l->c.log, cut, fd);
	snprintf(path, sizeof(path), "%s/after/lib/repo", k->dir);
	while (promised < SERIALS && l->end[promised + 1] <= cut->at)
		promised++;
	const char *bad = see(path, &seen, why);
	if (bad)
		return bad;
	if (seen != promised && (promised == SERIALS || seen != promised + 1)) {
		snprintf(why, WHY, "release %u is seen, %u was promised", seen, promised);
		return why;
	}
	/* Older ones are there too: who is behind goes by them. */
	for (uint32_t next = seen ? seen : 1; next <= SERIALS + 1; next++) {
		struct ay_err err = {0};
		int rc = publish(quiet(&f), path, next, &err);
		if (rc < 0) {
			snprintf(why, WHY, "release %u again: %s", next, err.msg);
			return why;
		}
		if ((bad = see(path, &seen, why)))
			return bad;
	}
	struct ay_repo *r = NULL;
	struct ay_err err = {0};
	int rc = ay_repo_open(ay_fs_real(), path, false, &r, &err);
	for (uint32_t old = 1; rc == 0 && old <= SERIALS; old++)
		rc = get(r, AY_REPO_RELEASE, old, &err);
	ay_repo_close(r);
	return rc < 0 ? (snprintf(why, WHY, "an older release is gone: %s", err.msg), why) : NULL;
}

static void disk_new(struct kit *k, char disk[300])
{
	kit_rm(k, "disk");
	kit_mkdir(k, "disk", 0755);
	kit_mkdir(k, "disk/lib", 0755);
	snprintf(disk, 300, "%s/disk", k->dir);
}

static void power_is_cut_while_publishing(void **arg)
{
	const char *env = getenv("AYNI_CRASH_STATES");
	const uint64_t states = env && *env ? strtoull(env, NULL, 10) : STATES;
	unsigned kills = 0, failures = 0;
	struct kit *k = *arg;
	char disk[300], why[WHY];

	for (uint64_t n = 0; n < states;) {
		const uint64_t seed = n / PER_LIFE;
		struct life l;
		disk_new(k, disk);
		tell(&l, disk, seed, NULL, NULL);
		for (; n < states && n / PER_LIFE == seed; n++) {
			struct crash_cut cut = {0};
			struct ay_prng r;
			ay_prng_init(&r, n);
			cut.at = (uint32_t)ay_prng_below(&r, l.c.calls + 1);
			cut.seed = ay_prng_next(&r);
			cut.flavour = ay_prng_below(&r, 4) == 0 ? CRASH_ORDERED : CRASH_STRICT;
			cut.choice = (enum crash_choice)ay_prng_below(&r, CRASH_SUSPECTS_LOST);
			if (cut_and_look(&l, k, &cut, why)) {
				crash_tell(&l.c.log, &cut);
				fail_msg("state %llu: %s", (unsigned long long)n, why);
			}
		}
		kills += l.kills;
		failures += l.failures;
		fs_crash_release(&l.c);
	}
	print_message("%llu states, %u publishers killed, %u syncs failed; all hold\n",
		      (unsigned long long)states, kills, failures);
	assert_true(kills > 0 && failures > 0);
}

/* A cut while something is not durable only because of the mutant. */
static bool draw_cut(const struct life *l, struct ay_prng *r, struct crash_cut *cut)
{
	const struct crash_change *c = crash_suspect(&l->c.log, r);

	if (!c)
		return false;
	uint32_t end = c->durable == CRASH_NEVER ? l->c.calls : c->durable - 1;
	*cut = (struct crash_cut){.at = c->suspect, .seed = ay_prng_next(r), .choice = CRASH_SUSPECTS_LOST};
	if (end > c->suspect)
		cut->at += (uint32_t)ay_prng_below(r, end - c->suspect + 1);
	return true;
}

static bool caught(struct kit *k, const char *mutant, struct crash_sites *sites, bool *met)
{
	char disk[300], why[WHY];

	for (uint64_t seed = 0; seed < LIVES; seed++) {
		struct crash_cut cut;
		struct ay_prng r;
		struct life l;
		bool found = false;
		disk_new(k, disk);
		tell(&l, disk, seed, mutant, sites);
		*met |= l.c.mutated;
		ay_prng_init(&r, seed);
		for (unsigned n = 0; n < CUTS_EACH && !found && draw_cut(&l, &r, &cut); n++)
			found = cut_and_look(&l, k, &cut, why) != NULL;
		fs_crash_release(&l.c);
		if (found)
			return true;
	}
	return false;
}

static void each_sync_left_out(void **arg)
{
	struct kit *k = *arg;
	struct crash_sites sites = {.n = 0};
	char *names[100], disk[300];
	unsigned n = 0, tried = 0, bad = 0;

	for (uint64_t seed = 0; seed < LIVES; seed++) {
		struct life l;
		disk_new(k, disk);
		tell(&l, disk, seed, NULL, &sites);
		for (unsigned i = 0; i < l.c.n_syncs; i++) {
			unsigned at = 0;
			while (at < n && strcmp(names[at], l.c.syncs[i].name) != 0)
				at++;
			assert_true(at < 100);
			if (at == n)
				names[n++] = strdup(l.c.syncs[i].name);
		}
		fs_crash_release(&l.c);
	}
	for (unsigned i = 0; i < n; i += STEP) {
		bool met = false, found = caught(k, names[i], &sites, &met);
		tried += met;
		if (met && !found) {
			print_error("%s: left out is not caught by any cut\n", names[i]);
			bad++;
		}
	}
	print_message("%u syncs, %u of them left out; %u not caught\n", n, tried, bad);
	for (unsigned i = 0; i < n; i++)
		free(names[i]);
	assert_true(tried > 0);
	assert_int_equal(bad, 0);
}

static int setup(void **arg)
{
	struct kit *k = calloc(1, sizeof(*k));

	kit_init(k);
	*arg = k;
	return 0;
}

static int teardown(void **arg)
{
	kit_release(*arg);
	free(*arg);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(power_is_cut_while_publishing),
					   cmocka_unit_test(each_sync_left_out)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
