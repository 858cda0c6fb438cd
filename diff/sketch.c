/* SPDX-License-Identifier: MIT */
/*
 * diff/sketch.c - bottom-k sketches by a gear hash, and an inverted index over them.
 *
 * The hash takes one shift, one addition and one comparison a byte, so that sketching costs about what reading
 * from the page cache does. The index is one array of (feature, file), sorted: with few rows a file's
 * likeness to a million others is a handful of binary searches.
 */
#include "diff/sketch.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define SHIFT        (64 / AY__SKETCH_STRING)
#define COMMON_MAX   256 /* files that have a feature; more, and it says nothing (a licence, an empty header) */
#define RELATED      16 /* of so many features one must be common */
#define RELATED_MIN  2  /* and never fewer: of one in 2^32 a million files have some by chance */
#define FEW          4  /* features of a file so small that one is all that can be asked for */
#define FEATURES_MIN 4
#define FOUND_MAX    8

struct row {
	uint32_t feature, id;
};

struct ay__sketch_index {
	struct row *rows; /* by feature, then id, once sorted; owned */
	size_t n, cap;
	unsigned features; /* of each file */
	bool sorted;
	uint32_t found[AY__SKETCH_MAX * COMMON_MAX]; /* scratch of a look-up */
};

const uint64_t ay__gear[256] = {
	0xf65f0a25df7128cbu, 0x758365c48d430c19u, 0x04244901cf1bb618u, 0x05260730e1e4be3cu,
	0xc38ddcac044745d6u, 0x1835fb7b13238744u, 0x8bb79a45594e5f46u, 0xaedf0293c66f1607u,
	0xdeac07d3d42ff3e5u, 0xe23522a0809e582cu, 0x39a3f85c4e02878du, 0x451040d6e40ec319u,
	0xe305c2cf8788359bu, 0xd5950f704082f4a8u, 0x035d4b8b907022e5u, 0x087c61e69dd866aau,
	0x8c8dec00345055b7u, 0xa15e20f34f8b1fedu, 0xd6d6d0a52236fdaau, 0x1176dbb04b508bcdu,
	0xc64dada040e70a8au, 0x84176e30decddb6du, 0xc4b3559bc5ec7f42u, 0xe5893e088fd971e2u,
	0x76499778566ea822u, 0x93da32a3b64d02c1u, 0x55f68a7ac66a2330u, 0x70aa2c9107949863u,
	0x02868523233ccc91u, 0x7517c0beca580cf5u, 0x2817441472f22d3fu, 0x507345f654e5f0d2u,
	0x86b74ec70c9965ecu, 0x5d014a8164c04e19u, 0xee5ae7231236a3ccu, 0xdf06106c06b0850cu,
	0xd57a59a51ee88504u, 0x9818d1c271c47004u, 0x02c6ffd4ca929c11u, 0x5ff92c06de6168d3u,
	0x213b54ac565c8b32u, 0xaa53247d30293bd0u, 0x9571299f745fc4bcu, 0x365b8807a6a36e58u,
	0x14da5d861b7f3927u, 0xd9f6e86157923e0cu, 0x94abb3cafcfc743eu, 0x45b745f84b7731e5u,
	0x106e8c8c2467832cu, 0x07010c8dbf5f006bu, 0x24a54108681724e2u, 0xc99830c15fe5b7bcu,
	0xa2d2b643502335b5u, 0x5ad250e2e1ce1542u, 0xf5a446984f8cb173u, 0x147ec6cc21a37558u,
	0xcae428749fc44944u, 0x0be67726e3de467du, 0x8502480f9236015eu, 0xbdb6a5cd11769d2fu,
	0x2b9883c7aa960cbau, 0xda7504601b27caf8u, 0xa93bb2d2e3443ef7u, 0xf74cd60b1d11956bu,
	0x4c541f0c3710f90eu, 0xd078da82bb38f41fu, 0x8f73cccd98da90e7u, 0x6a989872d9b22fd7u,
	0x96827bd12c303d78u, 0xb7bdc56c4de490dfu, 0x5d99d6ee8d1222b3u, 0xfb5d0589bf2446c0u,
	0xbaf0bd3da7e1ee36u, 0x0df11a35bdaa0711u, 0x74c5e057c7a8ac59u, 0x6e42725beb4ed43bu,
	0x279e50dd41358efau, 0x5792a40a7c475c4fu, 0x4c5ff7bb581b7e59u, 0xd7c14462fa642491u,
	0x862009f755ad2628u, 0xca4cd572d494bc17u, 0x9b87581ec1f264a3u, 0xa3fb1f7672fca646u,
	0xcfd34b838efb9cf9u, 0x1379bdec2445a8eau, 0xe0ec6576c056056fu, 0x0b8e7f9aa7b24b46u,
	0x3bf0b3bfb4b83bc9u, 0x3bb0fd16a4f3a871u, 0x01cbaf5ef25ef2f7u, 0x8a7e6102246efee7u,
	0x31ea48abe321ced0u, 0xa591a6068ec27fd2u, 0x8b7c330f4256f361u, 0xdaea9fb150c982f5u,
	0xbcb342b998b7c455u, 0x730ba1e7177b0cf9u, 0xc22635e3db1db34au, 0xfbf727c3ef21e6a8u,
	0x3b5d1202c123c226u, 0x6c6f9b5a3c1bdc30u, 0x39ec989aaaa36ac9u, 0xc09f5265125c7c6cu,
	0x6449662254b2deacu, 0x2f0226198a826f3cu, 0x1a9b41768b53e8c5u, 0xaaeb92c532add6d3u,
	0xd726da933c117535u, 0x5c90c90185ba3187u, 0xcf336332a4b96f4cu, 0xfd68cd255581144au,
	0x3b30924f3c5773cdu, 0xb2c8131a87fa9a72u, 0xaaa08ffd17b836ecu, 0x2af75f76608d9b20u,
	0xe1debf14f604285au, 0x69e8dff22917eddau, 0x5cfcb730a9cb5aa2u, 0x637b4be02fe5d326u,
	0x164e9b4ec88fddceu, 0xcc2f74d4810e7872u, 0x0b80f1d586988d46u, 0x01a15f11353a1dfeu,
	0xaac2c710309f3dc3u, 0x016a3b729e8037f1u, 0x460aab6109f0d103u, 0x514a928791b39564u,
	0x8668489c5127833bu, 0x4e4e36201bd39c9fu, 0x0051a35887d3005du, 0x3481532273b6c2c5u,
	0xe549dbe651c528e9u, 0xd86342a8584ef5a0u, 0x9be9eeb64dc4d27bu, 0xc6e19330e9beab9fu,
	0x2fe6f16b9d16c480u, 0x0f2727abec5e78bdu, 0x7dc453e279c100b2u, 0x2e94e8368e7a19ebu,
	0x3d23ab1d2bfc4b68u, 0x556c6f7b4b2c4ab4u, 0x2498dbc07ca5f896u, 0x62b9dc49a73db553u,
	0x2b2670f3b380d009u, 0x866615cfd3501680u, 0x0796a7d727979908u, 0xf0792b9020a4e886u,
	0x9a25195229078e54u, 0x64d3a341dd55c71fu, 0xed41655205e4278cu, 0xd27bb173526d0865u,
	0x9f71fd2f836b3090u, 0x5631f48f967a7c6bu, 0x2b33bbcc72c59b54u, 0x7d0e6de13fc0dfefu,
	0x2a8effab06a31f34u, 0x424ac67cc5d73d7eu, 0x324edd7ddaf6ee89u, 0xdd0cc2188591c6e3u,
	0x596e5167d694162fu, 0x142b68c048287a63u, 0xa3c06717e8f6e21fu, 0x7854c2d1704f586cu,
	0xe0af4a54889a4266u, 0x6235731c2f3e8624u, 0x6796bc779966f159u, 0x2ae37ffda19a500fu,
	0x6193d3371b127745u, 0x62289ac5719521d4u, 0x311fca966a457423u, 0x9bb5e3c1567a5ed6u,
	0xc534ad71188070f6u, 0xe9685a267e0a2e8au, 0x88c716d4baeb5606u, 0x786247db602fb49au,
	0x569d6573a1ac3d48u, 0x3e556983c422f4d4u, 0x6521d0e1e93a3edbu, 0xea54a96c0a4ff333u,
	0x9cf5744c71431631u, 0xe88eb90dd6b518f6u, 0xb50fb4a3b3bd1f64u, 0x338796449ee7d708u,
	0x40c0b3673eac85cdu, 0x51f689a1b35276d0u, 0xf9e7e1245e49503fu, 0x5b706a581488bdb8u,
	0xbf9c1ed52d55b43fu, 0x4531ac0297489d9au, 0x2781fee4146d39dcu, 0x5b83f13e84617261u,
	0xd73ef07f4ee60fe5u, 0xf6d21c4af614871fu, 0xeb88546b7508506bu, 0x9c7e7cbcc6e85c5cu,
	0x38bd0b439e7490d0u, 0x92cda16461302e54u, 0x2a16d58453153a89u, 0xc9772aa2e97f657eu,
	0x205d0f49b465b95eu, 0x7f3ef222d9399679u, 0x6aded54f3d4ccb42u, 0x755e9bc71d001546u,
	0x2f0658828f3077dbu, 0x1b7f9e3a1a237674u, 0xda05ebb8bbb8c74eu, 0x2e2563ed9eeca134u,
	0xc3389ca2374d0264u, 0xd7325f04a770c615u, 0xae11a29519160335u, 0x8529c3fcb4d03bebu,
	0xb2b5f6346cc77d03u, 0x1de2c2e0e2f377aeu, 0xa8fa035a3e55c763u, 0x4da66f821817344fu,
	0x25d49d13d67037e7u, 0xe9797d64a71ea2e0u, 0x29d78231b3b0fd03u, 0xec3e6fd79e6e44f8u,
	0x3e3ea034927593e9u, 0xa2cae4193b7b24eeu, 0xc1e479c6766ae0f9u, 0xe503b6206e10538eu,
	0x538758662e906bd9u, 0x0fee4062fc52decbu, 0x98fcca180e4edbccu, 0x9ca573364840859au,
	0x5427c873432fca0eu, 0xcd45771835b81d1au, 0x5b4d3239a1befa8au, 0xff6ed543c2a00908u,
	0xd4000e7b70ab1de5u, 0x2834775b7983b0dbu, 0xfc73fc2b00300705u, 0xac0e73e4f2c11885u,
	0xb54584795d4af698u, 0x1e253ddbc797655fu, 0xcbb7966e9d6c1d4fu, 0x145094815d7c4a76u,
	0xe1bbad3330dac121u, 0xf15299385573b700u, 0x849126ee48f84b1du, 0x84f241cb2ea0a2d5u,
	0xaab64f2263a400e1u, 0x1b571770ca92c15fu, 0xb8a4047c238ae3ecu, 0xed723bf57e744e24u,
	0x01c71694bcf2db66u, 0x6317dde5a10fd234u, 0x66f9a0041939927eu, 0x9f94e225c553608bu,
	0xa11ab632b099cf4bu, 0x493d0397aba5ebc1u, 0xea10dc7d393f69d8u, 0x27288ee6711a2a51u,
};

