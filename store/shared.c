/* SPDX-License-Identifier: MIT */
/*
 * The trees of the branches that share, as one index. A tree whose manifest cannot be read shares
 * nothing; whose it is says the directory that it lies in, and only a commit puts a tree there.
 */
#include "store/shared.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/state.h"

static int add_tree(struct ay__shared *x, struct ay_store *s, const char *branch, uint32_t serial)
{
	struct ay__local_entry local;
	struct ay__fd_reader in = {0};
	uint8_t v[AY__VARIANT_LEN];
	struct ay_entry e;
	int fd, r = ay_store_manifest(s, branch, serial, &fd, NULL);
	AY_CLOSE int held = fd;

	if (r < 0)
		return 0;
	in.fd = held;
	struct ay_manifest_reader *m = ay_manifest_reader_new(ay__fd_read, &in);
	r = m ? 0 : -ENOMEM;
	while (r == 0 && ay_manifest_next(m, &e, NULL) > 0) {
		if (e.type != AY_ENTRY_FILE)
			continue;
		ay__entry_localise(s, &e, &local);
		r = ay__object_variant(&local.e, v);
		if (r == 0)
			r = ay__base_index_add(&x->index, &e.digest, v);
	}
	ay_manifest_reader_free(m);
	return r;
}

int ay__shared_load(struct ay__shared *x, struct ay_store *s, const char *branch, struct ay_err *err)
{
	const struct ay_root *root;
	int r = x->loaded ? 0 : ay_state_root(s, &root, err);

	if (r < 0 || x->loaded)
		return r;
	for (unsigned i = 0; i < root->n_branches && r == 0; i++) {
		const struct ay_branch_rule *rule = &root->branches[i];
		AY_FREE struct ay_tree_info *trees = NULL;
		size_t n = 0;
		if (!rule->share || strcmp(rule->name, branch) == 0)
			continue;
		/* What is damaged there shares nothing; what cannot be looked at now is not known to. */
		int q = ay_store_trees(s, rule->name, &trees, &n, NULL);
		if (ay__own_lack(q) || q == -EIO)
			r = q;
		for (size_t k = 0; k < n && r == 0; k++)
			r = add_tree(x, s, rule->name, trees[k].serial);
	}
	if (r < 0)
		return ay_err_errno(err, -r, "look at what other branches share");
	ay__base_index_sort(&x->index);
	x->loaded = true;
	return 0;
}

int ay__shared_open(const struct ay__shared *x, struct ay_store *s, const struct ay_digest *d)
{
	return ay__base_index_open(&x->index, s, d);
}

void ay__shared_release(struct ay__shared *x)
{
	ay__base_index_release(&x->index);
	x->loaded = false;
}
