/* SPDX-License-Identifier: MIT */
/*
 * node/wake.h - awake again, or on another network: the moments to ask for news at once.
 */
#ifndef AYNI_NODE_WAKE_H
#define AYNI_NODE_WAKE_H

#include <stdbool.h>
#include <uv.h>

struct ay_wake;

enum ay_wake_reason { AY_WAKE_RESUME, AY_WAKE_NETWORK };

/**
 * ay_wake_new() - call @woke a moment after the machine resumed or a link or address came up.
 *
 * A kernel that offers neither sign leaves a wake that never calls; that is no error.
 * Return: 0 or -ENOMEM. Close with ay_wake_close(), run the loop, then ay_wake_free().
 */
int ay_wake_new(uv_loop_t *loop, void (*woke)(void *ctx, enum ay_wake_reason reason), void *ctx,
		struct ay_wake **out);
void ay_wake_close(struct ay_wake *w);
void ay_wake_free(struct ay_wake *w);

#endif
