/* SPDX-License-Identifier: MIT */
/*
 * Judging an update. It is over when no branch concerned is busy any more and the question that was asked has had
 * time to be answered; or when nothing has moved for long, although the node itself goes on trying.
 */
#include "node/update.h"

#include <stdio.h>
#include <string.h>

const char *ay_update_state_name(enum ay_update_state s)
{
	static const char *const names[] = {"running", "done", "nothing", "failed", "refused"};
	return names[s];
}

const char *ay_phase_name(enum ay_branch_phase p)
{
	static const char *const names[] = {"idle",       "learning", "searching",
					    "collecting", "applying", "held"};
	return (unsigned)p < sizeof(names) / sizeof(names[0]) ? names[p] : "?";
}

static bool concerns(const struct ay_update *u, const struct ay_branch_status *b)
{
	return !u->branch[0] || strcmp(u->branch, b->branch) == 0;
}

int ay_update_start(struct ay_update *u, const char *branch, const struct ay_core_status *core,
		    uint64_t now_ms, struct ay_err *err)
{
	bool found = false;
	memset(u, 0, sizeof(*u));
	snprintf(u->branch, sizeof(u->branch), "%s", branch);
	u->started_ms = u->changed_ms = now_ms;
	u->show = -1;
	u->from_peers = core->bytes_from_peers;
	u->from_school = core->bytes_from_school;
	for (unsigned i = 0; i < core->n_branches; i++) {
		u->have[i] = core->branches[i].have_serial;
		found |= concerns(u, &core->branches[i]);
	}
	if (!found)
		return branch[0] ? ay_err_set(err, AY_ESTATE,
					      "this node does not follow branch %s (`ayni branch add` does)",
					      branch)
				 : ay_err_set(err, AY_ESTATE,
					      "this node follows no branch: `ayni branch add NAME`");
	return 0;
}

void ay_update_failed(struct ay_update *u, const char *branch, int code, const char *text)
{
	if (u->branch[0] && strcmp(u->branch, branch) != 0)
		return;
	u->failure = code;
	bool named = strncmp(text, branch, strlen(branch)) == 0;
	snprintf(u->failure_text, sizeof(u->failure_text), "%s%s%s", named ? "" : branch, named ? "" : ": ",
		 text);
}

static bool refused(int code)
{
	return code == AY_ESIG || code == AY_EROLE || code == AY_EROLLBACK || code == AY_EHOOK;
}

static enum ay_update_state end(struct ay_update *u, enum ay_update_state state, const char *text)
{
	snprintf(u->message, sizeof(u->message), "%s", text);
	return state;
}

/* Nobody is busy: what came of it? */
static enum ay_update_state judge_quiet(struct ay_update *u, const struct ay_update_view *v, uint64_t now_ms)
{
	const struct ay_core_status *c = v->core;
	char text[512];
	int newer = -1, held = -1, first = -1;
	for (unsigned i = 0; i < c->n_branches; i++) {
		const struct ay_branch_status *b = &c->branches[i];
		if (!concerns(u, b))
			continue;
		first = first < 0 ? (int)i : first;
		if (b->have_serial > u->have[i])
			newer = (int)i;
		/* Idle below the head: the owner went back from it, and nothing newer came since. */
		if (b->phase == AY_PHASE_HELD || b->head_serial > b->have_serial)
			held = (int)i;
	}
	u->show = newer >= 0 ? newer : held >= 0 ? held : first;
	if (u->show < 0)
		return end(u, AY_UPDATE_FAILED, "the branch is not followed any more");
	const struct ay_branch_status *b = &c->branches[u->show];
	/* It is complete, and a hook or its trial was against it. */
	if (u->failure == AY_EHOOK || u->failure == AY_EHEALTH)
		return end(u, refused(u->failure) ? AY_UPDATE_REFUSED : AY_UPDATE_FAILED, u->failure_text);
	if (newer >= 0 && v->ready && v->ready[newer][0]) {
		snprintf(text, sizeof(text), "%s: serial %u is %s", b->branch, (unsigned)b->have_serial,
			 v->ready[newer]);
		return end(u, AY_UPDATE_DONE, text);
	}
	if (newer >= 0) {
		snprintf(text, sizeof(text), "%s is now at serial %u", b->branch, (unsigned)b->have_serial);
		return end(u, AY_UPDATE_DONE, text);
	}
	if (u->failure)
		return end(u, refused(u->failure) ? AY_UPDATE_REFUSED : AY_UPDATE_FAILED, u->failure_text);
	if (now_ms - u->started_ms < (u->met_anybody ? AY_UPDATE_LISTEN_MS : AY_UPDATE_ALONE_MS))
		return AY_UPDATE_RUNNING;
	if (held >= 0) {
		snprintf(text, sizeof(text), "%s: serial %u is known and not taken: %s", b->branch,
			 (unsigned)b->head_serial,
			 b->problem[0] ? b->problem : "this node went back from it (--force)");
		return end(u, AY_UPDATE_REFUSED, text);
	}
	if (!u->met_anybody)
		return end(
			u, AY_UPDATE_FAILED,
			"nobody was heard: no neighbour speaks, no peer could be reached (is the network up?)");
	if (v->ready && v->ready[u->show][0])
		snprintf(text, sizeof(text), "%s: serial %u is %s; nobody here knows a newer one", b->branch,
			 (unsigned)b->have_serial, v->ready[u->show]);
	else
		snprintf(text, sizeof(text), "%s is at serial %u; nobody here knows a newer one", b->branch,
			 (unsigned)b->have_serial);
	return end(u, AY_UPDATE_NOTHING, text);
}

