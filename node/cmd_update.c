/* SPDX-License-Identifier: MIT */
/*
 * `ayni update`: ask the node to take the newest release now, and watch it do so.
 *
 * The node does the work and goes on with it when this is interrupted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/client.h"
#include "node/cmd.h"
#include "node/paths.h"
#include "node/progress.h"
#include "node/varlink.h"

#define BAR_WIDTH 24

struct args {
	const char *control;
};

struct watch {
	bool json, tty;
	int width;      /* of the line on the terminal */
	char phase[16]; /* now, and since when */
	uint64_t since_ns, bytes_before;
	int code; /* at the end */
	char message[AY_ERR_MSG_MAX];
};

static int each_option(void *ctx, int val, const char *arg, struct ay_err *err)
{
	struct args *a = ctx;
	(void)val;
	(void)err;
	a->control = arg;
	return 0;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static uint64_t number(const json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));
	return v > 0 ? (uint64_t)v : 0;
}

static void clear_line(struct watch *w)
{
	if (w->tty && w->width)
		fprintf(stderr, "\r%*s\r", w->width, "");
	w->width = 0;
}

static void put_line(struct watch *w, const char *line)
{
	int width = fprintf(stderr, "\r%s", line) - 1;
	if (width < w->width)
		fprintf(stderr, "%*s", w->width - width, "");
	w->width = width;
	fflush(stderr);
}

static void draw_bar(struct watch *w, const json_t *o, const char *what, uint64_t done, uint64_t total)
{
	char bar[BAR_WIDTH + 1], line[320], a[32], b[32], rate_text[32], peers[32], school[32], left[32] = "";
	double seconds = (double)(ay_monotonic_ns() - w->since_ns) / 1e9;
	double moved = done > w->bytes_before ? (double)(done - w->bytes_before) : 0;
	double rate = seconds > 0.2 ? moved / seconds : 0;
	unsigned filled = total ? (unsigned)((double)done * BAR_WIDTH / (double)total) : 0;
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR_WIDTH] = 0;
	if (rate > 0 && total > done)
		snprintf(left, sizeof(left), ", %.0f s left", (double)(total - done) / rate);
	snprintf(line, sizeof(line), "%s %s [%s] %s of %s, %s/s%s; peers %s, school %s", text(o, "branch"),
		 what, bar, ay_human_bytes(done, a), ay_human_bytes(total, b),
		 ay_human_bytes((uint64_t)rate, rate_text), left,
		 ay_human_bytes(number(o, "bytes_from_peers"), peers),
		 ay_human_bytes(number(o, "bytes_from_school"), school));
	put_line(w, line);
}

static void draw(struct watch *w, const json_t *o)
{
	const char *phase = text(o, "phase");
	bool applying = strcmp(phase, "applying") == 0, collecting = strcmp(phase, "collecting") == 0;
	uint64_t done = number(o, applying ? "apply_done" : "bytes_had");
	uint64_t total = number(o, applying ? "apply_total" : "bytes_total");
	char line[128];
	if (strcmp(phase, w->phase) != 0) {
		snprintf(w->phase, sizeof(w->phase), "%s", phase);
		w->since_ns = ay_monotonic_ns();
		w->bytes_before = done;
	}
	if (applying || collecting) {
		draw_bar(w, o, phase, done, total);
	} else {
		snprintf(line, sizeof(line), "%s: %s ...", text(o, "branch"),
			 strcmp(phase, "idle") == 0 ? "asking for news" : phase);
		put_line(w, line);
	}
}

static int end_code(const char *state)
{
	if (strcmp(state, "done") == 0)
		return 0;
	if (strcmp(state, "nothing") == 0)
		return AY_ENOTHING;
	return strcmp(state, "refused") == 0 ? AY_EROLLBACK : AY_EPEER;
}

static void finish(struct watch *w, const json_t *o)
{
	char a[32], b[32];
	const char *state = text(o, "state");
	clear_line(w);
	w->code = end_code(state);
	snprintf(w->message, sizeof(w->message), "%s", text(o, "message"));
	if (w->json)
		return;
	if (w->code == 0)
		printf("%s; %s came from peers and %s from the school\n", w->message,
		       ay_human_bytes(number(o, "bytes_from_peers"), a),
		       ay_human_bytes(number(o, "bytes_from_school"), b));
}

static int on_reply(void *ctx, const json_t *o, bool last)
{
	struct watch *w = ctx;
	if (w->json) {
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
	} else if (w->tty && !last) {
		draw(w, o);
	}
	if (last)
		finish(w, o);
	return 0;
}

static int update(struct ay_client *c, const char *branch, bool force, struct watch *w, struct ay_err *err)
{
	json_t *p = json_pack("{s:s,s:b}", "branch", branch, "force", force);
	int r = p ? ay_client_call(c, AY_IFACE_NODE ".Update", p, on_reply, w, NULL, 0, err)
		  : ay_err_set(err, AY_EUSAGE, "\"%s\" is no branch's name", branch);
	if (r < 0)
		clear_line(w);
	if (r < 0 || w->code == 0)
		return r;
	return ay_err_set(err, w->code, "%s", w->message);
}

static int run(int argc, char **argv, struct ay_err *err)
{
	int json = 0, force = 0, first;
	struct args a = {.control = AY_CONTROL_PATH};
	const struct option longs[] = {{"json", no_argument, &json, 1},
				       {"force", no_argument, &force, 1},
				       {"control", required_argument, NULL, 'c'},
				       {0}};
	struct ay_client *c = NULL;
	int r = ay_options(argc, argv, longs, each_option, &a, &first, err);
	if (r < 0)
		return r;
	if (argc - first > 1)
		return ay_usage(err, "update", "update takes one branch, or none for all");
	struct watch w = {.json = json, .tty = !json && isatty(STDERR_FILENO) == 1};
	r = ay_client_open(a.control, &c, err);
	if (r == 0)
		r = update(c, first < argc ? argv[first] : "", force, &w, err);
	ay_client_close(c);
	return r;
}

const struct ay_cmd ay_cmd_update = {
	"update",
	"take the newest release now, and watch it come",
	"Usage: ayni update [BRANCH] [--force] [--json] [--control PATH]\n"
	"\n"
	"Asks the node; without BRANCH for all that it follows. Interrupted, the node goes on.\n"
	"\n"
	"      --force           also a release that was rolled back from, and before the rollout reaches us\n"
	"      --json            one JSON object a line (docs/protocol.md, \"Control socket\")\n"
	"  -c, --control PATH    the node's control socket (" AY_CONTROL_PATH ")\n"
	"\n"
	"Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to do, 4 refused (held back, signature, rollback).\n",
	run,
};
