/* SPDX-License-Identifier: MIT */
/*
 * Every rule of manifest/trust.h, each with something that all other rules would let
 * through: switch the rule off, and its test here fails.
 */
#include "manifest/trust_internal.h"
#include "tests/unit/manifest/support.h"

static struct ay_root *root; /* version 5 of the fleet in support.h */

static int setup(void **state)
{
	(void)state;
	root = fleet_root(5);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ay_root_free(root);
	return 0;
}

static void release_env(const char *branch, uint32_t epoch, const char *signers, struct ay_buf *out)
{
	struct ay_release r = some_release(branch, 7);
	struct ay_buf text = {0};
	struct ay_err err = {0};

	r.root_epoch = epoch;
	assert_code(ay_release_write(&r, &text, &err), 0);
	seal(text.data, text.len, signers, out);
	ay_buf_release(&text);
}

static int trust_release(const char *wanted, const char *branch, uint32_t epoch, const char *signers,
			 struct ay_err *err)
{
	struct ay_buf env = {0};
	struct ay_release r;
	static const struct ay_release zero;

	release_env(branch, epoch, signers, &env);
	int rc = ay_trust_release(root, wanted, env.data, env.len, &r, err);
	if (rc)
		assert_memory_equal(&r, &zero, sizeof(r)); /* nothing unbelieved gets out */
	else
		assert_string_equal(r.branch, branch);
	ay_buf_release(&env);
	return rc;
}

static void test_release_role_and_threshold(void **state)
{
	(void)state;
	struct ay_err err = {0};
	assert_code(trust_release("xo/stable", "xo/stable", 5, "CD", &err), 0);
	assert_code(trust_release("xo/stable", "xo/stable", 5, "DE", &err), 0);
	assert_code(trust_release("xo/stable", "xo/stable", 5, "ABCDE", &err), 0);
	assert_code(trust_release("xo/stable", "xo/stable", 5, "C", &err), AY_EROLE);
	assert_code(trust_release("xo/stable", "xo/stable", 5, "AB", &err),
		    AY_EROLE); /* root keys are not release keys */
	assert_code(trust_release("xo/stable", "xo/stable", 5, "CA", &err), AY_EROLE);
	assert_code(trust_release("xo/stable", "xo/stable", 5, "HIST", &err), AY_EROLE);
	assert_code(trust_release("xo/stable", "xo/stable", 5, "XY", &err), AY_EROLE); /* strangers */
	assert_code(trust_release("xo/stable", "xo/stable", 5, "CX", &err), AY_EROLE);
}

static void test_release_branch(void **state)
{
	(void)state;
	struct ay_err err = {0};
	assert_code(trust_release("xo/stable", "xo/testing", 5, "CD", &err), AY_EFORMAT);
	assert_code(trust_release("xo", "xo/stable", 5, "CD", &err), AY_EFORMAT);
	assert_code(trust_release(NULL, "xo/testing", 5, "CD", &err), 0);
	/* A branch with keys of its own; its rule holds also when the caller names no branch. */
	assert_code(trust_release("one/own", "one/own", 5, "CD", &err), 0);
	assert_code(trust_release("one/own", "one/own", 5, "DE", &err), AY_EROLE);
	assert_code(trust_release("one/own", "one/own", 5, "CE", &err), AY_EROLE);
	assert_code(trust_release(NULL, "one/own", 5, "DE", &err), AY_EROLE);
	assert_code(trust_release("one/small", "one/small", 5, "DE", &err), 0);
}

static void test_release_root_epoch(void **state)
{
	(void)state;
	struct ay_err err = {0};
	assert_code(trust_release("xo/stable", "xo/stable", 1, "CD", &err),
		    0); /* made under an older root: still good */
	assert_code(trust_release("xo/stable", "xo/stable", 6, "CD", &err), AY_EROLLBACK);
	/* also when a future root's keys signed it: the way out is to fetch that root */
	assert_code(trust_release("xo/stable", "xo/stable", 6, "XY", &err), AY_EROLLBACK);
}

