/* SPDX-License-Identifier: MIT */
/*
 * node/disk_internal.h - what the files of the disk share, from the ground up: disk.c (the queue of jobs),
 * disk_bundle.c (bundles and their data), disk_order.c (the core's orders). Nobody else includes it.
 */
#ifndef AYNI_NODE_DISK_INTERNAL_H
#define AYNI_NODE_DISK_INTERNAL_H

#include "node/disk.h"

enum ay__bundle_state { AY__OPENING, AY__OPEN, AY__FINISHING };

struct ay_disk_bundle {
	struct ay_disk *disk;
	struct ay_disk_bundle *next;
	struct ay_digest digest;
	uint64_t size;
	struct ay_bundle_file *file;
	enum ay__bundle_state state;
	bool dropped;   /* no longer in the table */
	bool elsewhere; /* in a repository; not ours to remove */
	unsigned refs;
	uint64_t dirty_bytes, dirty_since_ms;
	bool syncing;
};

struct ay__job {
	struct ay__job *next;
	struct ay_disk *disk;
	/* On the disk's thread; sets status and err. */
	void (*work)(struct ay__job *j);
	/* On the loop's thread. */
	void (*done)(struct ay__job *j);
	int status;
	struct ay_err err;
	enum ay_order_type order;
	uint64_t token;
	struct ay_disk_bundle *bundle; /* referenced */
	struct ay_digest digest;
	uint64_t size;
	bool create, collected;
	struct ay_bundle_file *file;
	char branch[AY_BRANCH_NAME_MAX + 1];
	void (*ctx_work)(void *ctx);
	void (*ctx_done)(void *ctx, bool cancelled);
	void *ctx;
	size_t len;
	uint8_t data[];
};

struct ay_disk {
	uv_loop_t *loop;
	struct ay_store *store;
	struct ay_events events;
	uv_work_t work;
	uv_timer_t timer;
	struct ay__job *first, *last, *running;
	struct ay_disk_bundle *bundles;
	const struct ay_config *config; /* NULL: nothing is collected */
	void (*collected)(void *ctx);
	void *collected_ctx;
	bool closed;
	char problem[AY_ERR_MSG_MAX];
	uint64_t logged_ms;
};

/** ay__job_new() - with a copy of @data. NULL: out of memory. */
struct ay__job *ay__job_new(struct ay_disk *d, const void *data, size_t len);
/** ay__job_push() - takes @j over; references @b (may be NULL) until it is done. */
void ay__job_push(struct ay__job *j, struct ay_disk_bundle *b);
/** ay__job_none() - the work of a job that only keeps its place in the sequence. */
void ay__job_none(struct ay__job *j);
/** ay__job_stored() - tell AY_EV_STORED with the job's token and status. */
void ay__job_stored(struct ay__job *j);
/** ay__disk_post() - unless the disk was closed. */
void ay__disk_post(struct ay_disk *d, const struct ay_event *ev);
/** ay__disk_problem() - remember, and log when it is new; "": all is well again. */
void ay__disk_problem(struct ay_disk *d, const char *text);

/* Orders about bundles (disk_bundle.c). */
void ay__disk_drop_bundle(struct ay_disk *d, const struct ay_digest *digest);
void ay__disk_finish_bundle(struct ay_disk *d, const struct ay_order *order);
void ay__disk_close_bundles(struct ay_disk *d);

#endif
