/* SPDX-License-Identifier: MIT */
/*
 * A node's start and end. Everything that can be wrong is found before the loop begins, and said.
 *
 * A kill at any moment is harmless, and so the end is simple: close everything, wait for the one job that may be on
 * the disk's thread, go.
 */
#include "node/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/daemon_internal.h"
#include "node/load.h"
#include "node/log.h"
#include "node/networks.h"
#include "store/state.h"

#define SCHOOL_SESSIONS  1024
#define FDS_RESERVED     (AY_CORE_BUNDLES_MAX + 64) /* bundles, sockets, the store's own */
#define FDS_WANTED       4096
#define EXIT_PATIENCE_MS 1000

/* ---- what the parts tell ---- */

static void on_applied(void *ctx, const struct ay_event *ev)
{
	struct ay_daemon *d = ctx;
	if (ev->status == 0) {
		d->apply_problem[0] = 0;
		ay_log(AY_LOG_NOTICE, "%s: serial %u is complete", ev->applied.branch,
		       (unsigned)ev->applied.serial);
		ay_switcher_kick(d->switcher);
	}
	ay__daemon_post(d, ev);
}

static void on_apply_failed(void *ctx, const char *branch, int code, const char *message)
{
	struct ay_daemon *d = ctx;
	snprintf(d->apply_problem, sizeof(d->apply_problem), "%s: %s", branch, message);
	ay_log(AY_LOG_ERROR, "%s: applying failed: %s", branch, message);
	if (d->control)
		ay_control_failed(d->control, branch, code, message);
}

static void look_at_network(struct ay_daemon *d)
{
	char names[128];
	if (ay_udp_interfaces(d->udp, names, sizeof(names)) == 0)
		snprintf(d->network_problem, sizeof(d->network_problem),
			 "no interface with an address can multicast; only configured peers are asked");
	else
		d->network_problem[0] = 0;
}

static void tell_networks(struct ay_daemon *d)
{
	struct ay_event ev = {.type = AY_EV_NETWORKS};
	ev.networks.n = ay_networks(ev.networks.list, AY_CORE_NETWORKS_MAX);
	ay__daemon_post(d, &ev);
}

static void on_woke(void *ctx, enum ay_wake_reason reason)
{
	struct ay_daemon *d = ctx;
	struct ay_event ev = {.type = AY_EV_WAKE};
	ay_udp_rescan(d->udp);
	look_at_network(d);
	tell_networks(d);
	ay_log(AY_LOG_INFO, "%s: asking for news",
	       reason == AY_WAKE_RESUME ? "awake again, or the clock was set" : "the network changed");
	ay__daemon_post(d, &ev);
}

static void stop(struct ay_daemon *d);

static void on_signal(uv_signal_t *s, int number)
{
	ay_log(AY_LOG_NOTICE, "signal %d: goodbye", number);
	stop(s->data);
}

/* ---- life ---- */

