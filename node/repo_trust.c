/* SPDX-License-Identifier: MIT */
/*
 * A repository is a stranger, and may be older than what was heard by radio. What it brings is believed by
 * manifest/trust.h alone; what it lacks or has too old changes nothing.
 */
#include "node/repo_trust.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

int ay_repo_follow_roots(struct ay_store *s, struct ay_repo *repo, const struct ay_root **root,
			 struct ay_err *err)
{
	int r = ay_state_root(s, root, err);

	while (r == 0) {
		AY_FREE uint8_t *data = NULL;
		size_t len = 0;
		uint32_t next = (*root)->version + 1;
		r = ay_repo_get_root(repo, next, NULL, &data, &len, NULL);
		if (r == -ENOENT)
			return 0;
		if (r == 0)
			r = ay_state_add_root(s, data, len, err);
		else
			ay_err_set(err, r, "%s", ay_strerror(r));
		/* Found under the name of another version: not this one's successor. */
		if (r == AY_ENOTHING)
			r = ay_err_set(err, AY_EFORMAT, "it holds root version %u", (*root)->version);
		if (r < 0)
			return ay_err_wrap(err, r, "%s/roots/%u", ay_repo_path(repo), next);
		r = ay_state_root(s, root, err);
	}
	return r;
}

static int check_head(const struct ay_root *root, const char *branch, const uint8_t bytes[AY_HEAD_SIZE],
		      struct ay_head *head, struct ay_err *err)
{
	struct ay_branch_id id;
	int r = ay_trust_head(root, bytes, AY_HEAD_SIZE, head, err);

	if (r < 0)
		return r;
	ay_branch_id(root->fleet, branch, &id);
	return memcmp(&id, &head->branch, sizeof(id)) == 0
		       ? 0
		       : ay_err_set(err, AY_EROLE, "it is another branch's");
}

struct new_head {
	uint8_t bytes[AY_HEAD_SIZE];
	const struct ay_head *head;
	struct ay_branch_state *state;
};

/* Also tells the state that the caller goes by. */
static int take(void *ctx, struct ay_branch_state *b, struct ay_err *err)
{
	struct new_head *n = ctx;
	struct ay_head old;

	(void)err;
	/* A stick may be older than what was heard by radio: then it still may hold something newer than we have. */
	bool newer = !b->has_head || ay_head_parse(b->head, AY_HEAD_SIZE, &old, NULL) < 0 ||
		     ay_head_cmp(n->head, &old) > 0;
	if (newer) {
		b->has_head = true;
		memcpy(b->head, n->bytes, AY_HEAD_SIZE);
	}
	*n->state = *b;
	return !newer;
}

int ay_repo_take_head(struct ay_store *s, struct ay_repo *repo, const struct ay_root *root,
		      const char *branch, struct ay_head *head, struct ay_branch_state *state,
		      struct ay_err *err)
{
	struct new_head n = {.head = head, .state = state};
	int r = ay_repo_get_head(repo, branch, n.bytes, err);

	if (r == -ENOENT)
		return ay_err_set(err, AY_ENOTHING, "%s has no branch %s", ay_repo_path(repo), branch);
	if (r < 0)
		return r;
	r = check_head(root, branch, n.bytes, head, err);
	if (r < 0)
		return ay_err_wrap(err, r, "head of %s in %s", branch, ay_repo_path(repo));
	return ay_state_change_branch(s, branch, take, &n, err);
}
