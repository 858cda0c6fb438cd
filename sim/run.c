/* SPDX-License-Identifier: MIT */
/*
 * A run's weather is drawn before it begins and put on the medium's heap; from then on events follow from
 * events. Half of the kills and power cuts fall into the seconds after a release, where there is something to break.
 */
#include "sim/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/liar.h"
#include "sim/room.h"

#define MS              ((uint64_t)1000000)
#define S               ((uint64_t)1000000000)
#define LIARS_MAX       3
#define KIB             ((size_t)1024)
#define STRANGER_SERIAL 99
#define SLOW_RATE       125000 /* bytes a second: 1 Mbit/s */
#define SLOW_LAPTOPS    6

struct run {
	const struct ay_run_config *config;
	struct ay_run_result *result;
	struct ay_room room;
	struct ay_prng prng;
	struct ay_world *stranger;
	struct ay_liar *liars[LIARS_MAX];
	unsigned n_liars, n_laptops;
	struct ay_addr addrs[AY_ROOM_NODES_MAX];
	uint64_t safety_ns; /* until then everything goes wrong */
	uint64_t publish_ns[AY_WORLD_RELEASES_MAX];
	unsigned n_publish;
	unsigned rotate_at; /* the publishing that begins root 2; 0 none */
	bool healed;
	char broken[400];
};

static uint64_t between(struct run *r, uint64_t low, uint64_t high)
{
	return low + ay_prng_below(&r->prng, high - low + 1);
}

static bool percent(struct run *r, unsigned p)
{
	return ay_prng_below(&r->prng, 100) < p;
}

static uint64_t now(const struct run *r)
{
	return ay_medium_now(r->room.medium);
}

static struct ay_room_node *school(struct run *r)
{
	return &r->room.nodes[0];
}

static struct ay_addr address(unsigned i)
{
	struct ay_addr a = {.port = AY_ROOM_PORT};

	a.ip[10] = a.ip[11] = 0xff;
	a.ip[12] = 10;
	a.ip[14] = (uint8_t)(i / 250);
	a.ip[15] = (uint8_t)(i % 250 + 1);
	return a;
}

/* ---- publishing */

static struct ay_slice slice(const struct ay_world_doc *d)
{
	return (struct ay_slice){d->data, d->len};
}

/* Into the school's repository, in the order in which node/ reads one. */
static void put_repository(struct run *r)
{
	struct ay_fakenode *f = school(r)->fake;
	const struct ay_world *w = r->room.world;

	for (unsigned i = 0; i < w->n_roots; i++)
		ay_fakenode_put(f, AY_EV_ROOT, slice(&w->roots[i]));
	for (unsigned i = 0; i < w->n_releases; i++)
		ay_fakenode_put(f, AY_EV_RELEASE, slice(&w->releases[i].doc));
	for (unsigned i = 0; i < w->n_bundles; i++) {
		ay_fakenode_put(f, AY_EV_OFFER, slice(&w->bundles[i].offer));
		ay_fakenode_put_bundle(f, (struct ay_slice){w->bundles[i].data, w->bundles[i].size});
	}
	ay_fakenode_put(f, AY_EV_HEAD, (struct ay_slice){w->head, AY_HEAD_SIZE});
}

/* From nothing there is always a way; shorter ones mostly. */
static void make_release(struct run *r, unsigned rollout)
{
	struct ay_world *w = r->room.world;
	uint32_t serial = w->n_releases ? ay_world_newest(w)->serial + 1 : 1;

	ay_world_publish(w, serial, rollout);
	ay_world_bundle(w, 0, serial);
	if (serial > 1 && percent(r, 90))
		ay_world_bundle(w, serial - 1, serial);
	if (serial > 2 && percent(r, 50))
		ay_world_bundle(w, serial - 2, serial);
}