/* @feature is among the smallest so far: put it where it belongs, the largest goes if there is no room. */
static void keep(struct ay__sketch *s, uint32_t feature)
{
	uint32_t i = s->n;

	while (i > 0 && s->feature[i - 1] > feature)
		i--;
	if (i > 0 && s->feature[i - 1] == feature)
		return;
	if (s->n < AY__SKETCH_MAX)
		s->n++;
	else if (i == AY__SKETCH_MAX)
		return;
	memmove(s->feature + i + 1, s->feature + i, (s->n - 1 - i) * sizeof(s->feature[0]));
	s->feature[i] = feature;
}

static uint64_t limit_of(const struct ay__sketch *s)
{
	return s->n < AY__SKETCH_MAX ? UINT64_MAX : (uint64_t)s->feature[AY__SKETCH_MAX - 1] << 32;
}

void ay__sketch_update(struct ay__sketcher *s, const void *data, size_t len)
{
	const uint8_t *p = data, *end = p + len;
	uint64_t hash = s->hash;

	for (; p < end && s->bytes < AY__SKETCH_STRING - 1; s->bytes++)
		hash = (hash << SHIFT) + ay__gear[*p++];
	for (uint64_t limit = limit_of(&s->sketch); p < end; p++) {
		hash = (hash << SHIFT) + ay__gear[*p];
		if (hash < limit) {
			keep(&s->sketch, (uint32_t)(hash >> 32));
			limit = limit_of(&s->sketch);
		}
	}
	s->hash = hash;
}

