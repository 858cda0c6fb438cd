/* SPDX-License-Identifier: MIT */
/*
 * node/daemon.h - the machine around the core: one loop that feeds it events and carries out its orders.
 *
 *     udp tcp disk applier repo_watch wake control        what the machine hears and does
 *            \   |   |   |       |      |    |
 *             events, one queue, one at a time
 *                         |
 *                   ay_core_step()
 *                         |
 *             orders, in sequence, to the same parts
 */
#ifndef AYNI_NODE_DAEMON_H
#define AYNI_NODE_DAEMON_H

#include "node/config.h"

/**
 * ay_daemon_run() - be a node until SIGTERM or SIGINT.
 * @config: checked; borrowed.
 *
 * Return: 0 after a signal; before the loop began: AY_EBUSY the store or control socket is another node's,
 *   -EADDRINUSE, -EACCES, AY_EUSAGE, ... each with a sentence that says what to do.
 */
int ay_daemon_run(const struct ay_config *config, struct ay_err *err);

#endif