/* A signature of the right key that does not fit. */
static void test_broken_signatures(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf env = {0};
	struct ay_release r;
	release_env("xo/stable", 5, "CDE", &env);
	char *serial = memmem(env.data, env.len, "serial: 7", 9);
	assert_non_null(serial);
	serial[8] = '8'; /* another text under the same signatures */
	assert_code(ay_trust_release(root, "xo/stable", env.data, env.len, &r, &err), AY_ESIG);
	serial[8] = '7';
	assert_code(ay_trust_release(root, "xo/stable", env.data, env.len, &r, &err), 0);

	/* One of three broken leaves two: enough. Two of three broken leave one: not. */
	struct ay_envelope parsed;
	assert_code(ay_envelope_parse(env.data, env.len, &parsed, &err), 0);
	uint8_t *third =
		env.data + (parsed.signatures[2].file.data - env.data) + parsed.signatures[2].file.len - 30;
	*third = *third == 'A' ? 'B' : 'A';
	assert_code(ay_trust_release(root, "xo/stable", env.data, env.len, &r, &err), 0);
	uint8_t *second =
		env.data + (parsed.signatures[1].file.data - env.data) + parsed.signatures[1].file.len - 30;
	*second = *second == 'A' ? 'B' : 'A';
	assert_code(ay_trust_release(root, "xo/stable", env.data, env.len, &r, &err), AY_EROLE);
	ay_buf_release(&env);
}

/* No flip of one bit anywhere may change what is believed. */
static void test_no_flip_changes_a_release(void **state)
{
	(void)state;
	struct ay_buf env = {0};
	struct ay_release good, r;
	struct ay_err err = {0};
	release_env("xo/stable", 5, "CD", &env);
	assert_code(ay_trust_release(root, "xo/stable", env.data, env.len, &good, &err), 0);
	unsigned believed = 0;
	for (size_t i = 0; i < env.len * 8; i++) {
		env.data[i / 8] ^= (uint8_t)(1u << (i % 8));
		if (ay_trust_release(root, "xo/stable", env.data, env.len, &r, &err) == 0) {
			believed++;
			assert_memory_equal(&r, &good, sizeof(r));
		}
		env.data[i / 8] ^= (uint8_t)(1u << (i % 8));
	}
	assert_true(believed <= 2 * 8 * strlen("signature from ayni")); /* the untrusted comments only */
	for (size_t len = 0; len < env.len; len++)
		assert_true(ay_trust_release(root, "xo/stable", env.data, len, &r, &err) < 0);
	ay_buf_release(&env);
}

/* The envelope refuses a key that signs twice; the counting behind it does not rely on that. */
static void test_a_key_counts_once(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf data = {0};
	struct ay_envelope env;
	release_env("xo/stable", 5, "C", &data);
	assert_code(ay_envelope_parse(data.data, data.len, &env, &err), 0);
	env.signatures[1] = env.signatures[0];
	env.signatures[2] = env.signatures[0];
	env.n_signatures = 3;
	assert_code(ay__trust_signatures(root, AY_ROLE_RELEASE, NULL, &env, &err), AY_EROLE);
	release_env("xo/stable", 5, "CD", &data);
	assert_code(ay_envelope_parse(data.data, data.len, &env, &err), 0);
	env.signatures[2] = env.signatures[0];
	env.n_signatures = 3;
	assert_code(ay__trust_signatures(root, AY_ROLE_RELEASE, NULL, &env, &err), 0);
	ay_buf_release(&data);
}

/* No signature is enough for a threshold of nothing, whatever a root says. */
static void test_threshold_zero(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_envelope env = {.n_signatures = 0};
	root->roles[AY_ROLE_RELEASE].threshold = 0;
	assert_code(ay__trust_signatures(root, AY_ROLE_RELEASE, NULL, &env, &err), AY_EROLE);
	ay_root_free(root);
	root = fleet_root(5);
}

static void test_legacy_signatures_refused(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf data = {0};
	struct ay_envelope env;
	release_env("xo/stable", 5, "CD", &data);
	assert_code(ay_envelope_parse(data.data, data.len, &env, &err), 0);
	struct ay_release r;
	for (unsigned i = 0; i < 2; i++) {
		char *line2 = memchr(data.data + (env.signatures[i].file.data - data.data), '\n', 100);
		assert_memory_equal(line2 + 1, "RU", 2); /* "ED" */
		line2[2] = 'W';                          /* "Ed" */
	}
	assert_code(ay_trust_release(root, "xo/stable", data.data, data.len, &r, &err), AY_ESIG);
	ay_buf_release(&data);
}

