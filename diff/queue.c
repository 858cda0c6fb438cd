/* SPDX-License-Identifier: MIT */
/* diff/queue.c - a ring between two threads; each wakes the other only when it sleeps. */
#include "diff/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct block {
	struct ay_bundle_record r;
	struct ay_bundle_place place;
	bool is_place;
	unsigned kind;
	size_t len;
	uint8_t *bytes;
	struct recipe *
		recipe; /* with AY__QUEUE_OPEN: the bytes of this record are a view; taken over by whoever opens it */
};

struct recipe {
	size_t len;
	uint8_t bytes[];
};

struct ay__queue {
	const struct ay_bundle_sink *sink;
	struct ay_hasher *hasher;
	/* The second thread's, of the record in hand. */
	const struct ay_bundle_record *now;
	uint64_t given; /* bytes of its file */
	struct recipe *recipe;
	struct ay__rewrap *rewrap;
	struct recipe *next_recipe; /* the first thread's: of the record that is opened next */
	pthread_mutex_t lock;
	size_t recipes; /* bytes of all recipes */
	unsigned packs; /* how many they are */
	pthread_cond_t filled, emptied;
	unsigned first, n; /* blocks that wait, the one in work among them */
	bool done;         /* no more come */
	bool reader_sleeps, writer_sleeps;
	int rc; /* of the second thread */
	int again_fd;
	uint64_t again; /* bytes; 0: none */
	struct ay_err err;
	pthread_t thread;
	uint8_t *memory;
	struct block blocks[AY__QUEUE_BLOCKS];
};