static void sign_again(void *ctx, uint64_t rollout)
{
	struct run *r = ctx;

	ay_world_sign_again(r->room.world, (unsigned)rollout);
	ay_room_say(&r->room, "publisher", "signs the head of release %u again, for %u %%",
		    ay_world_newest(r->room.world)->serial, (unsigned)rollout);
	put_repository(r);
}

static void publish(void *ctx, uint64_t k)
{
	struct run *r = ctx;
	unsigned rollout = percent(r, 30) ? (unsigned)between(r, 10, 90) : 100;

	if (r->rotate_at && k == r->rotate_at) {
		ay_world_rotate(r->room.world);
		ay_room_say(&r->room, "publisher", "root 2");
	}
	make_release(r, rollout);
	ay_room_say(&r->room, "publisher", "release %u, for %u %%", ay_world_newest(r->room.world)->serial,
		    rollout);
	put_repository(r);
	if (rollout < 100)
		ay_medium_call(r->room.medium, now(r) + between(r, 10 * S, 40 * S), sign_again, r, 100);
}

/* ---- what goes wrong */

static void do_start(void *ctx, uint64_t i)
{
	struct run *r = ctx;

	ay_room_start(&r->room.nodes[i]);
}

static void stop(struct run *r, struct ay_room_node *n, enum ay_fakenode_end how)
{
	if (r->healed)
		return;
	ay_room_stop(n, how);
	ay_medium_call(r->room.medium, now(r) + between(r, 100 * MS, how == AY_END_KILL ? 15 * S : 60 * S),
		       do_start, r, n->index);
}

static void do_kill(void *ctx, uint64_t i)
{
	struct run *r = ctx;

	stop(r, &r->room.nodes[i], AY_END_KILL);
}

static void do_power_cut(void *ctx, uint64_t i)
{
	struct run *r = ctx;

	stop(r, &r->room.nodes[i], AY_END_POWER);
}

/* In mid-update. The other end may come in mid-update too. */
static void on_doomed(void *ctx, struct ay_room_node *n)
{
	struct run *r = ctx;

	stop(r, n, n->doom);
	if (percent(r, 30)) {
		n->doom = n->doom == AY_END_KILL ? AY_END_POWER : AY_END_KILL;
		n->doom_blocks = (unsigned)between(r, 1, 20);
	}
}

static void do_wake(void *ctx, uint64_t i)
{
	struct run *r = ctx;

	ay_room_wake(&r->room.nodes[i]);
}

static void do_sleep(void *ctx, uint64_t i)
{
	struct run *r = ctx;

	if (r->healed)
		return;
	ay_room_sleep(&r->room.nodes[i]);
	ay_medium_call(r->room.medium, now(r) + between(r, 5 * S, 90 * S), do_wake, r, i);
}

static void do_join(void *ctx, uint64_t arg)
{
	struct run *r = ctx;

	(void)arg;
	for (unsigned i = 0; i < r->room.n; i++)
		ay_medium_set_island(r->room.medium, r->room.nodes[i].station, 0);
	ay_room_say(&r->room, "network", "is one again");
}

static void do_part(void *ctx, uint64_t arg)
{
	struct run *r = ctx;

	(void)arg;
	if (r->healed)
		return;
	for (unsigned i = 0; i < r->room.n; i++)
		ay_medium_set_island(r->room.medium, r->room.nodes[i].station, (unsigned)between(r, 0, 1));
	ay_room_say(&r->room, "network", "is parted");
	ay_medium_call(r->room.medium, now(r) + between(r, 5 * S, 90 * S), do_join, r, 0);
}

static void do_break(void *ctx, uint64_t silent)
{
	struct run *r = ctx;

	if (!r->healed)
		ay_medium_break(r->room.medium, silent);
}

static void do_ask(void *ctx, uint64_t i)
{
	struct run *r = ctx;

	ay_fakenode_update(r->room.nodes[i].fake, "", false);
}

