/* SPDX-License-Identifier: MIT */
/*
 * node/switcher.h - the node knows when a release is to become current; another process makes it so.
 *
 * That is `ayni switch --due`, a child, because hooks are the owner's programs and take minutes; or, with
 * switch-trigger in the configuration, whoever waits for that file (a unit of its own, packaging/ayni-switch.path).
 * Its standard output is one JSON array (docs/protocol.md); the store is read again when it ended.
 */
#ifndef AYNI_NODE_SWITCHER_H
#define AYNI_NODE_SWITCHER_H

#include <uv.h>

#include "node/config.h"
#include "store/turn.h"

/* How a branch stands, as the store said when it was read last. */
struct ay_switcher_view {
	struct ay_branch_state state;
	struct ay_turn turn;
};

struct ay_switcher_ops {
	void *ctx;
	/* The child did something to the store: read it, then ay_switcher_views(). */
	void (*reload)(void *ctx);
	/* A branch did not get where it was to go. @code 0, "", "": all did. */
	void (*failed)(void *ctx, const char *branch, int code, const char *message);
};

struct ay_switcher;

/** ay_switcher_new() - @config: borrowed. 0 or negative. */
int ay_switcher_new(uv_loop_t *loop, const struct ay_config *config, const struct ay_switcher_ops *ops,
		    struct ay_switcher **out);
/** ay_switcher_close() - a child that runs goes on by itself; run the loop, then ay_switcher_free(). */
void ay_switcher_close(struct ay_switcher *w);
void ay_switcher_free(struct ay_switcher *w);

/** ay_switcher_kick() - a tree is complete: switch to it if it is time, and collect. */
void ay_switcher_kick(struct ay_switcher *w);
/** ay_switcher_views() - the store was read (@views NULL: it could not be); they are copied. What is due is begun, what is not is waited for. */
void ay_switcher_views(struct ay_switcher *w, const struct ay_switcher_view *views, size_t n);

/** ay_switcher_busy() - from a kick until the store was read after it. */
bool ay_switcher_busy(const struct ay_switcher *w);
/** ay_switcher_view() - of @branch; NULL: not in the store. Borrowed until the next ay_switcher_views(). */
const struct ay_switcher_view *ay_switcher_view(const struct ay_switcher *w, const char *branch);

#endif