static enum ay_update_state judge_busy(struct ay_update *u, const struct ay_branch_status *b, uint64_t now_ms)
{
	char text[512];
	bool moving = b->phase == AY_PHASE_COLLECTING || b->phase == AY_PHASE_APPLYING;
	uint64_t still = now_ms - u->changed_ms;
	if (u->failure && !moving && still >= AY_UPDATE_LISTEN_MS)
		return end(u, refused(u->failure) ? AY_UPDATE_REFUSED : AY_UPDATE_FAILED, u->failure_text);
	if (still < (moving ? AY_UPDATE_STALL_MS : AY_UPDATE_SEARCH_MS))
		return AY_UPDATE_RUNNING;
	snprintf(text, sizeof(text), "%s: no progress for %u s while %s%s%s; the node goes on trying",
		 b->branch, (unsigned)(still / 1000), ay_phase_name(b->phase), b->problem[0] ? ": " : "",
		 b->problem);
	return end(u, AY_UPDATE_FAILED, text);
}

void ay_update_start_fetch(struct ay_update *u, unsigned fetched, uint64_t fetched_bytes)
{
	u->fetched_bytes = fetched_bytes;
	u->fetch = true;
	u->fetched = fetched;
}

/* It came, nobody has it, or it does not go on. */
static enum ay_update_state judge_fetch(struct ay_update *u, const struct ay_core_status *c, uint64_t now_ms)
{
	char text[512];
	for (unsigned i = 0; i < c->n_branches; i++) {
		if (strcmp(u->branch, c->branches[i].branch) == 0)
			u->show = (int)i;
	}
	if (u->show < 0)
		return end(u, AY_UPDATE_FAILED, "the branch is not followed any more");
	const struct ay_branch_status *b = &c->branches[u->show];
	if (b->fetched != u->fetched) {
		snprintf(text, sizeof(text), "%s: a bundle came", b->branch);
		return end(u, AY_UPDATE_DONE, text);
	}
	uint64_t still = now_ms - u->changed_ms;
	bool moving = b->phase == AY_PHASE_COLLECTING || b->phase == AY_PHASE_APPLYING;
	uint64_t patience = moving           ? AY_UPDATE_STALL_MS
			    : u->met_anybody ? AY_UPDATE_FETCH_MS
					     : AY_UPDATE_ALONE_MS;
	if (b->fetching && still < patience)
		return AY_UPDATE_RUNNING;
	if (!u->met_anybody)
		return end(
			u, AY_UPDATE_FAILED,
			"nobody was heard: no neighbour speaks, no peer could be reached (is the network up?)");
	snprintf(text, sizeof(text), "%s: %s%s%s", b->branch,
		 moving ? "the bundle does not go on"
			: "nobody in reach has a further bundle that leads to this tree",
		 b->problem[0] ? ": " : "", b->problem);
	return end(u, AY_UPDATE_FAILED, text);
}

enum ay_update_state ay_update_judge(struct ay_update *u, const struct ay_update_view *v, uint64_t now_ms)
{
	const struct ay_core_status *c = v->core;
	int busy = -1;
	uint64_t sum = v->apply_done;
	for (unsigned i = 0; i < c->n_branches; i++) {
		const struct ay_branch_status *b = &c->branches[i];
		if (!concerns(u, b))
			continue;
		sum = sum * 31 + b->blocks_had;
		sum = sum * 31 + b->phase;
		sum = sum * 31 + b->head_serial + b->have_serial;
		/* Show who moves rather than who waits. */
		bool works = b->phase == AY_PHASE_COLLECTING || b->phase == AY_PHASE_APPLYING;
		bool waits = b->phase == AY_PHASE_LEARNING || b->phase == AY_PHASE_SEARCHING;
		if (works || (waits && busy < 0))
			busy = (int)i;
	}
	if (sum != u->last_sum) {
		u->last_sum = sum;
		u->changed_ms = now_ms;
	}
	for (unsigned i = 0; i < c->n_peers && i < AY_CORE_SESSIONS_MAX; i++)
		u->met_anybody |= c->peers[i].up;
	u->met_anybody |= c->neighbours > 0;
	u->message[0] = 0;
	if (u->fetch)
		return judge_fetch(u, c, now_ms);
	if (busy < 0 && v->switching) { /* hooks have their own limits */
		u->changed_ms = now_ms;
		return AY_UPDATE_RUNNING;
	}
	if (busy < 0)
		return judge_quiet(u, v, now_ms);
	u->show = busy;
	return judge_busy(u, &c->branches[busy], now_ms);
}
