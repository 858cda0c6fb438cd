/* SPDX-License-Identifier: MIT */
/*
 * Is the simulation itself right? A good run passes and is repeated exactly by its seed; each mutant, an error put in on
 * purpose, is caught; the disk in memory forgets what a real one forgets, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "sim/fakedisk.h"
#include "sim/run.h"
#include "sim/world.h"

#define S         ((uint64_t)1000000000)
#define SEEDS_MAX 12 /* within so many a mutant is caught */
#define FEW       8  /* laptops; enough to be wrong together */
#define SIZE      ((size_t)3 * AY_PIECE_SIZE + 70000)
#define BLOCKS    ((uint32_t)((SIZE + AY_BLOCK_SIZE - 1) / AY_BLOCK_SIZE))

/* ---- runs */

static struct ay_run_result run(uint64_t seed, unsigned mutants)
{
	struct ay_run_config c = {.seed = seed, .nodes = FEW, .mutants = mutants};
	struct ay_run_result r;

	ay_run(&c, &r);
	return r;
}

static void test_good_runs_pass(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct ay_run_result r = run(seed, 0);
		if (!r.ok)
			print_error("seed %u: %s: %s\n", (unsigned)seed, r.node, r.broken);
		assert_true(r.ok);
		assert_true(r.blocks > 0 && r.steps > 1000);
		/* Each machine was ended twice, or the seed is too gentle to prove anything. */
		assert_true(r.starts > 2 * FEW);
	}
}

static void test_equal_seeds_give_equal_runs(void **state)
{
	(void)state;
	struct ay_run_result a = run(5, 0), b = run(5, 0), c = run(6, 0);

	assert_true(a.hash == b.hash);
	assert_true(a.steps == b.steps && a.at_ns == b.at_ns && a.datagrams == b.datagrams);
	assert_false(a.hash == c.hash);
}

/* Without faults the school sends little more than one copy, whatever the number of laptops. */
static void test_calm_class_takes_few_copies(void **state)
{
	(void)state;
	struct ay_run_config c = {.seed = 5, .nodes = 20, .calm = true};
	struct ay_run_result r;

	ay_run(&c, &r);
	assert_true(r.ok);
	assert_true(r.school_copies >= 1.0 && r.school_copies < 2.0);
	assert_true(r.blocks_twice * 10 < r.blocks);
}

static void test_silence_is_measured(void **state)
{
	(void)state;
	struct ay_run_config c = {.seed = 4, .nodes = FEW, .calm = true};
	struct ay_run_result r;

	ay_run(&c, &r);
	assert_true(r.ok);
	assert_true(r.silence_max > 0 && r.silence_max <= AY_RUN_SILENCE_MAX);
}

static void caught(const char *name, const char *by)
{
	unsigned mutant = ay_mutant_by_name(name);

	assert_true(mutant != 0);
	for (uint64_t seed = 1; seed <= SEEDS_MAX; seed++) {
		struct ay_run_result r = run(seed, mutant);
		if (!r.ok && strstr(r.broken, by))
			return;
	}
	print_error("mutant %s was not caught by \"%s\" in %d seeds\n", name, by, SEEDS_MAX);
	fail();
}

static void test_promise_before_durable_is_caught(void **state)
{
	(void)state;
	caught("promise", "durable");
}

static void test_fetching_again_is_caught(void **state)
{
	(void)state;
	caught("refetch", "again, which it had verified");
}

static void test_unchecked_blocks_are_caught(void **state)
{
	(void)state;
	caught("any-block", "not the publisher's");
}

static void test_strangers_signature_is_caught(void **state)
{
	(void)state;
	caught("stranger-root", "never signed");
}

static void test_forgotten_head_is_caught(void **state)
{
	(void)state;
	caught("forget-head", "was promised to be durable");
}

static void test_forgotten_tree_is_caught(void **state)
{
	(void)state;
	caught("forget-tree", "was installed");
}

