/* SPDX-License-Identifier: MIT */
/*
 * Power cuts while a store is healed, on a disk that forgets whatever was not synced: under no name is there ever nothing where
 * a file was, and healing again finishes, whichever part of what was done came to the disk.
 *
 * That the test sees is shown by leaving out each sync that healing makes before it gives new inodes their names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tests/fault/store/heal_kit.h"
#include "tests/support/fs_crash.h"

#ifdef __SANITIZE_ADDRESS__
#define STATES        150
#define MUTANT_STATES 0
#else
#define STATES        600
#define MUTANT_STATES 40
#endif

#define FEW_LINKS 3

/* Heal @disk, all calls logged. */
static void heal_logged(struct heal_kit *x, struct kit *disk, struct fs_crash *c)
{
	struct ay_fsck_result res;
	struct ay_err err;

	heal_damaged(x, disk);
	const char *mutant = c->mutant;
	const unsigned links_max = c->links_max;
	fs_crash_init(c, disk->dir);
	c->mutant = mutant;
	c->links_max = links_max;
	fs_crash_label(c, "heal");
	if (heal_with(x, disk, &c->fs, &res, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(res.left, 0);
}

/* What the disk is after the cut @n. NULL, or what does not hold. */
static const char *look(struct heal_kit *x, const struct fs_crash *c, uint64_t n, struct crash_cut *cut)
{
	struct ay_prng r;
	struct kit at;

	ay_prng_init(&r, n);
	/* One in four when all was done and told. */
	*cut = (struct crash_cut){.at = n % 4 ? (uint32_t)ay_prng_below(&r, c->calls + 1) : c->calls,
				  .seed = ay_prng_next(&r),
				  .flavour = ay_prng_below(&r, 4) == 0 ? CRASH_ORDERED : CRASH_STRICT,
				  .choice = (enum crash_choice)ay_prng_below(
					  &r, c->mutant ? CRASH_CHOICES : CRASH_SUSPECTS_LOST)};
	heal_place(x, "cut", &at);
	crash_build(&c->log, cut, at.fd);
	const char *why = heal_lost(x, &at);
	if (!why && cut->at == c->calls)
		why = heal_is_done(x, &at);
	if (!why)
		why = heal_ends_well(x, &at, n % 16 == 0);
	close(at.fd);
	return why;
}

static void cut_while_healing(unsigned links_max, unsigned states)
{
	struct fs_crash c = {.links_max = links_max};
	struct heal_kit x;
	struct kit disk;

	heal_kit_init(&x);
	heal_place(&x, "disk", &disk);
	heal_logged(&x, &disk, &c);
	for (uint64_t n = 1; n <= states; n++) {
		struct crash_cut cut;
		const char *why = look(&x, &c, n, &cut);
		if (why) {
			crash_tell(&c.log, &cut);
			fail_msg("state %llu: %s", (unsigned long long)n, why);
		}
	}
	print_message("%u states of a healing of %u calls, all hold\n", states, c.calls);
	fs_crash_release(&c);
	close(disk.fd);
	heal_kit_release(&x);
}

static void power_is_cut_while_healing(void **arg)
{
	(void)arg;
	cut_while_healing(0, STATES);
}

/* The healed object's links go to a further inode of it (store/spill.h). */
static void and_inodes_may_have_few_links(void **arg)
{
	(void)arg;
	cut_while_healing(FEW_LINKS, STATES / 2);
}

/* Each sync left out in turn. Those that must be caught are. */
static void left_out_syncs_are_seen(void **arg)
{
	struct fs_crash all = {.links_max = FEW_LINKS};
	struct heal_kit x;
	struct kit disk;
	unsigned caught = 0;

	(void)arg;
	heal_kit_init(&x);
	heal_place(&x, "disk", &disk);
	heal_logged(&x, &disk, &all);
	for (unsigned i = 0; i < all.n_syncs; i++) {
		struct fs_crash c = {.mutant = all.syncs[i].name, .links_max = FEW_LINKS};
		const char *why = NULL;
		heal_logged(&x, &disk, &c);
		for (uint64_t n = 1; n <= MUTANT_STATES && !why; n++) {
			struct crash_cut cut;
			why = look(&x, &c, n, &cut);
		}
		print_message("%s: %s\n", all.syncs[i].name, why ? why : "not seen");
		caught += why != NULL;
		fs_crash_release(&c);
	}
	assert_true(MUTANT_STATES == 0 || caught >= 4); /* the others come before a sync of all */
	fs_crash_release(&all);
	close(disk.fd);
	heal_kit_release(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(power_is_cut_while_healing),
					   cmocka_unit_test(and_inodes_may_have_few_links),
					   cmocka_unit_test(left_out_syncs_are_seen)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
