/* SPDX-License-Identifier: MIT */
/*
 * manifest/envelope.c - a text and its signatures in one file.
 *
 * The signatures are whole minisign files, so that taking an envelope apart gives
 * exactly what stock `minisign -V` wants, and putting one together needs no secret.
 */
#include <stdlib.h>
#include <string.h>

#include "manifest/sign_internal.h"
#include "manifest/text.h"

/* "KEY NUMBER\n" at the front of @rest. */
static int number_line(struct ay_slice *rest, const char *key, uint64_t *out, struct ay_err *err)
{
	struct ay_slice line, word;

	if (!ay__take_line(rest, &line) || !ay__word(&line, &word) || !ay__word_is(&word, key) ||
	    !ay__word(&line, &word) || line.data || ay__parse_u64(word.data, word.len, UINT32_MAX, out))
		return ay_err_set(err, AY_EFORMAT, "envelope: expected \"%s NUMBER\"", key);
	return 0;
}

static int parse_signatures(struct ay_slice *rest, struct ay_envelope *env, uint64_t n, struct ay_err *err)
{
	struct ay__signature s;

	for (unsigned i = 0; i < n; i++) {
		int r = ay__signature_parse(rest, &s, &env->signatures[i].file, err);
		if (r)
			return ay_err_wrap(err, r, "envelope: signature %u of %u", i + 1, (unsigned)n);
		memcpy(env->signatures[i].key_id, s.key_id, 8);
		if (i > 0 && ay_key_id_cmp(env->signatures[i - 1].key_id, s.key_id) >= 0)
			return ay_err_set(err, AY_EFORMAT,
					  "envelope: signatures not sorted by key id, or a key twice");
		env->n_signatures = i + 1;
	}
	return 0;
}

int ay_envelope_parse(const void *data, size_t len, struct ay_envelope *env, struct ay_err *err)
{
	struct ay_slice rest = {data, len};
	uint64_t version, n;

	memset(env, 0, sizeof(*env));
	if (len > AY_ENVELOPE_MAX)
		return ay_err_set(err, AY_ELIMIT, "envelope: %zu bytes, at most %d are allowed", len,
				  AY_ENVELOPE_MAX);
	int r = number_line(&rest, "ayni-envelope", &version, err);
	if (r)
		return r;
	if (version != 1)
		return ay_err_set(err, AY_EVERSION, "envelope version %u is not known here; upgrade ayni",
				  (unsigned)version);
	r = number_line(&rest, "text", &n, err);
	if (r)
		return r;
	if (n > AY_SIGNED_TEXT_MAX)
		return ay_err_set(err, AY_ELIMIT, "envelope: text of %u bytes, at most %d are allowed",
				  (unsigned)n, AY_SIGNED_TEXT_MAX);
	if (n == 0 || n > rest.len)
		return ay_err_set(err, AY_EFORMAT, "envelope: %u bytes of text are named, %zu are there",
				  (unsigned)n, rest.len);
	env->text = (struct ay_slice){rest.data, (size_t)n};
	rest.data += n;
	rest.len -= n;
	r = number_line(&rest, "signatures", &n, err);
	if (r)
		return r;
	if (n == 0 || n > AY_SIGNATURES_MAX)
		return ay_err_set(err, n ? AY_ELIMIT : AY_EFORMAT,
				  "envelope: %u signatures, allowed are 1 to %d", (unsigned)n,
				  AY_SIGNATURES_MAX);
	r = parse_signatures(&rest, env, n, err);
	if (!r && rest.len)
		r = ay_err_set(err, AY_EFORMAT, "envelope: %zu bytes behind the last signature", rest.len);
	return r;
}

struct signed_file {
	uint8_t key_id[8];
	struct ay_slice file;
};

static int by_key_id(const void *a, const void *b)
{
	return ay_key_id_cmp(((const struct signed_file *)a)->key_id,
			     ((const struct signed_file *)b)->key_id);
}

int ay_envelope_join(const void *text, size_t len, const struct ay_slice *files, unsigned n,
		     struct ay_buf *out, struct ay_err *err)
{
	struct signed_file sorted[AY_SIGNATURES_MAX];
	struct ay__signature s;

	if (n == 0 || n > AY_SIGNATURES_MAX)
		return ay_err_set(err, AY_EUSAGE, "an envelope has 1 to %d signatures, not %u",
				  AY_SIGNATURES_MAX, n);
	if (len == 0 || len > AY_SIGNED_TEXT_MAX)
		return ay_err_set(err, AY_ELIMIT, "text of %zu bytes to sign, allowed are 1 to %d", len,
				  AY_SIGNED_TEXT_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct ay_slice rest = files[i];
		int r = ay__signature_parse(&rest, &s, &sorted[i].file, err);
		if (!r && rest.len)
			r = ay_err_set(err, AY_EFORMAT, "not a minisign signature: more than four lines");
		if (r)
			return ay_err_wrap(err, r, "signature file %u", i + 1);
		memcpy(sorted[i].key_id, s.key_id, 8);
	}
	qsort(sorted, n, sizeof(sorted[0]), by_key_id);
	for (unsigned i = 1; i < n; i++) {
		char id[17];
		if (by_key_id(&sorted[i - 1], &sorted[i]) == 0)
			return ay_err_set(err, AY_EUSAGE, "key %s signs twice",
					  ay_key_id_hex(sorted[i].key_id, id));
	}
	ay_put_fmt(out, "ayni-envelope 1\ntext %zu\n", len);
	ay_put_bytes(out, text, len);
	ay_put_fmt(out, "signatures %u\n", n);
	for (unsigned i = 0; i < n; i++)
		ay_put_bytes(out, sorted[i].file.data, sorted[i].file.len);
	return ay_buf_status(out);
}

int ay_envelope_write(const void *text, size_t len, const struct ay_secret_key *const *keys, unsigned n,
		      const char *comment, struct ay_buf *out, struct ay_err *err)
{
	struct ay_buf sigs[AY_SIGNATURES_MAX];
	struct ay_slice files[AY_SIGNATURES_MAX];
	int r = 0;

	if (n > AY_SIGNATURES_MAX)
		return ay_err_set(err, AY_EUSAGE, "an envelope has 1 to %d signatures, not %u",
				  AY_SIGNATURES_MAX, n);
	for (unsigned i = 0; i < n; i++)
		ay_buf_init(&sigs[i], AY_SIGNATURE_FILE_MAX);
	for (unsigned i = 0; i < n && !r; i++) {
		r = ay_sign_detached(keys[i], text, len, comment, &sigs[i], err);
		files[i] = (struct ay_slice){sigs[i].data, sigs[i].len};
	}
	if (!r)
		r = ay_envelope_join(text, len, files, n, out, err);
	for (unsigned i = 0; i < n; i++)
		ay_buf_release(&sigs[i]);
	return r;
}
