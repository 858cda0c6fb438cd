/* SPDX-License-Identifier: MIT */
/*
 * Status as JSON. The control socket sends it, `ayni status` prints it; nobody else knows its fields.
 */
#include "node/status.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/address.h"
#include "node/turn_run.h"
#include "node/update.h"
#include "node/varlink.h"

#ifndef AYNI_VERSION
#define AYNI_VERSION "unknown"
#endif

static void put_int(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void put_text(json_t *o, const char *key, const char *v)
{
	json_object_set_new(o, key, ay_json_text(v));
}

static json_t *pins_array(const struct ay_turn *t)
{
	json_t *all = json_array();
	for (unsigned i = 0; i < t->pinned.n; i++)
		json_array_append_new(all, json_integer((json_int_t)t->pinned.serial[i]));
	return all;
}

/* How the branch stands in the store: `have` of the core counts what is complete, current or not. */
static void put_turn(json_t *o, const struct ay_config *config, const struct ay_switcher_view *w)
{
	char words[AY_UPDATE_READY_TEXT];
	ay_turn_words(config, &w->turn, &w->state, words, sizeof(words));
	put_int(o, "have", w->turn.current);
	put_int(o, "ready", w->turn.ready);
	put_text(o, "when", words);
	put_int(o, "unconfirmed", w->turn.unconfirmed);
	put_int(o, "tries", w->turn.tries);
	put_int(o, "bad", w->turn.bad);
	json_object_set_new(o, "pinned", pins_array(&w->turn));
	json_object_set_new(o, "stays", json_boolean(w->turn.stays));
}

static json_t *branch_object(const struct ay_branch_status *b, const struct ay_applier_progress *apply)
{
	json_t *o = json_object();
	bool applying = strcmp(apply->branch, b->branch) == 0;
	uint64_t had = b->blocks_had * (uint64_t)AY_BLOCK_SIZE;
	put_text(o, "branch", b->branch);
	put_int(o, "have", b->have_serial);
	put_int(o, "head", b->head_serial);
	put_int(o, "target", b->target_serial);
	put_text(o, "phase", ay_phase_name(b->phase));
	put_int(o, "blocks_had", b->blocks_had);
	put_int(o, "blocks_total", b->blocks_total);
	put_int(o, "bytes_had", had < b->bytes_total ? had : b->bytes_total);
	put_int(o, "bytes_total", b->bytes_total);
	put_int(o, "apply_done", applying ? apply->done_bytes : 0);
	put_int(o, "apply_total", applying ? apply->total_bytes : 0);
	put_text(o, "problem", b->problem);
	return o;
}

static json_t *peer_object(const struct ay_peer_status *p)
{
	char text[AY_ADDR_TEXT];
	json_t *o = json_object();
	put_text(o, "address", ay_addr_text(&p->addr, text));
	json_object_set_new(o, "school", json_boolean(p->school));
	json_object_set_new(o, "incoming", json_boolean(p->incoming));
	json_object_set_new(o, "up", json_boolean(p->up));
	put_int(o, "bytes_from", p->bytes_from);
	put_int(o, "bytes_to", p->bytes_to);
	json_object_set_new(o, "score", json_integer(p->score));
	return o;
}

/* Names may mislead: which directory it is. */
static void put_store_id(json_t *o, const char *path)
{
	struct stat st = {0};
	if (stat(path, &st))
		st = (struct stat){0};
	put_int(o, "store_device", (uint64_t)st.st_dev);
	put_int(o, "store_inode", (uint64_t)st.st_ino);
}

json_t *ay_status_object(const struct ay_status_view *v)
{
	const struct ay_core_status *c = v->core;
	json_t *o = json_object(), *branches = json_array(), *peers = json_array();
	put_text(o, "version", AYNI_VERSION);
	put_text(o, "role", v->config->role == AY_NODE_SCHOOL ? "school" : "laptop");
	put_int(o, "pid", (uint64_t)getpid());
	put_int(o, "uptime_s", v->uptime_s);
	put_text(o, "store", v->config->store);
	put_store_id(o, v->config->store);
	put_text(o, "repo", v->config->repo);
	put_int(o, "port", v->port);
	put_text(o, "interfaces", v->interfaces);
	put_int(o, "neighbours", c->neighbours);
	put_int(o, "connections", v->tcp.connections);
	put_int(o, "bytes_from_peers", c->bytes_from_peers);
	put_int(o, "bytes_from_school", c->bytes_from_school);
	put_int(o, "bytes_served", c->bytes_served);
	put_int(o, "bytes_twice", c->bytes_twice);
	put_int(o, "socket_bytes_in", v->tcp.bytes_in);
	put_int(o, "socket_bytes_out", v->tcp.bytes_out);
	put_int(o, "packets_refused", c->packets_refused);
	json_object_set_new(o, "encrypted", json_false()); /* there is no site key yet */
	put_text(o, "problem", v->problem);
	for (unsigned i = 0; i < c->n_branches && i < AY_CORE_BRANCHES_MAX; i++) {
		json_t *b = branch_object(&c->branches[i], &v->apply);
		const struct ay_switcher_view *w =
			v->switcher ? ay_switcher_view(v->switcher, c->branches[i].branch) : NULL;
		if (w)
			put_turn(b, v->config, w);
		json_array_append_new(branches, b);
	}
	for (unsigned i = 0; i < c->n_peers && i < AY_CORE_SESSIONS_MAX; i++)
		json_array_append_new(peers, peer_object(&c->peers[i]));
	json_object_set_new(o, "branches", branches);
	json_object_set_new(o, "peers", peers);
	return o;
}
