/* SPDX-License-Identifier: MIT */
/*
 * manifest/offer.c - the text of an offer: that a bundle exists, and what it costs to apply.
 *
 * Nothing in it decides what a tree must be; a lie in it costs the liar's victims
 * time and air, never content. So it may be signed by a school.
 */
#include <string.h>

#include "manifest/release.h"
#include "manifest/text.h"

static int get_digest(struct ay__text *t, const char *key, struct ay_digest *d, struct ay_err *err)
{
	struct ay_slice value;
	int r = ay__text_value(t, key, &value, err);

	if (!r && ay_digest_parse(d, (const char *)value.data, value.len))
		r = ay__text_bad(t, err, "not a digest of 64 lower-case hex digits");
	return r;
}

/* [a-z0-9._+-], beginning with a letter or digit, so that "-" stays free to mean none. */
static bool encoder_name_ok(const struct ay_slice *w)
{
	if (w->len == 0 || w->len > AY_ENCODER_NAME_MAX)
		return false;
	for (size_t i = 0; i < w->len; i++) {
		uint8_t c = w->data[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!alnum && (i == 0 || !memchr("._+-", c, 4)))
			return false;
	}
	return true;
}

static int get_encoders(struct ay__text *t, struct ay_offer *out, struct ay_err *err)
{
	struct ay_slice value = {0}, word;
	int r = ay__text_value(t, "encoders", &value, err);

	if (r || ay__word_is(&value, "-"))
		return r;
	while (ay__word(&value, &word)) {
		if (out->n_encoders == AY_ENCODERS_MAX)
			return ay__text_bad(t, err, "more than 16 encoders");
		if (!encoder_name_ok(&word))
			return ay__text_bad(t, err, "not an encoder's name (1 to 32 of a-z 0-9 . _ + -)");
		char *name = out->encoders[out->n_encoders];
		memcpy(name, word.data, word.len);
		name[word.len] = 0;
		if (out->n_encoders > 0 && strcmp(out->encoders[out->n_encoders - 1], name) >= 0)
			return ay__text_bad(t, err, "encoders not sorted, or one twice");
		out->n_encoders++;
	}
	return 0;
}

static int get_maker(struct ay__text *t, bool *by_school, struct ay_err *err)
{
	struct ay_slice value;
	int r = ay__text_value(t, "maker", &value, err);

	if (r)
		return r;
	*by_school = ay__word_is(&value, "school");
	if (!*by_school && !ay__word_is(&value, "publisher"))
		return ay__text_bad(t, err, "maker is neither publisher nor school");
	return 0;
}

int ay_offer_parse(const void *text, size_t len, struct ay_offer *out, struct ay_err *err)
{
	struct ay__text t;
	uint64_t cpu = 0;
	int r = ay__text_open(&t, text, len, "ayni-offer", err);

	memset(out, 0, sizeof(*out));
	if (!r)
		r = ay__text_branch(&t, out->branch, err);
	if (!r)
		r = get_digest(&t, "from", &out->from, err);
	if (!r)
		r = get_digest(&t, "to", &out->to, err);
	if (!r && (ay_digest_is_zero(&out->to) || ay_digest_eq(&out->from, &out->to)))
		r = ay__text_bad(&t, err, "leads nowhere: \"to\" is zero or the same as \"from\"");
	if (!r)
		r = ay__text_digest_size(&t, "bundle", INT64_MAX, &out->bundle, &out->bundle_size, err);
	if (!r)
		r = ay__text_number(&t, "unpacked", 0, INT64_MAX, &out->unpacked_size, err);
	if (!r && ay__text_peek(&t, "holes"))
		r = ay__text_number(&t, "holes", 1, out->unpacked_size, &out->hole_size, err);
	if (!r)
		r = ay__text_number(&t, "memory", 0, INT64_MAX, &out->memory, err);
	if (!r)
		r = ay__text_number(&t, "cpu", 0, UINT8_MAX, &cpu, err);
	if (!r)
		r = get_encoders(&t, out, err);
	if (!r)
		r = get_maker(&t, &out->by_school, err);
	out->cpu = (uint8_t)cpu;
	return r ? r : ay__text_end(&t, err);
}

int ay_offer_write(const struct ay_offer *o, struct ay_buf *out, struct ay_err *err)
{
	char from[AY_DIGEST_HEX + 1], to[AY_DIGEST_HEX + 1], bundle[AY_DIGEST_HEX + 1];
	struct ay_offer check;
	size_t start = out->len;

	if (o->n_encoders > AY_ENCODERS_MAX)
		return ay_err_set(err, AY_EFORMAT, "an offer names at most %d encoders", AY_ENCODERS_MAX);
	ay_put_fmt(out, "ayni-offer 1\nbranch: %s\nfrom: %s\nto: %s\nbundle: %s %llu\n", o->branch,
		   ay_digest_hex(&o->from, from), ay_digest_hex(&o->to, to),
		   ay_digest_hex(&o->bundle, bundle), (unsigned long long)o->bundle_size);
	ay_put_fmt(out, "unpacked: %llu\n", (unsigned long long)o->unpacked_size);
	if (o->hole_size > 0)
		ay_put_fmt(out, "holes: %llu\n", (unsigned long long)o->hole_size);
	ay_put_fmt(out, "memory: %llu\ncpu: %u\nencoders:%s", (unsigned long long)o->memory, o->cpu,
		   o->n_encoders ? "" : " -");
	for (unsigned i = 0; i < o->n_encoders; i++)
		ay_put_fmt(out, " %s", o->encoders[i]);
	ay_put_fmt(out, "\nmaker: %s\n", o->by_school ? "school" : "publisher");
	int r = ay_buf_status(out);
	if (r)
		return ay_err_set(err, r, "writing an offer: %s", ay_strerror(r));
	return ay_offer_parse(out->data + start, out->len - start, &check,
			      err); /* never sign what none would take */
}