/* Somewhere in the safety phase; half of the time shortly after a release. */
static uint64_t some_time(struct run *r)
{
	uint64_t at = r->publish_ns[ay_prng_below(&r->prng, r->n_publish)] + between(r, 200 * MS, 20 * S);

	return percent(r, 50) && at < r->safety_ns ? at : between(r, 2 * S, r->safety_ns);
}

static void draw_weather(struct run *r)
{
	struct ay_medium *m = r->room.medium;
	unsigned breaks = (unsigned)between(r, 0, 3 * r->room.n),
		 silent = (unsigned)between(r, 0, r->room.n / 2);

	for (unsigned k = 0; k < r->n_publish; k++)
		ay_medium_call(m, r->publish_ns[k], publish, r, k);
	for (unsigned i = 0; i < r->room.n; i++) {
		ay_medium_call(m, between(r, 0, percent(r, 80) ? 5 * S : 120 * S), do_start, r, i);
		if (r->config->calm)
			continue;
		r->room.nodes[i].doom = percent(r, 50) ? AY_END_KILL : AY_END_POWER;
		r->room.nodes[i].doom_blocks = (unsigned)(percent(r, 80) ? between(r, 1, 40) : 0);
		ay_medium_call(m, some_time(r), do_kill, r, i);
		ay_medium_call(m, some_time(r), do_power_cut, r, i);
		if (i > 0 && percent(r, 30))
			for (uint64_t n = between(r, 1, 4); n > 0; n--)
				ay_medium_call(m, some_time(r), do_sleep, r, i);
		if (i > 0 && percent(r, 10))
			ay_medium_call(m, some_time(r), do_ask, r, i);
		r->room.nodes[i].wakes_on_news = percent(r, 50);
	}
	if (r->config->calm)
		return;
	for (uint64_t n = between(r, 0, 4); n > 0; n--)
		ay_medium_call(m, some_time(r), do_part, r, 0);
	for (unsigned n = 0; n < breaks; n++)
		ay_medium_call(m, some_time(r), do_break, r, false);
	for (unsigned n = 0; n < silent; n++)
		ay_medium_call(m, some_time(r), do_break, r, true);
}

/* ---- setting up */

static void draw_times(struct run *r)
{
	r->n_publish = (unsigned)between(r, 2, 3);
	r->publish_ns[0] = between(r, 2 * S, 30 * S);
	for (unsigned k = 1; k < r->n_publish; k++)
		r->publish_ns[k] = r->publish_ns[k - 1] + between(r, 15 * S, 150 * S);
	/* Sometimes all is quiet when the room is healed, sometimes nothing has been fetched yet. */
	r->safety_ns = r->publish_ns[r->n_publish - 1] +
		       (percent(r, 50) ? between(r, S, 20 * S) : between(r, 20 * S, 300 * S));
	r->rotate_at = percent(r, 30) ? (unsigned)between(r, 1, r->n_publish - 1) : 0;
}

/* Most laptops begin with release 1 and its papers, some with nothing but the root. */
static void fill_disk(struct run *r, struct ay_room_node *n)
{
	const struct ay_world *w = r->room.world;
	bool deceived = n->index == 1 && (r->config->mutants & AY_MUTANT_STRANGER_ROOT);
	struct ay_fakenode *f = n->fake;

	ay_fakenode_put(f, AY_EV_ROOT, slice(deceived ? &r->stranger->roots[0] : &w->roots[0]));
	if (n->school) {
		ay_fakenode_put_branch(f, AY_WORLD_BRANCH, false, 0, NULL);
		return;
	}
	if (deceived || percent(r, 15)) {
		ay_fakenode_put_branch(f, AY_WORLD_BRANCH, true, 0, NULL);
		return;
	}
	ay_fakenode_put_branch(f, AY_WORLD_BRANCH, true, 1, &w->releases[0].manifest);
	ay_fakenode_put(f, AY_EV_RELEASE, slice(&w->releases[0].doc));
	if (percent(r, 80))
		ay_fakenode_put(f, AY_EV_HEAD, (struct ay_slice){w->head, AY_HEAD_SIZE});
}

