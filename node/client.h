/* SPDX-License-Identifier: MIT */
/*
 * node/client.h - a command asks the node over its control socket.
 */
#ifndef AYNI_NODE_CLIENT_H
#define AYNI_NODE_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

struct ay_client;

/**
 * ay_client_open() - connect.
 *
 * Return: 0; -ENOENT or -ECONNREFUSED no node is there; -EACCES this user may not; each with a sentence that says
 *   what to do.
 */
int ay_client_open(const char *path, struct ay_client **out, struct ay_err *err);
void ay_client_close(struct ay_client *c);

/**
 * ay_client_call() - one call, and its replies.
 * @parameters: taken over; may be NULL.
 * @each: NULL: the only reply's parameters come back in @reply (json_decref it). Else it is called for every
 *   reply, the last one too; nonzero stops and is returned.
 * @timeout_ms: for each reply; 0: 10 s.
 *
 * Return: 0; the node's own error (its code and sentence); AY_EFORMAT it speaks nonsense; -ETIMEDOUT; -ECONNRESET.
 */
int ay_client_call(struct ay_client *c, const char *method, json_t *parameters,
		   int (*each)(void *ctx, const json_t *parameters, bool last), void *ctx, json_t **reply,
		   int timeout_ms, struct ay_err *err);

/**
 * ay_client_reload() - tell the node at @path that the store changed under it. That no node runs is no error; what a
 * running one cannot do it says on standard error, because the caller's own work is done.
 */
void ay_client_reload(const char *path);

#endif