/* A good signature over one type of text serves for no other. */
static void test_types_are_not_confused(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf release = {0}, offer = {0}, next = {0}, text = {0};
	struct ay_release r;
	struct ay_offer o = some_offer("xo/stable", false);
	struct ay_root *got = NULL, *successor = fleet_root(6);
	struct ay_head h;
	const char *all = "ABCDEHIS"; /* so that only the type can be the reason */
	release_env("xo/stable", 5, all, &release);
	assert_code(ay_offer_write(&o, &text, &err), 0);
	seal(text.data, text.len, all, &offer);
	seal_root(successor, all, &next);

	assert_code(ay_trust_release(root, NULL, release.data, release.len, &r, &err), 0);
	assert_code(ay_trust_release(root, NULL, offer.data, offer.len, &r, &err), AY_EFORMAT);
	assert_code(ay_trust_release(root, NULL, next.data, next.len, &r, &err), AY_EFORMAT);
	assert_code(ay_trust_offer(root, NULL, offer.data, offer.len, &o, &err), 0);
	assert_code(ay_trust_offer(root, NULL, release.data, release.len, &o, &err), AY_EFORMAT);
	assert_code(ay_trust_offer(root, NULL, next.data, next.len, &o, &err), AY_EFORMAT);
	assert_code(ay_trust_next_root(root, release.data, release.len, &got, &err), AY_EFORMAT);
	assert_code(ay_trust_next_root(root, offer.data, offer.len, &got, &err), AY_EFORMAT);
	assert_code(ay_trust_first_root(release.data, release.len, &got, &err), AY_EFORMAT);
	assert_code(ay_trust_head(root, release.data, AY_HEAD_SIZE, &h, &err), AY_EFORMAT);
	assert_null(got);
	ay_root_free(successor);
	ay_buf_release(&release);
	ay_buf_release(&offer);
	ay_buf_release(&next);
	ay_buf_release(&text);
}

static int trust_offer(const char *wanted, const char *branch, bool by_school, const char *signers,
		       struct ay_err *err)
{
	struct ay_offer o = some_offer(branch, by_school), got;
	struct ay_buf text = {0}, env = {0};

	assert_code_(ay_offer_write(&o, &text, err), 0, "write", err, __FILE__, __LINE__);
	seal(text.data, text.len, signers, &env);
	int r = ay_trust_offer(root, wanted, env.data, env.len, &got, err);
	ay_buf_release(&text);
	ay_buf_release(&env);
	return r;
}

static void test_offers(void **state)
{
	(void)state;
	struct ay_err err = {0};
	assert_code(trust_offer("xo", "xo", false, "CD", &err), 0);
	assert_code(trust_offer("xo", "xo", true, "S", &err), 0);
	assert_code(trust_offer("one/own", "one/own", true, "S", &err), 0);
	assert_code(trust_offer("xo", "xp", true, "S", &err), AY_EFORMAT); /* another branch */
	assert_code(trust_offer("xo", "xo", true, "T", &err), AY_EROLE);   /* revoked */
	assert_code(trust_offer("xo", "xo", true, "ST", &err), 0);         /* beside one that is not */
	assert_code(trust_offer("xo", "xo", false, "S", &err), AY_EROLE);  /* a school as publisher */
	assert_code(trust_offer("xo", "xo", true, "CD", &err), AY_EROLE);  /* a publisher as school */
	assert_code(trust_offer("xo", "xo", false, "C", &err), AY_EROLE);  /* threshold */
	assert_code(trust_offer("one/own", "one/own", false, "DE", &err),
		    AY_EROLE); /* the branch's own keys */
	assert_code(trust_offer("xo", "xo", true, "H", &err), AY_EROLE);
	assert_code(trust_offer("xo", "xo", true, "X", &err), AY_EROLE);
	/* A school's key never makes a release. */
	assert_code(trust_release("xo", "xo", 5, "ST", &err), AY_EROLE);
}

static int trust_head(char signer, uint32_t epoch, struct ay_head *got, struct ay_err *err)
{
	struct ay_secret_key sk = key_of(signer);
	struct ay_head h = {.root_epoch = epoch, .serial = 7, .rollout = 100, .release_size = 100};
	uint8_t data[AY_HEAD_SIZE];

	assert_int_equal(ay_head_sign(&h, &sk, data), 0);
	return ay_trust_head(root, data, sizeof(data), got, err);
}

