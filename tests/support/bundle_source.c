/* SPDX-License-Identifier: MIT */
/* A bundle's maker and its collector's other side: see the header. */
#include "tests/support/bundle_source.h"

#include "store/store_internal.h"

struct source source_of(uint64_t seed, size_t size)
{
	struct source s = {.size = size, .data = some_bytes(seed, size)};
	assert_int_equal(ay_merkle_build_mem(s.data, size, &s.merkle), 0);
	s.digest = *ay_merkle_digest(s.merkle);
	ay_digest_hex(&s.digest, s.hex);
	snprintf(s.hashes, sizeof(s.hashes), "%s.hashes", s.hex);
	return s;
}

void source_release(struct source *s)
{
	free(s->data);
	ay_merkle_free(s->merkle);
}

uint64_t blocks_had(struct ay_bundle_file *f)
{
	uint64_t n = ay_blocks_of(ay_merkle_size(ay_bundle_file_merkle(f))), had = 0;

	for (uint64_t i = 0; i < n; i++)
		had += ay_bundle_file_has(f, i);
	return had;
}

struct ay_bundle_file *open_bundle(struct ay_store *s, const struct source *src, bool create)
{
	struct ay_bundle_file *f = NULL;
	struct ay_err err = {0};
	expect_code(ay_bundle_file_open(s, &src->digest, src->size, create, &f, &err), 0);
	return f;
}

int give_block(struct ay_bundle_file *f, const struct source *src, uint64_t i, struct ay_err *err)
{
	return ay_bundle_file_write(f, i, src->data + i * AY_BLOCK_SIZE, ay_block_len(src->size, i), err);
}

int give_hash(struct ay_bundle_file *f, const struct source *src, unsigned level, uint64_t i,
	      struct ay_err *err)
{
	return ay_bundle_file_add_hashes(f, level, i, ay_merkle_get(src->merkle, level, i), err);
}

int give_all_hashes(struct ay_bundle_file *f, const struct source *src, struct ay_err *err)
{
	int rc = 0;
	for (unsigned level = ay_merkle_levels(src->merkle); level-- > 0;)
		for (uint64_t i = 0; rc == 0 && i < ay_merkle_width(src->merkle, level); i++)
			rc = give_hash(f, src, level, i, err);
	return rc;
}

int give_all_blocks(struct ay_bundle_file *f, const struct source *src, struct ay_err *err)
{
	int rc = 0;
	for (uint64_t i = 0; rc == 0 && i < ay_blocks_of(src->size); i++)
		rc = give_block(f, src, i, err);
	return rc;
}

void complete(struct ay_store *s, const struct source *src)
{
	struct ay_err err = {0};
	size_t len;
	struct ay_bundle_file *f = open_bundle(s, src, true);
	expect_code(give_all_hashes(f, src, &err), 0);
	expect_code(give_all_blocks(f, src, &err), 0);
	expect_code(ay_bundle_file_sync(f, &err), 0);
	expect_code(ay_bundle_file_finish(f, &err), 0);
	assert_true(ay_bundle_file_whole(f));
	ay_bundle_file_close(f);
	uint8_t *got = get_file(s->bundles, src->hex, &len);
	assert_int_equal(len, src->size);
	assert_memory_equal(got, src->data, len);
	free(got);
	assert_false(there(s->partial, src->hex));
	assert_false(there(s->partial, src->hashes));
	f = open_bundle(s, src, false);
	assert_true(ay_bundle_file_whole(f));
	assert_int_equal(blocks_had(f), ay_blocks_of(src->size));
	ay_bundle_file_close(f);
}