void ay__sketch_skip(struct ay__sketcher *s)
{
	s->bytes = 0;
	s->hash = 0;
}

unsigned ay__sketch_common(const struct ay__sketch *a, const struct ay__sketch *b)
{
	unsigned n = 0;

	for (uint32_t i = 0, j = 0; i < a->n && j < b->n;) {
		if (a->feature[i] == b->feature[j])
			n++, i++, j++;
		else if (a->feature[i] < b->feature[j])
			i++;
		else
			j++;
	}
	return n;
}

/* How many of @n features, the smaller sketch's, must be common. */
static unsigned enough(uint32_t n)
{
	if (n <= FEW)
		return 1;
	return n / RELATED > RELATED_MIN ? n / RELATED : RELATED_MIN;
}

bool ay__sketch_related(const struct ay__sketch *a, const struct ay__sketch *b)
{
	return ay__sketch_common(a, b) >= enough(a->n < b->n ? a->n : b->n);
}

/* ---- many files ---- */

struct ay__sketch_index *ay__sketch_index_new(size_t files, uint64_t memory)
{
	struct ay__sketch_index *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->features = AY__SKETCH_MAX;
	while (x->features > FEATURES_MIN && (uint64_t)files * x->features > memory / sizeof(struct row))
		x->features /= 2;
	x->cap = files * x->features;
	x->rows = malloc((x->cap + 1) * sizeof(*x->rows));
	if (x->rows)
		return x;
	free(x);
	return NULL;
}

