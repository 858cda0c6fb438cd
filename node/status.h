/* SPDX-License-Identifier: MIT */
/*
 * node/status.h - everything a node would tell its owner, as one JSON object (docs/protocol.md, "Control socket").
 */
#ifndef AYNI_NODE_STATUS_H
#define AYNI_NODE_STATUS_H

#include <jansson.h>

#include "node/applier.h"
#include "node/config.h"
#include "node/switcher.h"
#include "node/tcp.h"

struct ay_status_view {
	const struct ay_config *config;
	const struct ay_core_status *core;
	struct ay_tcp_totals tcp;
	uint16_t port;
	const char *interfaces; /* on which the groups are joined */
	struct ay_applier_progress apply;
	uint64_t uptime_s;
	const struct ay_switcher *switcher; /* NULL: no store */
	const char *problem;                /* of the node as a whole; "" */
};

/** ay_status_object() - NULL: out of memory. */
json_t *ay_status_object(const struct ay_status_view *v);

#endif
