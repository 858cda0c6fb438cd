/* SPDX-License-Identifier: MIT */
/*
 * node/applier.h - trees are made by a process of their own.
 *
 * The worker is this same binary (`ayni apply-worker`), nice 10, killed by the
 * kernel when the node dies. It believes nothing that it is told but digests:
 * it reads release, offer and bundle from the store and checks them again. On its
 * standard output it writes one JSON object a line:
 *
 *     {"progress": [DONE_BYTES, TOTAL_BYTES]}
 *     {"done": {"serial": N, "manifest": DIGEST}}        the last line, or
 *     {"error": {"code": -5008, "message": "..."}}
 */
#ifndef AYNI_NODE_APPLIER_H
#define AYNI_NODE_APPLIER_H

#include <uv.h>

#include "base/error.h"
#include "node/events.h"

#define AY_APPLIER_LINE_MAX 4096

/* One line of the worker, decoded. */
struct ay_applier_line {
	enum { AY_APPLIER_PROGRESS, AY_APPLIER_DONE, AY_APPLIER_ERROR } kind;
	uint64_t done_bytes, total_bytes;
	uint32_t serial;
	struct ay_digest manifest;
	int code;
	char message[AY_ERR_MSG_MAX];
};

/** ay_applier_parse() - 0 or AY_EFORMAT. */
int ay_applier_parse(const char *line, size_t len, struct ay_applier_line *out);

struct ay_applier;

struct ay_applier_progress {
	char branch[AY_BRANCH_NAME_MAX + 1]; /* "" when nothing is being applied */
	uint64_t done_bytes, total_bytes;
};

/**
 * ay_applier_new() - @store_path: borrowed until ay_applier_free().
 * @failed: is told the sentence of each failure, before the event. May be NULL.
 */
int ay_applier_new(uv_loop_t *loop, const char *store_path, const struct ay_events *events,
		   void (*failed)(void *ctx, const char *branch, int code, const char *message), void *ctx,
		   struct ay_applier **out);
/**
 * ay_applier_config() - the configuration that the worker reads; borrowed likewise.
 * @memory: bytes that applying may take, whatever that file says; 0: any number.
 */
void ay_applier_config(struct ay_applier *a, const char *path, uint64_t memory);
/** ay_applier_close() - kill the worker (harmless at any time); then run the loop, then ay_applier_free(). */
void ay_applier_close(struct ay_applier *a);
void ay_applier_free(struct ay_applier *a);

/** ay_applier_order() - carry out an APPLY order; one after the other. Answered by APPLIED, never inside the call. */
void ay_applier_order(struct ay_applier *a, const struct ay_order *order);
void ay_applier_progress(const struct ay_applier *a, struct ay_applier_progress *out);

#endif