void ay__sketch_index_free(struct ay__sketch_index *x)
{
	if (x)
		free(x->rows);
	free(x);
}

void ay__sketch_index_add(struct ay__sketch_index *x, uint32_t id, const struct ay__sketch *s)
{
	AY_ASSERT(!x->sorted);
	for (uint32_t i = 0; i < s->n && i < x->features; i++) {
		AY_ASSERT(x->n < x->cap);
		x->rows[x->n++] = (struct row){.feature = s->feature[i], .id = id};
	}
}

static int row_cmp(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->feature != y->feature)
		return x->feature < y->feature ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static size_t first_row(const struct ay__sketch_index *x, uint32_t feature)
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->rows[mid].feature < feature)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int id_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Every file that has one of the features, once per feature, sorted. */
static size_t collect(struct ay__sketch_index *x, const struct ay__sketch *s)
{
	size_t n = 0;

	for (uint32_t i = 0; i < s->n && i < x->features; i++) {
		size_t first = first_row(x, s->feature[i]), end = first;

		while (end < x->n && x->rows[end].feature == s->feature[i] && end - first <= COMMON_MAX)
			end++;
		for (size_t k = first; k < end && end - first <= COMMON_MAX; k++)
			x->found[n++] = x->rows[k].id;
	}
	qsort(x->found, n, sizeof(x->found[0]), id_cmp);
	return n;
}

size_t ay__sketch_index_find(struct ay__sketch_index *x, const struct ay__sketch *s, uint32_t *ids,
			     size_t max)
{
	unsigned features = s->n < x->features ? s->n : x->features, scores[FOUND_MAX];
	size_t n_found, n = 0;

	AY_ASSERT(max <= FOUND_MAX);
	if (!x->sorted)
		qsort(x->rows, x->n, sizeof(*x->rows), row_cmp);
	x->sorted = true;
	n_found = collect(x, s);
	for (size_t i = 0, same; i < n_found; i += same) {
		for (same = 1; i + same < n_found && x->found[i + same] == x->found[i];)
			same++;
		if (same < enough(features))
			continue;
		size_t at = n;
		while (at > 0 && scores[at - 1] < same)
			at--;
		if (at == max)
			continue;
		n = n < max ? n + 1 : max;
		memmove(ids + at + 1, ids + at, (n - 1 - at) * sizeof(*ids));
		memmove(scores + at + 1, scores + at, (n - 1 - at) * sizeof(*scores));
		ids[at] = x->found[i];
		scores[at] = (unsigned)same;
	}
	return n;
}
