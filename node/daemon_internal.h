/* SPDX-License-Identifier: MIT */
/*
 * node/daemon_internal.h - what the files of the daemon share: daemon.c (start and end), daemon_core.c (events in,
 * orders out), daemon_owner.c (what the control socket asks). Nobody else includes it.
 */
#ifndef AYNI_NODE_DAEMON_INTERNAL_H
#define AYNI_NODE_DAEMON_INTERNAL_H

#include <uv.h>

#include "diff/encoders.h"
#include "node/applier.h"
#include "node/control.h"
#include "node/daemon.h"
#include "node/disk.h"
#include "node/load.h"
#include "node/repo_watch.h"
#include "node/switcher.h"
#include "node/tcp.h"
#include "node/udp.h"
#include "node/wake.h"

struct ay__queued;

struct ay_daemon {
	uv_loop_t loop;
	const struct ay_config *config;
	struct ay_store *store;
	int lock_fd;
	struct ay_core *core;
	struct ay_events events;
	bool stepping, stopping;
	struct ay__queued *first, *last;
	uint64_t now_ns, deadline_ns, started_ms;
	uv_timer_t deadline;
	uv_signal_t sigterm, sigint;
	struct ay_udp *udp;
	struct ay_tcp *tcp;
	struct ay_disk *disk;
	struct ay_applier *applier;
	struct ay_switcher *switcher; /* with a store */
	char switch_problem[AY_ERR_MSG_MAX];
	char ready[AY_CORE_BRANCHES_MAX][AY_UPDATE_READY_TEXT]; /* lent to control */
	struct ay_repo_watch *repo;
	struct ay_wake *wake;
	struct ay_control *control;
	const char *trace;                 /* AYNI_TRACE */
	const char *encoders[AY_ENCODERS]; /* lent to the core */
	char apply_problem[AY_ERR_MSG_MAX];
	char network_problem[128];
	unsigned sessions_max;
	struct ay_applier_progress progress; /* lent to control */
};

/** ay__daemon_post() - an ay_events post: step the core now, or after the step that runs. */
void ay__daemon_post(void *ctx, const struct ay_event *ev);
/** ay__daemon_drop_queue() - forget what waits. */
void ay__daemon_drop_queue(struct ay_daemon *d);
/** ay__daemon_trace() - the core's trace, for the rooms that AYNI_TRACE names. */
void ay__daemon_trace(void *ctx, const char *room, const char *line);
/** ay__daemon_switcher_ops() - what the switcher tells. */
struct ay_switcher_ops ay__daemon_switcher_ops(struct ay_daemon *d);
/** ay__daemon_views() - what the store said of its branches, for the switcher; NULL: it could not be read. */
void ay__daemon_views(struct ay_daemon *d, const struct ay_load *load);
/** ay__daemon_control_ops() - what clients of the control socket may ask. */
struct ay_control_ops ay__daemon_control_ops(struct ay_daemon *d);

#endif
