/* SPDX-License-Identifier: MIT */
/*
 * node/repo_trust.h - what a store comes to believe by reading a repository: newer roots, a newer head.
 */
#ifndef AYNI_NODE_REPO_TRUST_H
#define AYNI_NODE_REPO_TRUST_H

#include "store/repo.h"
#include "store/state.h"

/**
 * ay_repo_follow_roots() - follow the repository's roots from the store's newest one, version by version; durable.
 * @root: the newest, owned by @s.
 *
 * Return: 0; -ENOENT the store trusts no root yet; what ay_state_add_root() says, naming the file.
 */
int ay_repo_follow_roots(struct ay_store *s, struct ay_repo *repo, const struct ay_root **root,
			 struct ay_err *err);
/**
 * ay_repo_take_head() - the repository's head of @branch, believed, and kept if it is newer than what the store knows.
 * @state: the branch's state afterwards.
 *
 * Return: 0; AY_ENOTHING the repository has no such branch; what ay_trust_head() says.
 */
int ay_repo_take_head(struct ay_store *s, struct ay_repo *repo, const struct ay_root *root,
		      const char *branch, struct ay_head *head, struct ay_branch_state *state,
		      struct ay_err *err);

#endif