static void test_standstill_is_caught(void **state)
{
	(void)state;
	caught("lost-answer", "after all was healed");
}

static void test_storm_is_caught(void **state)
{
	(void)state;
	caught("storm", "within a minute");
}

static void test_every_mutant_has_a_test(void **state)
{
	(void)state;
	unsigned n = 0;

	while (ay_mutant_name(n))
		n++;
	assert_int_equal(n, 8);
	assert_int_equal(ay_mutant_by_name("no such thing"), 0);
}

/* ---- the disk in memory */

struct disk {
	struct ay_fakedisk disk;
	struct ay_fakebundle *bundle;
	struct ay_merkle *truth;
	uint8_t *data;
	struct ay_prng prng;
};

static void disk_begin(struct disk *d)
{
	memset(d, 0, sizeof(*d));
	ay_prng_init(&d->prng, 7);
	d->data = test_malloc(SIZE);
	for (size_t i = 0; i < SIZE; i++)
		d->data[i] = (uint8_t)ay_prng_next(&d->prng);
	assert_int_equal(ay_merkle_build_mem(d->data, SIZE, &d->truth), 0);
	d->bundle = ay_fakedisk_begin(&d->disk, ay_merkle_digest(d->truth), SIZE);
	ay_fakebundle_resume(d->bundle, false);
}

static void disk_end(struct disk *d)
{
	ay_fakedisk_release(&d->disk);
	ay_merkle_free(d->truth);
	test_free(d->data);
}

static int write_block(struct disk *d, uint32_t i, uint64_t now_ns)
{
	struct ay_slice s = {d->data + (size_t)i * AY_BLOCK_SIZE, ay_block_len(SIZE, i)};

	return ay_fakebundle_write(d->bundle, i, s, now_ns, false);
}

static void add_hashes(struct disk *d, uint64_t now_ns)
{
	for (unsigned level = ay_merkle_levels(d->truth); level-- > 0;)
		for (uint32_t i = 0; i < ay_merkle_width(d->truth, level); i++)
			assert_int_equal(ay_fakebundle_add_hashes(d->bundle, level, i,
								  ay_merkle_get(d->truth, level, i), now_ns),
					 0);
}

static void restart(struct disk *d, bool power, uint64_t now_ns)
{
	ay_fakebundle_close(d->bundle);
	if (power)
		ay_fakebundle_power_cut(d->bundle, now_ns, &d->prng);
	ay_fakebundle_resume(d->bundle, false);
}

static void test_blocks_are_checked(void **state)
{
	(void)state;
	struct disk d;

	disk_begin(&d);
	assert_int_equal(write_block(&d, 0, S), -EAGAIN);
	add_hashes(&d, S);
	assert_int_equal(write_block(&d, 0, S), 0);
	d.data[AY_BLOCK_SIZE] ^= 1;
	assert_int_equal(write_block(&d, 1, S), AY_EDIGEST);
	assert_int_equal(ay_fakebundle_write(d.bundle, BLOCKS, (struct ay_slice){d.data, 1}, S, false),
			 AY_EFORMAT);
	assert_int_equal(ay_fakebundle_write(d.bundle, 2, (struct ay_slice){d.data, 1}, S, false),
			 AY_EFORMAT);
	assert_int_equal(d.bundle->n_had, 1);
	disk_end(&d);
}

static void test_kill_loses_nothing(void **state)
{
	(void)state;
	struct disk d;

	disk_begin(&d);
	add_hashes(&d, 5 * S);
	for (uint32_t i = 0; i < BLOCKS; i += 2)
		assert_int_equal(write_block(&d, i, 5 * S + i), 0);
	uint32_t had = d.bundle->n_had;
	restart(&d, false, 5 * S + 100);
	assert_int_equal(d.bundle->n_had, had);
	disk_end(&d);
}

