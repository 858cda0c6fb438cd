/* SPDX-License-Identifier: MIT */
/*
 * What the owner asks over the control socket: status, an update, to read the store again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "node/daemon_internal.h"
#include "node/load.h"
#include "node/log.h"
#include "node/status.h"
#include "node/turn_run.h"

static json_t *on_status(void *ctx)
{
	struct ay_daemon *d = ctx;
	char names[256];
	struct ay_status_view v = {.config = d->config, .interfaces = names};
	AY_FREE struct ay_core_status *core = malloc(sizeof(*core));
	if (!core)
		return NULL;
	ay_core_status(d->core, core);
	v.core = core;
	ay_tcp_totals(d->tcp, &v.tcp);
	v.port = ay_tcp_port(d->tcp);
	ay_udp_interfaces(d->udp, names, sizeof(names));
	if (d->applier)
		ay_applier_progress(d->applier, &v.apply);
	v.uptime_s = (uv_now(&d->loop) - d->started_ms) / 1000;
	v.problem = ay_disk_problem(d->disk);
	if (!v.problem[0])
		v.problem = d->apply_problem;
	if (!v.problem[0])
		v.problem = d->switch_problem;
	v.switcher = d->switcher;
	if (!v.problem[0] && d->repo)
		v.problem = ay_repo_watch_problem(d->repo);
	if (!v.problem[0])
		v.problem = d->network_problem;
	return ay_status_object(&v);
}

static void on_view(void *ctx, struct ay_core_status *core, struct ay_update_view *view)
{
	struct ay_daemon *d = ctx;
	ay_core_status(d->core, core);
	if (d->applier)
		ay_applier_progress(d->applier, &d->progress);
	for (unsigned i = 0; i < core->n_branches && i < AY_CORE_BRANCHES_MAX; i++) {
		const struct ay_switcher_view *w =
			d->switcher ? ay_switcher_view(d->switcher, core->branches[i].branch) : NULL;
		d->ready[i][0] = 0;
		if (w)
			ay_turn_words(d->config, &w->turn, &w->state, d->ready[i], sizeof(d->ready[i]));
	}
	*view = (struct ay_update_view){.core = core,
					.switching = d->switcher && ay_switcher_busy(d->switcher),
					.ready = d->ready,
					.apply_done = d->progress.done_bytes,
					.apply_total = d->progress.total_bytes,
					.apply_branch = d->progress.branch};
}

static void on_update(void *ctx, const char *branch, bool force)
{
	struct ay_daemon *d = ctx;
	struct ay_event ev = {.type = AY_EV_UPDATE, .update = {.branch = branch, .force = force}};
	ay_log(AY_LOG_NOTICE, "the owner asks for an update of %s", branch[0] ? branch : "all branches");
	ay__daemon_post(d, &ev);
}

static void on_fetch(void *ctx, const char *branch, const struct ay_digest *manifest)
{
	struct ay_daemon *d = ctx;
	struct ay_event ev = {.type = AY_EV_FETCH, .fetch = {.branch = branch, .manifest = *manifest}};
	if (!ay_digest_is_zero(manifest))
		ay_log(AY_LOG_NOTICE,
		       "%s: something of a tree was lost: a bundle that may have it is looked for", branch);
	ay__daemon_post(d, &ev);
}

void ay__daemon_views(struct ay_daemon *d, const struct ay_load *load)
{
	AY_FREE struct ay_switcher_view *views = load ? calloc(AY_CORE_BRANCHES_MAX, sizeof(*views)) : NULL;
	if (d->switcher)
		ay_switcher_views(d->switcher, views,
				  views ? ay_load_views(load, views, AY_CORE_BRANCHES_MAX) : 0);
}

struct reload {
	struct ay_daemon *daemon;
	void (*done)(void *arg, int status, const char *message);
	void *arg;
	struct ay_load *load;
	int status;
	struct ay_err err;
};

static void reload_work(void *ctx)
{
	struct reload *r = ctx;
	r->status = ay_load_read(r->daemon->store, &r->load, &r->err);
}

static void reload_done(void *ctx, bool cancelled)
{
	struct reload *r = ctx;
	struct ay_daemon *d = r->daemon;
	if (!cancelled) {
		if (r->status == 0) {
			ay_load_tell(r->load, &d->events, d->disk);
			ay__daemon_views(d, r->load);
		} else {
			ay__daemon_views(d, NULL);
		}
		if (r->status == 0)
			ay_log(AY_LOG_INFO, "the store was read again");
		else
			ay_log(AY_LOG_ERROR, "%s", r->err.msg);
		if (r->done)
			r->done(r->arg, r->status, r->err.msg);
	}
	ay_load_free(r->load);
	free(r);
}

/* @done: NULL when nobody waits. */
static void on_reload(void *ctx, void (*done)(void *arg, int status, const char *message), void *arg)
{
	struct ay_daemon *d = ctx;
	struct reload *r = d->store ? calloc(1, sizeof(*r)) : NULL;
	if (d->repo)
		ay_repo_watch_scan(d->repo);
	if (r)
		*r = (struct reload){.daemon = d, .done = done, .arg = arg};
	if (!r || ay_disk_job(d->disk, reload_work, reload_done, r)) {
		free(r);
		ay__daemon_views(d, NULL);
		if (done)
			done(arg, d->store ? -ENOMEM : 0, "out of memory");
	}
}

/* ---- the switcher ---- */

static void on_switched(void *ctx)
{
	on_reload(ctx, NULL, NULL);
}

static void on_switch_failed(void *ctx, const char *branch, int code, const char *message)
{
	struct ay_daemon *d = ctx;
	snprintf(d->switch_problem, sizeof(d->switch_problem), "%s", message);
	if (d->control && code < 0)
		ay_control_failed(d->control, branch, code, message);
}

struct ay_switcher_ops ay__daemon_switcher_ops(struct ay_daemon *d)
{
	return (struct ay_switcher_ops){d, on_switched, on_switch_failed};
}

struct ay_control_ops ay__daemon_control_ops(struct ay_daemon *d)
{
	return (struct ay_control_ops){d, on_status, on_view, on_update, on_fetch, on_reload};
}
