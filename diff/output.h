/* SPDX-License-Identifier: MIT */
/*
 * diff/output.h - where a record's bytes go: collected, hashed, given on (internal to diff/).
 *
 * Written once, in order. Whoever computes bytes asks for room and says how many of them it filled.
 */
#ifndef AYNI_DIFF_OUTPUT_H
#define AYNI_DIFF_OUTPUT_H

#include "diff/queue.h"
#include "diff/rewrap.h"

#define AY__OUTPUT_BUFFER (256u << 10) /* bytes given to the sink at once, mostly */
#define AY__OUTPUT_DIRECT (64u << 10)  /* so many bytes at once are given as they lie */

/* Zero-initialise; init; begin and end each record; release. */
struct ay__output {
	const struct ay_bundle_sink *sink;
	const struct ay_bundle_record *record;
	struct ay_hasher *hasher;
	uint8_t *buffer;
	size_t len;
	struct ay__rewrap *
		rewrap; /* what is collected is a view, from which this makes the file; NULL: it is the file */
	uint64_t hold, held; /* bytes of the view that go to a temporary file first, and that did; 0: none */
	uint64_t given;      /* bytes of the file, where there is no queue */
	uint8_t *memory;     /* where they go, and nothing else is done with them; NULL: they go on */
	struct ay__queue *queue; /* another thread hashes and gives on; NULL: none */
	uint8_t *block;          /* of the queue, to be filled; NULL: none yet */
	size_t block_len;
	unsigned kind; /* of the next block */
	const struct ay_bundle_place
		*again; /* the record in hand had begun before: that much of it is in @again_fd */
	int again_fd;
	struct ay_err *err;
};

/** ay__output_init() - @sink and @err stay the caller's. @thread: use a second one if there is. 0, -ENOMEM. */
int ay__output_init(struct ay__output *o, const struct ay_bundle_sink *sink, bool thread, struct ay_err *err);
/** ay__output_release() - what was given on is done first. Return: @rc, or what went wrong before that in the other thread. */
int ay__output_release(struct ay__output *o, int rc, struct ay_err *err);

/**
 * ay__output_begin() - the bytes that come are @r's, borrowed until the end. What was not flushed is forgotten.
 * @recipe: checked, borrowed until the end; the bytes are those of the view. Empty: of the file.
 * @memory: what packing by it needs; where that is little, the other thread packs.
 * @hold: the view's size, if all of it is to be there before packing begins (ay__recipe_held()): it waits in the sink's temporary
 *   file, which begins with the first bytes; a base's view must be open by then. 0: it is packed as it comes.
 *
 * Return: 0, -ENOMEM, what sink->open returned.
 */
int ay__output_begin(struct ay__output *o, const struct ay_bundle_record *r, struct ay_slice recipe,
		     uint64_t memory, uint64_t hold);

/** ay__output_room() - where the next bytes go; @n: how many fit, at least 1. Then ay__output_add(). */
uint8_t *ay__output_room(struct ay__output *o, size_t *n);

/* The following return 0 or what the sink returned, or, when the other thread failed, -ECANCELED. */

/** ay__output_add() - @n bytes of the room were filled. */
int ay__output_add(struct ay__output *o, size_t n);
/** ay__output_put() - these bytes are next. */
int ay__output_put(struct ay__output *o, const uint8_t *data, size_t len);
/** ay__output_end() - that was all. AY_EDIGEST when it is not the record's target; else sink->end. */
int ay__output_end(struct ay__output *o);

/** ay__output_place() - tell @p, with all that lies in front of it given on. */
int ay__output_place(struct ay__output *o, const struct ay_bundle_place *p);

#endif