static void add_nodes(struct run *r)
{
	bool fixed = percent(r, 50); /* the school's address is in each laptop's configuration */
	bool bad_disks = percent(r, 50) && !r->config->calm;
	unsigned everywhere = AY_MUTANT_PROMISE | AY_MUTANT_REFETCH | AY_MUTANT_ANY_BLOCK |
			      AY_MUTANT_FORGET_HEAD | AY_MUTANT_FORGET_TREE | AY_MUTANT_LOST_ANSWER |
			      AY_MUTANT_STORM;

	for (unsigned i = 0; i <= r->n_laptops; i++) {
		r->addrs[i] = address(i);
		struct ay_fakenode_config c = {
			.core = {.role = i ? AY_NODE_LAPTOP : AY_NODE_SCHOOL,
				 .rollout_draw = (uint8_t)between(r, 0, 99),
				 .tcp_port = AY_ROOM_PORT,
				 .auto_update = true,
				 .peers = r->addrs,
				 .n_peers = i && fixed},
			.seed = ay_prng_next(&r->prng),
			.addr = r->addrs[i],
			.store_ns = {MS, between(r, MS, 200 * MS)},
			.apply_ns = {100 * MS, between(r, 100 * MS, 20 * S)},
			.no_space_permille = i && bad_disks && percent(r, 30) ? 20 : 0,
			.bad_base_permille = i && bad_disks && percent(r, 20) ? 100 : 0,
			.mutants = r->config->mutants & everywhere,
		};
		uint64_t rate = between(r, 300000, i ? 3000000 : 6000000);
		fill_disk(r, ay_room_add(&r->room, &c, r->config->slow ? SLOW_RATE : rate));
	}
}

static void add_liars(struct run *r)
{
	static const unsigned kinds[] = {AY_LIE_GARBAGE, AY_LIE_BLOCKS,  AY_LIE_FORGE,
					 AY_LIE_REPLAY,  AY_LIE_SILENCE, AY_LIE_FLOOD};
	const unsigned n_kinds = sizeof(kinds) / sizeof(kinds[0]);

	r->n_liars = percent(r, 60) && !r->config->calm ? (unsigned)between(r, 1, LIARS_MAX) : 0;
	if (r->config->mutants & (AY_MUTANT_STRANGER_ROOT | AY_MUTANT_ANY_BLOCK))
		r->n_liars = LIARS_MAX;
	for (unsigned i = 0; i < r->n_liars; i++) {
		struct ay_liar_config c = {.seed = ay_prng_next(&r->prng),
					   .lies = kinds[ay_prng_below(&r->prng, n_kinds)],
					   .addr = address(AY_ROOM_NODES_MAX + i),
					   .truth = r->room.world,
					   .stranger = r->stranger,
					   .others = r->addrs,
					   .n_others = r->room.n};
		if (percent(r, 30))
			c.lies |= kinds[ay_prng_below(&r->prng, n_kinds)];
		if (i == 0 && (r->config->mutants & AY_MUTANT_STRANGER_ROOT))
			c.lies = AY_LIE_FORGE;
		if (i == 0 && (r->config->mutants & AY_MUTANT_ANY_BLOCK))
			c.lies = AY_LIE_BLOCKS;
		r->liars[i] = ay_liar_new(&c, r->room.medium);
	}
}

static void make_stranger(struct run *r)
{
	struct ay_digest nothing = {{0}};

	r->stranger = ay_world_new(ay_prng_next(&r->prng), 2, 100 * KIB, 200 * KIB);
	ay_world_publish(r->stranger, STRANGER_SERIAL, 100);
	ay_world_offer(r->stranger, &nothing, STRANGER_SERIAL);
	ay_world_offer(r->stranger, &r->room.world->releases[0].manifest, STRANGER_SERIAL);
}

