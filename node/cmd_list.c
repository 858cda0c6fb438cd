/* SPDX-License-Identifier: MIT */
/*
 * `ayni list`: what is here, and how it stands. `ayni log`: what it brought, and what happened to it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "node/cmd_turn.h"
#include "node/paths.h"
#include "node/progress.h"
#include "store/journal.h"

static const char *date_text(int64_t date_s, char out[32])
{
	time_t t = (time_t)date_s;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M", &tm) == 0)
		snprintf(out, 32, "%" PRId64, date_s);
	return out;
}

/* "ready, switches now", "on trial", "bad, pinned": all that is so. */
static void standing(const struct ay_turn_cmd *c, const struct ay_turn *t, const struct ay_branch_state *b,
		     uint32_t serial, char *out, size_t size)
{
	char ready[256], trial[64];
	ay_turn_words(c->config, t, b, ready, sizeof(ready));
	snprintf(trial, sizeof(trial), "on trial (tries left: %u)", t->tries);
	const struct {
		bool is;
		const char *word;
	} words[] = {
		{t->ready == serial, ready},
		{t->unconfirmed == serial, trial},
		{t->unconfirmed && t->good == serial && t->good != t->current,
		 "a failed trial goes back to it"},
		{t->bad == serial, "bad, not taken again by itself"},
		{ay_pins_has(&t->pinned, serial), "pinned"},
		{ay_pins_has(&t->kept, serial), "kept"},
	};
	size_t n = 0;
	out[0] = 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (words[i].is && n < size)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? "; " : "", words[i].word);
	}
}

struct branch {
	struct ay_branch_state state;
	struct ay_turn turn;
	struct ay_tree_info *trees;
	size_t n_trees;
	struct ay_journal_entry *entries;
	size_t n_entries;
};

static void branch_release(struct branch *b)
{
	free(b->trees);
	free(b->entries);
}

static int read_branch(struct ay_turn_cmd *c, const char *branch, struct branch *b, struct ay_err *err)
{
	int r = ay_turn_read(c->s, branch, &b->turn, err);
	if (r == 0)
		r = ay_state_branch(c->s, branch, &b->state, err);
	if (r == 0)
		r = ay_store_trees(c->s, branch, &b->trees, &b->n_trees, err);
	if (r == 0)
		r = ay_journal_read(c->s, branch, &b->entries, &b->n_entries, err);
	return r;
}

static json_t *entry_json(const struct ay_journal_entry *e)
{
	json_t *o = json_pack("{s:I, s:s, s:I, s:I}", "time", (json_int_t)e->time_s, "event",
			      ay_journal_event_name(e->event), "serial", (json_int_t)e->serial, "from",
			      (json_int_t)e->from);
	json_t *why = json_string(e->why); /* a hook's name need not be UTF-8 */
	json_object_set_new(o, "why", why ? why : json_string("?"));
	return o;
}

static json_t *tree_json(const struct branch *b, const struct ay_tree_info *t)
{
	char manifest[AY_DIGEST_HEX + 1];
	json_t *o = json_pack("{s:s, s:I, s:b, s:s, s:I, s:s, s:I, s:I, s:s}", "branch", t->release.branch,
			      "serial", (json_int_t)t->serial, "current", (int)t->current, "name",
			      t->release.name, "date", (json_int_t)t->release.date_s, "manifest",
			      ay_digest_hex(&t->release.manifest, manifest), "entries",
			      (json_int_t)t->release.entries, "bytes", (json_int_t)t->release.unpacked_size,
			      "notes", t->release.notes);
	json_object_set_new(o, "ready", json_boolean(b->turn.ready == t->serial));
	json_object_set_new(o, "unconfirmed", json_boolean(b->turn.unconfirmed == t->serial));
	json_object_set_new(o, "bad", json_boolean(b->turn.bad == t->serial));
	json_object_set_new(o, "pinned", json_boolean(ay_pins_has(&b->turn.pinned, t->serial)));
	json_object_set_new(o, "kept", json_boolean(ay_pins_has(&b->turn.kept, t->serial)));
	return o;
}

static void list_branch(struct ay_turn_cmd *c, const struct branch *b)
{
	char date[32], size[32], words[512];
	for (size_t i = 0; i < b->n_trees; i++) {
		const struct ay_tree_info *t = &b->trees[i];
		if (c->results) {
			json_array_append_new(c->results, tree_json(b, t));
			continue;
		}
		standing(c, &b->turn, &b->state, t->serial, words, sizeof(words));
		printf("%c %-24s %6u  %s  %10s  %s%s%s\n", t->current ? '*' : ' ', t->release.branch,
		       t->serial, date_text((int64_t)t->release.date_s, date),
		       ay_human_bytes(t->release.unpacked_size, size), t->release.name,
		       words[0] && t->release.name[0] ? "  " : "", words);
	}
}

/* ---- log ---- */

static void print_notes(const char *notes)
{
	for (const char *line = notes; *line;) {
		int n = (int)strcspn(line, "\n");
		printf("%s%.*s\n", line == notes ? "\n    " : "    ", n, line);
		line += n;
		line += *line == '\n';
	}
}