/* One node per store. The lock goes with the process, however that ends. */
static int lock_store(struct ay_daemon *d, struct ay_err *err)
{
	AY_FREE char *path = NULL;
	if (asprintf(&path, "%s/state/node.lock", d->config->store) < 0) {
		path = NULL;
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return ay_err_errno(err, errno, "cannot open %s", path);
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK
			       ? ay_err_set(err, AY_EBUSY,
					    "another node has the store %s open: stop it, or give this one "
					    "another --store",
					    d->config->store)
			       : ay_err_errno(err, errno, "cannot lock %s", path);
	return 0;
}

static int open_store(struct ay_daemon *d, struct ay_load **load, struct ay_err *err)
{
	if (!d->config->store[0])
		return 0;
	int r = ay_store_open(ay_fs_real(), d->config->store, 0, &d->store, err);
	if (r == AY_ESTATE && access(d->config->store, F_OK) && errno == ENOENT)
		return ay_err_wrap(err, r, "`ayni init` makes a store");
	if (r == 0)
		r = lock_store(d, err);
	return r < 0 ? r : ay_load_read(d->store, load, err);
}

static int random_u64(uint64_t *out, struct ay_err *err)
{
	return getrandom(out, sizeof(*out), 0) == sizeof(*out) ? 0
							       : ay_err_errno(err, errno, "random numbers");
}

static int make_core(struct ay_daemon *d, struct ay_err *err)
{
	struct ay_core_config c = {.role = d->config->role,
				   .tcp_port = ay_tcp_port(d->tcp),
				   .sessions_max = d->sessions_max,
				   .auto_update = d->config->auto_update,
				   .apply = {.memory = d->config->apply_memory,
					     .encoders = d->encoders,
					     .n_encoders = ay_encoders_here(d->encoders)},
				   .peers = d->config->peers,
				   .n_peers = d->config->n_peers};
	int r;
	do {
		r = random_u64(&c.session_id, err);
	} while (r == 0 && c.session_id == 0); /* zero is nobody's */
	if (r == 0)
		r = random_u64(&c.seed, err);
	if (r == 0 && d->store) {
		/* A draw that stays: who is among the first ten percent once must not draw again at each start. */
		uint8_t id[16], hash[32];
		r = ay_state_install_id(d->store, id, err);
		if (r < 0)
			return r;
		ay_sha256(id, sizeof(id), hash);
		c.rollout_draw = (uint8_t)(ay_get_le64(hash) % 100);
	}
	if (r < 0)
		return r;
	d->trace = getenv("AYNI_TRACE");
	if (d->trace && *d->trace) {
		c.trace = ay__daemon_trace;
		c.trace_ctx = d;
	}
	d->core = ay_core_new(&c);
	return d->core ? 0 : ay_err_set(err, -ENOMEM, "out of memory");
}

/* As many sessions as there are file descriptors for. */
static void count_fds(struct ay_daemon *d)
{
	struct rlimit l;
	unsigned want = d->config->role == AY_NODE_SCHOOL ? SCHOOL_SESSIONS : AY_CORE_SESSIONS_MAX;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		rlim_t aim = l.rlim_max < FDS_WANTED ? l.rlim_max : FDS_WANTED;
		if (l.rlim_cur < aim) {
			l.rlim_cur = aim;
			setrlimit(RLIMIT_NOFILE, &l);
			getrlimit(RLIMIT_NOFILE, &l);
		}
		rlim_t room = l.rlim_cur > FDS_RESERVED + 16 ? l.rlim_cur - FDS_RESERVED : l.rlim_cur / 4;
		if (room < want) {
			want = room > 4 ? (unsigned)room : 4;
			ay_log(AY_LOG_WARNING,
			       "only %u sessions at once: the limit is %u open files (ulimit -n)", want,
			       (unsigned)l.rlim_cur);
		}
	}
	d->sessions_max = want;
}

/* Neither a group nor a peer: such a node would wait for ever. */
static int check_reach(struct ay_daemon *d, struct ay_err *err)
{
	char names[128];
	if (ay_udp_interfaces(d->udp, names, sizeof(names)))
		return 0;
	const char *where = d->config->interface[0] ? d->config->interface : "any interface";
	if (d->config->n_peers == 0)
		return ay_err_set(err, -ENETUNREACH,
				  "no multicast on %s (it needs to be up, with an address), and no peers are "
				  "configured: bring a network up, name another --interface, or give --peers",
				  where);
	ay_log(AY_LOG_WARNING,
	       "no multicast on %s: only the %u configured peers are asked, and nobody hears us", where,
	       d->config->n_peers);
	return 0;
}

static int start_parts(struct ay_daemon *d, struct ay_err *err)
{
	const struct ay_config *c = d->config;
	const struct ay_addr *address = c->has_address ? &c->address : NULL;
	const struct ay_events applied = {on_applied, d};
	const struct ay_tcp_config tcp = {
		.address = address, .port = c->port, .sessions_max = d->sessions_max, .rate = c->rate};
	const struct ay_udp_config udp = {c->interface, address, c->news_port, c->chat_port};
	const struct ay_control_ops ops = ay__daemon_control_ops(d);
	const struct ay_switcher_ops switching = ay__daemon_switcher_ops(d);
	int r = ay_disk_new(&d->loop, d->store, &d->events, &d->disk);
	if (r == 0 && d->store)
		r = ay_applier_new(&d->loop, c->store, &applied, on_apply_failed, d, &d->applier);
	if (r == 0 && d->store) {
		ay_applier_config(d->applier, c->path, c->apply_memory);
		ay_disk_budget(d->disk, c, switching.reload, d);
	}
	if (r == 0 && d->store)
		r = ay_switcher_new(&d->loop, c, &switching, &d->switcher);
	if (r == 0)
		r = ay_wake_new(&d->loop, on_woke, d, &d->wake);
	if (r < 0)
		return ay_err_set(err, r, "out of memory");
	r = ay_control_new(&d->loop, c->control, c->control_group, &ops, &d->control, err);
	if (r == 0)
		r = ay_tcp_new(&d->loop, &tcp, d->disk, &d->events, &d->tcp, err);
	if (r == 0)
		r = ay_udp_new(&d->loop, &udp, &d->events, &d->udp, err);
	if (r == 0)
		r = check_reach(d, err);
	if (r == 0 && c->role == AY_NODE_SCHOOL)
		r = ay_repo_watch_new(&d->loop, c->repo, d->disk, &d->events, &d->repo, err);
	return r;
}

