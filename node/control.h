/* SPDX-License-Identifier: MIT */
/*
 * node/control.h - the control socket: who may write to it may ask and command the node.
 */
#ifndef AYNI_NODE_CONTROL_H
#define AYNI_NODE_CONTROL_H

#include <jansson.h>
#include <uv.h>

#include "node/update.h"

#define AY_CONTROL_CLIENTS_MAX 32         /* status watchers, updates that wait; more are turned away */
#define AY_CONTROL_OUT_MAX     (1u << 20) /* bytes that a client has not read; then it is closed */

/* What a client's wish becomes. All are called on the loop's thread. */
struct ay_control_ops {
	void *ctx;
	json_t *(*status)(void *ctx); /* a new object */
	/* Fills @core and the rest; what it points to stays until the next call. */
	void (*view)(void *ctx, struct ay_core_status *core, struct ay_update_view *view);
	void (*update)(void *ctx, const char *branch, bool force);
	/* A bundle to the tree @manifest is wanted for what is in it; zeros: not any more. */
	void (*fetch)(void *ctx, const char *branch, const struct ay_digest *manifest);
	/* Read the store again, then @done once. */
	void (*reload)(void *ctx, void (*done)(void *arg, int status, const char *message), void *arg);
};

struct ay_control;

/**
 * ay_control_new() - listen at @path. A socket left over by a dead node is replaced.
 * @group: name of the group that may use it besides the owner; "": none.
 *
 * Return: 0; AY_EBUSY another node answers there; AY_EUSAGE there is no such group; -errno with a sentence.
 */
int ay_control_new(uv_loop_t *loop, const char *path, const char *group, const struct ay_control_ops *ops,
		   struct ay_control **out, struct ay_err *err);
/** ay_control_failed() - tell those who wait for an update that an apply failed. */
void ay_control_failed(struct ay_control *c, const char *branch, int code, const char *message);
/** ay_control_close() - remove the socket; run the loop, then ay_control_free(). */
void ay_control_close(struct ay_control *c);
void ay_control_free(struct ay_control *c);

#endif