static void log_tree(struct ay_turn_cmd *c, const struct branch *b, const struct ay_tree_info *t)
{
	char date[32], size[32], words[512], hex[AY_DIGEST_HEX + 1];
	standing(c, &b->turn, &b->state, t->serial, words, sizeof(words));
	printf("release %u%s%s%s%s%s\n", t->serial, t->release.name[0] ? " " : "", t->release.name,
	       t->current ? " (current)" : "", words[0] ? ": " : "", words);
	printf("date:     %s UTC\nmanifest: %s\ncontents: %" PRIu64 " entries, %s\n",
	       date_text((int64_t)t->release.date_s, date), ay_digest_hex(&t->release.manifest, hex),
	       t->release.entries, ay_human_bytes(t->release.unpacked_size, size));
	if (t->release.notes[0])
		print_notes(t->release.notes);
	putchar('\n');
}

static void log_entry(const struct ay_journal_entry *e)
{
	static const char *const says[AY_JOURNAL_EVENTS] = {
		"installed",  "became current",      "refused by a hook",
		"found good", "failed its trial",    "current again, back",
		"pinned",     "not pinned any more", "removed by collecting"};
	char date[32], from[32] = "";
	if (e->from)
		snprintf(from, sizeof(from), ", from %u", e->from);
	printf("  %s UTC  ", date_text(e->time_s, date));
	if (e->serial)
		printf("release %u ", e->serial);
	printf("%s%s%s%s\n", says[e->event], from, e->why[0] ? ": " : "", e->why);
}

static void log_branch(struct ay_turn_cmd *c, const struct branch *b)
{
	for (size_t i = b->n_trees; i > 0; i--) {
		const struct ay_tree_info *t = &b->trees[i - 1];
		if (!c->results) {
			log_tree(c, b, t);
			continue;
		}
		json_t *o = tree_json(b, t), *history = json_array();
		for (size_t k = b->n_entries; k > 0; k--) {
			const struct ay_journal_entry *e = &b->entries[k - 1];
			if (e->serial == t->serial || e->from == t->serial)
				json_array_append_new(history, entry_json(e));
		}
		json_object_set_new(o, "history", history);
		json_array_append_new(c->results, o);
	}
	if (c->results || b->n_entries == 0)
		return;
	printf("What happened here, the latest first:\n");
	for (size_t k = b->n_entries; k > 0; k--)
		log_entry(&b->entries[k - 1]);
}

/* ---- both ---- */

static int one(struct ay_turn_cmd *c, const char *branch, bool log, size_t *count, struct ay_err *err)
{
	AY_CLEANUP(branch_release) struct branch b = {.n_trees = 0};
	int r = read_branch(c, branch, &b, err);
	if (r < 0)
		return r;
	*count += b.n_trees;
	if (log)
		log_branch(c, &b);
	else
		list_branch(c, &b);
	return 0;
}

static int walk(struct ay_turn_cmd *c, bool log, struct ay_err *err)
{
	char **names = NULL;
	size_t n = 0, count = 0;
	int r = c->branch ? one(c, c->branch, log, &count, err) : ay_store_branches(c->s, &names, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = one(c, names[i], log, &count, err);
	ay_store_names_free(names, n);
	if (r == 0 && count == 0)
		return ay_err_set(err, AY_ENOTHING, "no tree of %s in %s yet",
				  c->branch ? c->branch : "any branch", ay_store_path(c->s));
	return r;
}

static int run(int argc, char **argv, bool log, struct ay_err *err)
{
	struct ay_turn_cmd c = {0};
	int r = ay_turn_cmd_begin(&c, argc, argv, NULL, log, false, AY_STORE_READONLY, err);
	if (r == 0)
		r = walk(&c, log, err);
	if (r < 0 && r != AY_ENOTHING && c.results) {
		json_decref(c.results);
		c.results = NULL;
	}
	return ay_turn_cmd_end(&c, r, err);
}

static int run_list(int argc, char **argv, struct ay_err *err)
{
	return run(argc, argv, false, err);
}

static int run_log(int argc, char **argv, struct ay_err *err)
{
	return run(argc, argv, true, err);
}

const struct ay_cmd ay_cmd_list = {
	"list",
	"list the releases that are here",
	"Usage: ayni list [BRANCH] [--store DIR] [--config FILE] [--json]\n"
	"\n"
	"One line a release: serial, date, size, name, and what is special about it: ready to become current and when, on\n"
	"trial, bad, pinned, kept. * marks the current one. Exit code 3 when there is none.\n"
	"\n" AY_TURN_CMD_HELP,
	run_list,
};

const struct ay_cmd ay_cmd_log = {
	"log",
	"tell what the releases brought, and what happened here",
	"Usage: ayni log BRANCH [--store DIR] [--config FILE] [--json]\n"
	"\n"
	"The releases that are here, newest first, with their notes; then what happened to the branch on this machine, the\n"
	"latest first: installed, became current, found good, failed, rolled back, when and why. The last 200 are kept.\n"
	"\n" AY_TURN_CMD_HELP,
	run_log,
};