static void test_power_cut_loses_only_what_is_young(void **state)
{
	(void)state;
	struct disk d;

	disk_begin(&d);
	add_hashes(&d, 5 * S);
	for (uint32_t i = 0; i < BLOCKS / 2; i++)
		assert_int_equal(write_block(&d, i, 5 * S + i), 0);
	for (uint32_t i = BLOCKS / 2; i < BLOCKS; i++)
		assert_int_equal(write_block(&d, i, 8 * S), 0);
	restart(&d, true, 9 * S);
	for (uint32_t i = 0; i < BLOCKS / 2; i++)
		assert_true(d.bundle->bitmap[i / 8] >> (i % 8) & 1);
	assert_true(d.bundle->n_had >= BLOCKS / 2 && d.bundle->n_had < BLOCKS);
	/* What was lost comes again, and counts. */
	for (uint32_t i = 0; i < BLOCKS; i++)
		assert_int_equal(write_block(&d, i, 20 * S), 0);
	assert_int_equal(d.bundle->n_had, BLOCKS);
	assert_memory_equal(d.bundle->data, d.data, SIZE);
	disk_end(&d);
}

/* ---- the publisher */

static void test_world_is_signed_for_real(void **state)
{
	(void)state;
	struct ay_world *w = ay_world_new(1, 1, 1000, 2000), *stranger = ay_world_new(1, 2, 1000, 2000);
	struct ay_root *root = NULL, *next = NULL;
	struct ay_release r;
	struct ay_offer o;
	struct ay_head h;

	ay_world_publish(w, 1, 100);
	const struct ay_world_bundle *b = ay_world_bundle(w, 0, 1);
	ay_world_publish(stranger, 1, 100);
	assert_int_equal(ay_trust_first_root(w->roots[0].data, w->roots[0].len, &root, NULL), 0);
	assert_int_equal(ay_trust_release(root, AY_WORLD_BRANCH, w->releases[0].doc.data,
					  w->releases[0].doc.len, &r, NULL),
			 0);
	assert_int_equal(ay_trust_offer(root, AY_WORLD_BRANCH, b->offer.data, b->offer.len, &o, NULL), 0);
	assert_true(ay_digest_eq(&o.bundle, &b->digest) && o.bundle_size == b->size);
	assert_int_equal(ay_trust_head(root, w->head, AY_HEAD_SIZE, &h, NULL), 0);
	assert_int_equal(
		ay_trust_head_names(root, &h, w->releases[0].doc.data, w->releases[0].doc.len, &r, NULL), 0);
	assert_true(ay_trust_head(root, stranger->head, AY_HEAD_SIZE, &h, NULL) < 0);
	assert_true(ay_trust_release(root, AY_WORLD_BRANCH, stranger->releases[0].doc.data,
				     stranger->releases[0].doc.len, &r, NULL) < 0);
	ay_world_rotate(w);
	assert_int_equal(ay_trust_next_root(root, w->roots[1].data, w->roots[1].len, &next, NULL), 0);
	ay_root_free(root);
	ay_root_free(next);
	ay_world_free(w);
	ay_world_free(stranger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_runs_pass),
		cmocka_unit_test(test_equal_seeds_give_equal_runs),
		cmocka_unit_test(test_calm_class_takes_few_copies),
		cmocka_unit_test(test_silence_is_measured),
		cmocka_unit_test(test_promise_before_durable_is_caught),
		cmocka_unit_test(test_fetching_again_is_caught),
		cmocka_unit_test(test_unchecked_blocks_are_caught),
		cmocka_unit_test(test_strangers_signature_is_caught),
		cmocka_unit_test(test_forgotten_head_is_caught),
		cmocka_unit_test(test_forgotten_tree_is_caught),
		cmocka_unit_test(test_standstill_is_caught),
		cmocka_unit_test(test_storm_is_caught),
		cmocka_unit_test(test_every_mutant_has_a_test),
		cmocka_unit_test(test_blocks_are_checked),
		cmocka_unit_test(test_kill_loses_nothing),
		cmocka_unit_test(test_power_cut_loses_only_what_is_young),
		cmocka_unit_test(test_world_is_signed_for_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