static unsigned draw_size(struct run *r)
{
	bool large = ay_prng_below(&r->prng, 25) == 0, small = ay_prng_below(&r->prng, 10) == 0;
	unsigned n = large ? (unsigned)between(r, 30, 50) : small ? (unsigned)between(r, 2, 8) : 20;

	return r->config->nodes ? r->config->nodes : r->config->slow ? SLOW_LAPTOPS : n;
}

static void set_up(struct run *r)
{
	struct ay_medium_config m = {.loss_permille = 100,
				     .twice_permille = 20,
				     .late_permille = 100,
				     .delay_ns = {200000, 10 * MS},
				     .late_ns = 800 * MS};

	m.fair = r->config->slow;
	m.no_parts = r->config->no_parts;
	ay_prng_init(&r->prng, r->config->seed);
	ay_prng_init(&r->room.prng, ay_prng_next(&r->prng));
	m.seed = ay_prng_next(&r->prng);
	r->room.medium = ay_medium_new(&m);
	r->room.world = ay_world_new(ay_prng_next(&r->prng), 1, 300 * KIB, 3072 * KIB);
	r->room.trace = r->config->trace;
	r->room.verbose = r->config->verbose;
	r->room.doomed = on_doomed;
	r->room.doomed_ctx = r;
	r->n_laptops = draw_size(r);
	make_release(r, 100);
	make_stranger(r);
	draw_times(r);
	add_nodes(r);
	put_repository(r);
	ay_room_watch(&r->room);
	add_liars(r);
	draw_weather(r);
}

/* ---- the phases */

static bool fail(struct run *r, const char *node, const char *what)
{
	snprintf(r->result->broken, sizeof(r->result->broken), "%s", what);
	snprintf(r->result->node, sizeof(r->result->node), "%s", node);
	return false;
}

/* False: a rule was broken. */
static bool step(struct run *r)
{
	unsigned node;
	bool more = ay_medium_step(r->room.medium);
	const char *broken = ay_monitor_broken(r->room.monitor, &node);

	if (broken)
		return fail(r, r->room.nodes[node].name, broken);
	return more || fail(r, "", "nothing will ever happen again");
}

static bool run_until(struct run *r, uint64_t at_ns)
{
	while (now(r) < at_ns)
		if (!step(r))
			return false;
	return true;
}

static void heal(struct run *r)
{
	bool liars_stay = percent(r, 50);

	r->healed = true;
	do_join(r, 0);
	for (unsigned i = 0; i < r->room.n; i++) {
		ay_fakenode_heal(r->room.nodes[i].fake);
		ay_room_wake(&r->room.nodes[i]);
		ay_room_start(&r->room.nodes[i]);
	}
	for (unsigned i = 0; i < r->n_liars && !liars_stay; i++)
		ay_liar_stop(r->liars[i]);
	if (!liars_stay)
		r->n_liars = 0;
	sign_again(r, 100);
	ay_room_say(&r->room, "room", "is healed");
}

static bool is_current(const struct run *r, const struct ay_room_node *n)
{
	const struct ay_fakebranch *b = ay_fakenode_branch(n->fake, AY_WORLD_BRANCH);

	return n->school || (b && b->have_serial == ay_world_newest(r->room.world)->serial);
}

static const struct ay_room_node *laggard(const struct run *r)
{
	for (unsigned i = 0; i < r->room.n; i++)
		if (!is_current(r, &r->room.nodes[i]))
			return &r->room.nodes[i];
	return NULL;
}

static bool fail_laggard(struct run *r, const struct ay_room_node *n)
{
	static const char *const phases[] = {"idle",       "learning", "searching",
					     "collecting", "applying", "held"};
	struct ay_core_status *s = malloc(sizeof(*s));
	char what[400];

	AY_ASSERT(s);
	ay_core_status(ay_fakenode_core(n->fake), s);
	const struct ay_branch_status *b = &s->branches[0];
	snprintf(what, sizeof(what),
		 "has release %u and not %u, %.0f s after all was healed: %s, head %u, %llu of %llu blocks, "
		 "%u neighbours, %u sessions%s%s",
		 b->have_serial, ay_world_newest(r->room.world)->serial,
		 (double)(now(r) - r->safety_ns) / 1e9, phases[b->phase], b->head_serial,
		 (unsigned long long)b->blocks_had, (unsigned long long)b->blocks_total, s->neighbours,
		 s->n_peers, b->problem[0] ? ": " : "", b->problem);
	free(s);
	return fail(r, n->name, what);
}