static void test_heads(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_head h;
	static const struct ay_head zero;
	assert_code(trust_head('H', 5, &h, &err), 0);
	assert_int_equal(h.serial, 7);
	assert_code(trust_head('I', 1, &h, &err), 0);
	assert_code(trust_head('C', 5, &h, &err), AY_EROLE); /* a release key is not a head key */
	assert_memory_equal(&h, &zero, sizeof(h));
	assert_code(trust_head('S', 5, &h, &err), AY_EROLE);
	assert_code(trust_head('X', 5, &h, &err), AY_EROLE);
	assert_code(trust_head('H', 6, &h, &err), AY_EROLLBACK);
	assert_code(trust_head('X', 6, &h, &err), AY_EROLLBACK);

	struct ay_secret_key sk = key_of('H');
	struct ay_head in = {.root_epoch = 5, .serial = 7, .rollout = 100, .release_size = 100};
	uint8_t data[AY_HEAD_SIZE];
	assert_int_equal(ay_head_sign(&in, &sk, data), 0);
	data[20] = 8; /* serial */
	assert_code(ay_trust_head(root, data, sizeof(data), &h, &err), AY_ESIG);
	data[20] = 7;
	memcpy(data + 76, key_of('I').id, 8); /* under another head key's name */
	assert_code(ay_trust_head(root, data, sizeof(data), &h, &err), AY_ESIG);
	assert_memory_equal(&h, &zero, sizeof(h));
}

static void test_head_names_release(void **state)
{
	(void)state;
	struct ay_err err = {0};
	struct ay_buf env = {0}, other = {0};
	struct ay_release r;
	release_env("xo/stable", 5, "CD", &env);
	release_env("xo/stable", 5, "CE", &other); /* the same text in another envelope */
	assert_code(ay_trust_release(root, NULL, env.data, env.len, &r, &err), 0);
	struct ay_head good = {.root_epoch = 5,
			       .serial = 7,
			       .min_serial = r.min_serial,
			       .release_size = (uint32_t)env.len,
			       .release = digest_of(&env)};
	ay_branch_id("test", "xo/stable", &good.branch);
	struct ay_head h = good;
	assert_code(ay_trust_head_names(root, &h, env.data, env.len, &r, &err), 0);
	assert_code(ay_trust_head_names(root, &h, other.data, other.len, &r, &err), AY_EDIGEST);
	assert_code(ay_trust_head_names(root, &h, env.data, env.len - 1, &r, &err), AY_EDIGEST);
	h.release_size++;
	assert_code(ay_trust_head_names(root, &h, env.data, env.len, &r, &err), AY_EDIGEST);
	h = good;
	h.release.b[0] ^= 1;
	assert_code(ay_trust_head_names(root, &h, env.data, env.len, &r, &err), AY_EDIGEST);
	h = good;
	ay_branch_id("test", "xo/testing", &h.branch);
	assert_code(ay_trust_head_names(root, &h, env.data, env.len, &r, &err), AY_EFORMAT);
	ay_branch_id("other", "xo/stable", &h.branch); /* another fleet's branch of the same name */
	assert_code(ay_trust_head_names(root, &h, env.data, env.len, &r, &err), AY_EFORMAT);
	h = good;
	h.serial++;
	assert_code(ay_trust_head_names(root, &h, env.data, env.len, &r, &err), AY_EFORMAT);
	h = good;
	h.root_epoch--;
	assert_code(ay_trust_head_names(root, &h, env.data, env.len, &r, &err), AY_EFORMAT);
	h = good;
	h.min_serial++;
	assert_code(ay_trust_head_names(root, &h, env.data, env.len, &r, &err), AY_EFORMAT);
	ay_buf_release(&env);
	ay_buf_release(&other);
}

static int first_root(const struct ay_root *r, const char *signers, struct ay_err *err)
{
	struct ay_buf env = {0};
	struct ay_root *got = NULL;

	seal_root(r, signers, &env);
	int rc = ay_trust_first_root(env.data, env.len, &got, err);
	assert_int_equal(rc == 0, got != NULL);
	ay_root_free(got);
	ay_buf_release(&env);
	return rc;
}