int ay__hash_again(struct ay_hasher *h, int fd, uint64_t len, struct ay_err *err)
{
	uint8_t buf[16384];

	for (uint64_t at = 0; at < len;) {
		size_t want = len - at < sizeof(buf) ? (size_t)(len - at) : sizeof(buf);
		ssize_t n = pread(fd, buf, want, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ay_err_errno(err, errno, "what was there of it");
		if (n == 0)
			return ay_err_set(err, AY_EDIGEST, "fewer bytes are there than it is said");
		ay_hasher_update(h, buf, (size_t)n);
		at += (uint64_t)n;
	}
	return 0;
}

int ay__record_bytes(const struct ay_bundle_sink *sink, const struct ay_bundle_record *r, struct ay_hasher *h,
		     uint64_t *given, const uint8_t *data, size_t len, struct ay_err *err)
{
	if (len > r->size - *given)
		return ay_err_set(err, AY_EDIGEST,
				  "packs to more than %llu bytes: the bundle is wrong, the base changed, or "
				  "a library here packs differently",
				  (unsigned long long)r->size);
	*given += len;
	ay_hasher_update(h, data, len);
	return sink->data(sink->ctx, r, data, len, err);
}

int ay__record_end(const struct ay_bundle_sink *sink, const struct ay_bundle_record *r, struct ay_hasher *h,
		   struct ay_err *err)
{
	char hex[AY_DIGEST_HEX + 1];
	struct ay_digest digest;

	ay_hasher_final(h, &digest);
	if (!ay_digest_eq(&digest, &r->target))
		return ay_err_set(err, AY_EDIGEST, "gave %s: the bundle is wrong, or the base changed%s",
				  ay_digest_hex(&digest, hex),
				  r->filters ? ", or a library here packs differently" : "");
	return sink->end(sink->ctx, r, err);
}

/* ---- the second thread ---- */

static int file_bytes(void *ctx, const uint8_t *data, size_t len)
{
	struct ay__queue *q = ctx;

	return ay__record_bytes(q->sink, q->now, q->hasher, &q->given, data, len, &q->err);
}

/* Nothing more is packed of the record in hand. */
static void pack_no_more(struct ay__queue *q)
{
	ay__rewrap_free(q->rewrap);
	q->rewrap = NULL;
	if (!q->recipe)
		return;
	pthread_mutex_lock(&q->lock);
	q->recipes -= q->recipe->len;
	q->packs--;
	pthread_mutex_unlock(&q->lock);
	free(q->recipe);
	q->recipe = NULL;
}

static int record_open(struct ay__queue *q, struct block *b)
{
	ay_hasher_reset(q->hasher);
	q->given = q->again;
	q->again = 0;
	q->recipe = b->recipe;
	b->recipe = NULL;
	if (q->recipe) {
		const struct ay_slice recipe = {.data = q->recipe->bytes, .len = q->recipe->len};
		q->rewrap = ay__rewrap_new(recipe, file_bytes, q, &q->err);
		if (!q->rewrap)
			return ay_err_errno(&q->err, ENOMEM, "pack again");
	}
	int rc = q->sink->open ? q->sink->open(q->sink->ctx, &b->r, &q->err) : 0;
	return rc == 0 && q->given ? ay__hash_again(q->hasher, q->again_fd, q->given, &q->err) : rc;
}

static int handle(struct ay__queue *q, struct block *b)
{
	char hex[AY_DIGEST_HEX + 1];
	int rc = 0;

	if (b->is_place)
		return q->sink->place ? q->sink->place(q->sink->ctx, &b->place, &q->err) : 0;
	q->now = &b->r;
	if (b->kind & AY__QUEUE_OPEN)
		rc = record_open(q, b);
	if (rc == 0 && b->len > 0)
		rc = q->rewrap ? ay__rewrap_put(q->rewrap, b->bytes, b->len)
			       : file_bytes(q, b->bytes, b->len);
	if (rc == 0 && b->kind & AY__QUEUE_END) {
		rc = q->rewrap ? ay__rewrap_end(q->rewrap) : 0;
		if (rc == 0)
			rc = ay__record_end(q->sink, &b->r, q->hasher, &q->err);
		pack_no_more(q);
	}
	return rc ? ay_err_wrap(&q->err, rc, "record %u (%.12s...)", b->r.index,
				ay_digest_hex(&b->r.target, hex))
		  : 0;
}

static void *work(void *arg)
{
	struct ay__queue *q = arg;

	pthread_mutex_lock(&q->lock);
	for (;;) {
		while (q->n == 0 && !q->done) {
			q->writer_sleeps = true;
			pthread_cond_wait(&q->filled, &q->lock);
			q->writer_sleeps = false;
		}
		if (q->n == 0 || q->rc)
			break;
		struct block *b = &q->blocks[q->first];
		pthread_mutex_unlock(&q->lock);
		int rc = handle(q, b);
		pthread_mutex_lock(&q->lock);
		q->rc = rc;
		q->first = (q->first + 1) % AY__QUEUE_BLOCKS;
		q->n--;
		/* Half of the ring at once: to be woken for each block would cost more than to fill it. */
		if (q->reader_sleeps && (q->rc || q->n <= AY__QUEUE_BLOCKS / 2))
			pthread_cond_signal(&q->emptied);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

/* ---- the first thread ---- */

struct ay__queue *ay__queue_new(const struct ay_bundle_sink *sink)
{
	struct ay__queue *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->sink = sink;
	q->hasher = ay_hasher_new();
	q->memory = malloc((size_t)AY__QUEUE_BLOCKS * AY__QUEUE_BLOCK);
	for (unsigned i = 0; q->memory && i < AY__QUEUE_BLOCKS; i++)
		q->blocks[i].bytes = q->memory + (size_t)i * AY__QUEUE_BLOCK;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->filled, NULL);
	pthread_cond_init(&q->emptied, NULL);
	if (q->hasher && q->memory && pthread_create(&q->thread, NULL, work, q) == 0)
		return q;
	pthread_cond_destroy(&q->emptied);
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
	ay_hasher_free(q->hasher);
	free(q->memory);
	free(q);
	return NULL;
}

int ay__queue_free(struct ay__queue *q, struct ay_err *err)
{
	pthread_mutex_lock(&q->lock);
	q->done = true;
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
	pthread_join(q->thread, NULL);
	int rc = q->rc;
	if (rc && err)
		*err = q->err;
	pack_no_more(q);
	free(q->next_recipe);
	for (unsigned i = 0; i < AY__QUEUE_BLOCKS; i++)
		free(q->blocks[i].recipe);
	pthread_cond_destroy(&q->emptied);
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
	ay_hasher_free(q->hasher);
	free(q->memory);
	free(q);
	return rc;
}

/* The block to be filled next, once there is one. NULL: in vain. */
static struct block *next(struct ay__queue *q)
{
	pthread_mutex_lock(&q->lock);
	while (q->n == AY__QUEUE_BLOCKS && !q->rc) {
		q->reader_sleeps = true;
		pthread_cond_wait(&q->emptied, &q->lock);
		q->reader_sleeps = false;
	}
	struct block *b = q->rc ? NULL : &q->blocks[(q->first + q->n) % AY__QUEUE_BLOCKS];
	pthread_mutex_unlock(&q->lock);
	return b;
}

static void give(struct ay__queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->n++;
	if (q->writer_sleeps)
		pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

uint8_t *ay__queue_room(struct ay__queue *q)
{
	struct block *b = next(q);

	return b ? b->bytes : NULL;
}

/* The block that ay__queue_room() gave: only this thread adds, so it is still the next one. */
void ay__queue_give(struct ay__queue *q, const struct ay_bundle_record *r, size_t len, unsigned kind)
{
	pthread_mutex_lock(&q->lock);
	struct block *b = &q->blocks[(q->first + q->n) % AY__QUEUE_BLOCKS];
	pthread_mutex_unlock(&q->lock);
	b->r = *r;
	b->is_place = false;
	b->kind = kind;
	b->len = len;
	if (kind & AY__QUEUE_OPEN) {
		b->recipe = q->next_recipe;
		q->next_recipe = NULL;
	}
	give(q);
}

bool ay__queue_pack(struct ay__queue *q, struct ay_slice recipe, uint64_t memory)
{
	if (memory > AY__QUEUE_PACK_MEMORY || recipe.len > AY__QUEUE_RECIPES)
		return false;
	pthread_mutex_lock(&q->lock);
	bool room = q->packs < AY__QUEUE_PACKS && recipe.len <= AY__QUEUE_RECIPES - q->recipes;
	struct recipe *copy = room ? malloc(sizeof(*copy) + recipe.len) : NULL;
	if (copy) {
		q->recipes += recipe.len;
		q->packs++;
	}
	pthread_mutex_unlock(&q->lock);
	if (!copy)
		return false;
	copy->len = recipe.len;
	memcpy(copy->bytes, recipe.data, recipe.len);
	AY_ASSERT(!q->next_recipe);
	q->next_recipe = copy;
	return true;
}

void ay__queue_again(struct ay__queue *q, int fd, uint64_t len)
{
	pthread_mutex_lock(&q->lock);
	q->again_fd = fd;
	q->again = len;
	pthread_mutex_unlock(&q->lock);
}

int ay__queue_place(struct ay__queue *q, const struct ay_bundle_place *p)
{
	struct block *b = next(q);

	if (!b)
		return -1;
	b->place = *p;
	b->is_place = true;
	give(q);
	return 0;
}
