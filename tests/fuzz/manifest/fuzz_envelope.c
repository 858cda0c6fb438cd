/* SPDX-License-Identifier: MIT */
/* Any bytes as an envelope: its parts make it again, and it goes before every judge of manifest/trust.h. */
#include <sodium.h>
#include <string.h>

#include "manifest/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Version 1 of a fleet of one key, that of tests/golden/test.pub, with every role. */
static struct ay_root *small_root(void)
{
	struct ay_root *root = ay_root_new();
	uint8_t seed[32], sk[64];

	AY_ASSERT(root && sodium_init() >= 0);
	memset(seed, 'C', sizeof(seed));
	crypto_sign_seed_keypair(root->keys[0].key, sk, seed);
	memcpy(root->keys[0].id, "key-C\0\0", 8);
	root->n_keys = 1;
	root->version = 1;
	memcpy(root->fleet, "test", 5);
	for (int i = 0; i < AY_ROLES; i++)
		root->roles[i] = (struct ay_role_keys){.threshold = 1, .n = 1, .keys = {0}};
	return root;
}

static void judge(const uint8_t *data, size_t len)
{
	struct ay_root *root = small_root(), *other = NULL;
	struct ay_release release;
	struct ay_offer offer;
	struct ay_head head;
	struct ay_err err = {0};
	int r;

	r = ay_trust_first_root(data, len, &other, &err);
	AY_ASSERT((r == 0) == (other != NULL));
	ay_root_free(other);
	other = NULL;
	r = ay_trust_next_root(root, data, len, &other, &err);
	AY_ASSERT((r == 0) == (other != NULL));
	ay_root_free(other);
	r = ay_trust_release(root, NULL, data, len, &release, &err);
	AY_ASSERT(r == 0 || release.branch[0] == 0);
	r = ay_trust_offer(root, NULL, data, len, &offer, &err);
	AY_ASSERT(r == 0 || offer.branch[0] == 0);
	r = ay_trust_head(root, data, len, &head, &err);
	AY_ASSERT(r == 0 || head.serial == 0);
	ay_root_free(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ay_envelope env;
	struct ay_err err = {0};
	int r = ay_envelope_parse(data, len, &env, &err);

	AY_ASSERT(r == 0 || (r == err.code && err.msg[0]));
	if (r == 0) {
		struct ay_slice files[AY_SIGNATURES_MAX];
		struct ay_buf out = {0};
		for (unsigned i = 0; i < env.n_signatures; i++)
			files[i] = env.signatures[i].file;
		AY_ASSERT(ay_envelope_join(env.text.data, env.text.len, files, env.n_signatures, &out,
					   &err) == 0);
		AY_ASSERT(out.len == len && memcmp(out.data, data, len) == 0);
		ay_buf_release(&out);
	}
	judge(data, len);
	return 0;
}