static void say_ready(struct ay_daemon *d, const struct ay_load *load)
{
	char names[128], branches[512] = "no branch";
	const struct ay_config *c = d->config;
	ay_udp_interfaces(d->udp, names, sizeof(names));
	if (load)
		ay_load_branches(load, branches, sizeof(branches));
	look_at_network(d);
	ay_log(AY_LOG_NOTICE, "%s ready: TCP port %u, groups on %s, %s %s%s%s",
	       c->role == AY_NODE_SCHOOL ? "school" : "laptop", (unsigned)ay_tcp_port(d->tcp),
	       names[0] ? names : "no interface", c->role == AY_NODE_SCHOOL ? "repository" : "store",
	       c->role == AY_NODE_SCHOOL ? c->repo : c->store, load ? ", follows " : "",
	       load ? branches : "");
	if (load && !branches[0])
		ay_log(AY_LOG_WARNING, "no branch is followed: `ayni branch add NAME` follows one");
}

static void stop(struct ay_daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	uv_close((uv_handle_t *)&d->deadline, NULL);
	uv_close((uv_handle_t *)&d->sigterm, NULL);
	uv_close((uv_handle_t *)&d->sigint, NULL);
	if (d->control)
		ay_control_close(d->control);
	if (d->repo)
		ay_repo_watch_close(d->repo);
	if (d->wake)
		ay_wake_close(d->wake);
	if (d->udp)
		ay_udp_close(d->udp);
	if (d->tcp)
		ay_tcp_close(d->tcp);
	if (d->applier)
		ay_applier_close(d->applier);
	if (d->switcher)
		ay_switcher_close(d->switcher);
	if (d->disk)
		ay_disk_close(d->disk);
}

static void release(struct ay_daemon *d)
{
	uint64_t start = uv_hrtime();
	while (uv_run(&d->loop, UV_RUN_NOWAIT) != 0) {
		/* A job that hashes a large bundle need not be waited for: nothing it does matters any more. */
		if (uv_hrtime() - start > EXIT_PATIENCE_MS * 1000000ull && d->disk && ay_disk_busy(d->disk))
			_exit(0);
		usleep(1000);
	}
	ay__daemon_drop_queue(d);
	ay_control_free(d->control);
	ay_repo_watch_free(d->repo);
	ay_wake_free(d->wake);
	ay_udp_free(d->udp);
	ay_tcp_free(d->tcp);
	ay_applier_free(d->applier);
	ay_switcher_free(d->switcher);
	ay_core_free(d->core); /* before the disk: it looks at the bundles' trees */
	ay_disk_free(d->disk);
	ay_store_close(d->store);
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	uv_loop_close(&d->loop);
}

int ay_daemon_run(const struct ay_config *config, struct ay_err *err)
{
	struct ay_daemon *d = calloc(1, sizeof(*d));
	struct ay_load *load = NULL;
	if (!d || uv_loop_init(&d->loop)) {
		free(d);
		return ay_err_set(err, -ENOMEM, "out of memory");
	}
	d->config = config;
	d->lock_fd = -1;
	d->deadline_ns = UINT64_MAX;
	d->events = (struct ay_events){ay__daemon_post, d};
	d->deadline.data = d->sigterm.data = d->sigint.data = d;
	uv_timer_init(&d->loop, &d->deadline);
	uv_signal_init(&d->loop, &d->sigterm);
	uv_signal_init(&d->loop, &d->sigint);
	signal(SIGPIPE, SIG_IGN);
	count_fds(d);
	int r = open_store(d, &load, err);
	if (r == 0)
		r = start_parts(d, err);
	if (r == 0)
		r = make_core(d, err);
	if (r == 0) {
		d->started_ms = uv_now(&d->loop);
		uv_signal_start(&d->sigterm, on_signal, SIGTERM);
		uv_signal_start(&d->sigint, on_signal, SIGINT);
		say_ready(d, load);
		tell_networks(d);
		if (load) {
			ay_load_tell(load, &d->events, d->disk);
			ay__daemon_views(d, load);
		}
		ay_load_free(load);
		load = NULL;
		uv_run(&d->loop, UV_RUN_DEFAULT);
	}
	ay_load_free(load);
	stop(d);
	release(d);
	free(d);
	return r;
}