static void test_first_root(void **state)
{
	(void)state;
	struct ay_err err = {0};
	assert_code(first_root(root, "AB", &err), 0);
	assert_code(first_root(root, "A", &err), AY_EROLE);
	assert_code(first_root(root, "CDEHIST", &err), AY_EROLE);
	assert_code(first_root(root, "AX", &err), AY_EROLE);
	struct ay_buf env = {0};
	struct ay_root *got = NULL;
	seal_root(root, "AB", &env);
	char *version = memmem(env.data, env.len, "version: 5", 10);
	assert_non_null(version);
	version[9] = '4';
	assert_code(ay_trust_first_root(env.data, env.len, &got, &err), AY_ESIG);
	ay_buf_release(&env);
}

/* The successor of @root (version 5) with another version and root keys. */
static int next_root(uint32_t version, unsigned threshold, const char *root_keys, const char *fleet,
		     const char *signers, struct ay_err *err)
{
	struct ay_root *next = fleet_root(version), *got = NULL;
	struct ay_buf env = {0};

	for (const char *p = "XY"; *p; p++)
		next->keys[next->n_keys++] = pub_of(*p);
	set_role(next, AY_ROLE_ROOT, threshold, root_keys);
	snprintf(next->fleet, sizeof(next->fleet), "%s", fleet);
	seal_root(next, signers, &env);
	int r = ay_trust_next_root(root, env.data, env.len, &got, err);
	assert_int_equal(r == 0, got != NULL);
	if (got)
		assert_int_equal(got->version, version);
	ay_root_free(got);
	ay_root_free(next);
	ay_buf_release(&env);
	return r;
}

static void test_next_root(void **state)
{
	(void)state;
	struct ay_err err = {0};
	assert_code(next_root(6, 2, "AB", "test", "AB", &err), 0);
	assert_code(next_root(6, 2, "XY", "test", "ABXY", &err), 0);
	assert_code(next_root(6, 2, "XY", "test", "XY", &err),
		    AY_EROLE); /* the new ones alone: a take-over */
	assert_code(next_root(6, 2, "XY", "test", "AXY", &err), AY_EROLE);
	assert_code(next_root(6, 2, "XY", "test", "AB", &err),
		    AY_EROLE); /* the old ones alone: keys nobody has shown */
	assert_code(next_root(6, 2, "XY", "test", "ABX", &err), AY_EROLE);
	assert_code(next_root(6, 1, "A", "test", "A", &err),
		    AY_EROLE); /* a lower threshold is not yet the rule */
	assert_code(next_root(6, 3, "ABX", "test", "AB", &err), AY_EROLE);
	assert_code(next_root(6, 3, "ABX", "test", "ABX", &err), 0);
	assert_code(next_root(5, 2, "AB", "test", "AB", &err), AY_ENOTHING);
	assert_code(next_root(4, 2, "AB", "test", "AB", &err), AY_EROLLBACK);
	assert_code(next_root(7, 2, "AB", "test", "AB", &err), AY_EFORMAT);
	assert_code(next_root(6, 2, "AB", "other", "AB", &err), AY_EFORMAT);
}

/* Versions do not wrap around. */
static void test_last_root(void **state)
{
	(void)state;
	struct ay_err err = {0};
	root->version = UINT32_MAX;
	assert_code(next_root(1, 2, "AB", "test", "AB", &err), AY_EROLLBACK);
	root->version = 5;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_release_role_and_threshold),
		cmocka_unit_test(test_release_branch),
		cmocka_unit_test(test_release_root_epoch),
		cmocka_unit_test(test_broken_signatures),
		cmocka_unit_test(test_no_flip_changes_a_release),
		cmocka_unit_test(test_a_key_counts_once),
		cmocka_unit_test(test_threshold_zero),
		cmocka_unit_test(test_legacy_signatures_refused),
		cmocka_unit_test(test_types_are_not_confused),
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_head_names_release),
		cmocka_unit_test(test_first_root),
		cmocka_unit_test(test_next_root),
		cmocka_unit_test(test_last_root),
	};
	return cmocka_run_group_tests_name("manifest/trust", tests, setup, teardown);
}
