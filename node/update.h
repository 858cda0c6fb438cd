/* SPDX-License-Identifier: MIT */
/*
 * node/update.h - how far is the update that somebody waits for?
 *
 * The core has no notion of "the update": it always strives for the newest release.
 * Who types `ayni update` wants an end. This looks at the core's status again and
 * again and says when there is one; pure, so that time and status come in as values.
 */
#ifndef AYNI_NODE_UPDATE_H
#define AYNI_NODE_UPDATE_H

#include "base/error.h"
#include "proto/core.h"

#define AY_UPDATE_LISTEN_MS 3000  /* after the question: so long newer heads are waited for */
#define AY_UPDATE_ALONE_MS  10000 /* as long, while nobody at all was heard */
#define AY_UPDATE_SEARCH_MS 60000 /* nobody can give it */
#define AY_UPDATE_FETCH_MS                                                                                   \
	20000 /* likewise a bundle that is wanted for what is in it: all who are here were asked by then */
#define AY_UPDATE_STALL_MS 180000 /* collecting or applying without any progress */

#define AY_UPDATE_READY_TEXT 256

enum ay_update_state {
	AY_UPDATE_RUNNING,
	AY_UPDATE_DONE,
	AY_UPDATE_NOTHING,
	AY_UPDATE_FAILED,
	AY_UPDATE_REFUSED,
};

/* What the judge sees beside the core's status. */
struct ay_update_view {
	const struct ay_core_status *core;
	uint64_t apply_done, apply_total;
	const char *apply_branch;
	bool switching; /* what is complete is on its way to be current */
	/* By position in the status: what of it waits and for what; "": nothing. NULL: nothing of any. */
	const char (*ready)[AY_UPDATE_READY_TEXT];
};

struct ay_update {
	char branch[AY_BRANCH_NAME_MAX + 1]; /* "": all */
	uint64_t started_ms, changed_ms;
	uint32_t have[AY_CORE_BRANCHES_MAX]; /* at the start, by position in the status */
	uint64_t from_peers, from_school;    /* bytes, at the start */
	uint64_t last_sum;                   /* of all that can progress */
	bool met_anybody;
	bool fetch; /* a bundle is waited for, no release */
	unsigned fetched;
	uint64_t fetched_bytes;
	/* An apply that failed since the start. */
	int failure;
	char failure_text[AY_ERR_MSG_MAX];
	/* The verdict. */
	int show; /* position of the branch to show; -1: none */
	char message[AY_ERR_MSG_MAX + 64];
};

/** ay_update_start() - @core: the status before the core is told. AY_EUSAGE: no such branch here. */
int ay_update_start(struct ay_update *u, const char *branch, const struct ay_core_status *core,
		    uint64_t now_ms, struct ay_err *err);
/** ay_update_start_fetch() - after ay_update_start() with a branch: a bundle of it is waited for. As ay_branch_status has them. */
void ay_update_start_fetch(struct ay_update *u, unsigned fetched, uint64_t fetched_bytes);
/** ay_update_failed() - an apply of @branch failed. */
void ay_update_failed(struct ay_update *u, const char *branch, int code, const char *text);
/** ay_update_judge() - sets show and message. */
enum ay_update_state ay_update_judge(struct ay_update *u, const struct ay_update_view *v, uint64_t now_ms);

const char *ay_update_state_name(enum ay_update_state s);
const char *ay_phase_name(enum ay_branch_phase p);

#endif
