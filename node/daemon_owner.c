/* SPDX-License-Identifier: MIT */
/*
 * What the owner asks over the control socket: status, an update, to read the store again.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "node/daemon_internal.h"
#include "node/load.h"
#include "node/log.h"
#include "node/status.h"

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
	*view = (struct ay_update_view){.core = core,
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
		if (r->status == 0)
			ay_load_tell(r->load, &d->events, d->disk);
		if (r->status == 0)
			ay_log(AY_LOG_INFO, "the store was read again");
		else
			ay_log(AY_LOG_ERROR, "%s", r->err.msg);
		r->done(r->arg, r->status, r->err.msg);
	}
	ay_load_free(r->load);
	free(r);
}

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
		done(arg, d->store ? -ENOMEM : 0, "out of memory");
	}
}

struct ay_control_ops ay__daemon_control_ops(struct ay_daemon *d)
{
	return (struct ay_control_ops){d, on_status, on_view, on_update, on_reload};
}