static bool converge(struct run *r)
{
	const struct ay_room_node *last;

	while ((last = laggard(r))) {
		if (now(r) > r->safety_ns + AY_RUN_PATIENCE_NS)
			return fail_laggard(r, last);
		for (unsigned k = 0; k < 100; k++)
			if (!step(r))
				return false;
	}
	r->result->converge_ns = now(r) - r->safety_ns;
	return true;
}

static bool silence(struct run *r)
{
	if (!run_until(r, now(r) + 900 * S))
		return false;
	ay_room_say(&r->room, "room", "an hour of silence begins");
	ay_monitor_silence(r->room.monitor);
	if (!run_until(r, now(r) + 3600 * S))
		return false;
	r->result->silence_max = r->result->silence_all = 0;
	for (unsigned i = 0; i < r->room.n; i++) {
		uint64_t n = ay_monitor_counts(r->room.monitor, i)->silence_datagrams;
		r->result->silence_all += n;
		if (n > r->result->silence_max)
			r->result->silence_max = n;
		if (n > AY_RUN_SILENCE_MAX) {
			char what[100];
			snprintf(what, sizeof(what), "said %llu datagrams in an hour of silence",
				 (unsigned long long)n);
			return fail(r, r->room.nodes[i].name, what);
		}
	}
	return true;
}

static double school_copies(const struct run *r)
{
	uint64_t needed = ay_monitor_needed(r->room.monitor);
	uint64_t sent = ay_medium_counts(r->room.medium, r->room.nodes[0].station)->block_bytes;

	return needed ? (double)sent / (double)needed : 0;
}

static void collect_counts(struct run *r)
{
	struct ay_run_result *out = r->result;

	out->at_ns = now(r);
	out->hash = ay_medium_hash(r->room.medium);
	out->laptops = r->n_laptops;
	out->releases = r->room.world->n_releases;
	out->heal_ns = r->safety_ns;
	out->school_copies = school_copies(r);
	for (unsigned i = 0; i < r->room.n; i++) {
		const struct ay_monitor_counts *c = ay_monitor_counts(r->room.monitor, i);
		out->steps += c->steps;
		out->starts += (unsigned)c->starts;
		out->blocks += c->blocks;
		out->blocks_twice += c->blocks_twice;
		out->datagrams += c->datagrams;
		if (c->datagrams > out->datagrams_max)
			out->datagrams_max = c->datagrams;
		if (c->orders_max > out->orders_max)
			out->orders_max = c->orders_max;
	}
	out->laptop_copies = ay_room_copies(&r->room);
}

void ay_run(const struct ay_run_config *config, struct ay_run_result *result)
{
	struct run *r = calloc(1, sizeof(*r));

	AY_ASSERT(r);
	*result = (struct ay_run_result){.silence_max = UINT64_MAX, .silence_all = UINT64_MAX};
	r->config = config;
	r->result = result;
	set_up(r);
	result->liars = r->n_liars;
	bool ok = run_until(r, r->safety_ns);
	if (ok) {
		heal(r);
		ok = converge(r);
	}
	if (ok && r->n_liars == 0 && config->seed % 4 == 0)
		ok = silence(r);
	result->ok = ok;
	collect_counts(r);
	for (unsigned i = 0; i < LIARS_MAX; i++)
		ay_liar_free(r->liars[i]);
	ay_room_release(&r->room);
	ay_world_free(r->room.world);
	ay_world_free(r->stranger);
	free(r);
}
