/* SPDX-License-Identifier: MIT */
/*
 * sim/fakedisk.h - what a machine in memory has on its disk: documents, branches, bundles.
 *
 * It outlives the process (struct ay_fakenode's core). What is in here is durable, but for blocks and
 * hash blocks younger than their bundle's last sync. Times are the machine's own clock.
 */
#ifndef AYNI_SIM_FAKEDISK_H
#define AYNI_SIM_FAKEDISK_H

#include "base/prng.h"
#include "sim/fakenode.h"

/* As node/disk.h: what was written is synced after so long or so much. */
#define AY_FAKEDISK_SYNC_NS    ((uint64_t)2000000000)
#define AY_FAKEDISK_SYNC_BYTES (8u << 20)

struct ay_fakedoc {
	enum ay_event_type type; /* ROOT, RELEASE, OFFER */
	struct ay_digest digest; /* of the envelope */
	uint32_t version;        /* of a root */
	uint8_t *data;
	size_t len;
};

enum ay_fakebundle_state { AY_FAKE_CLOSED, AY_FAKE_OPENING, AY_FAKE_OPEN, AY_FAKE_FINISHING };

struct ay_fakehash {
	unsigned level;
	uint32_t index;
	uint64_t at_ns;
	uint8_t block[AY_LEAF_SIZE];
};

struct ay_fakebundle {
	struct ay_fakebundle *next;
	struct ay_digest digest;
	uint64_t size;
	uint32_t blocks, n_had;
	uint8_t *data;
	bool lent;    /* the bytes are somebody else's: a repository's */
	bool whole;   /* under its name, durably */
	bool dropped; /* its name is gone, its file not yet */
	enum ay_fakebundle_state state;
	uint8_t *bitmap;
	uint64_t *at_ns; /* per block: when it was written; 0: it was here at start */
	struct ay_merkle *merkle;
	struct ay_fakehash *hashes;
	unsigned n_hashes;
	uint64_t dirty_ns, synced_ns; /* first write after the last sync (0 none); the last sync */
	uint64_t dirty_bytes;
};

struct ay_fakedisk {
	struct ay_fakedoc *docs;
	unsigned n_docs;
	struct ay_fakebranch branches[AY_CORE_BRANCHES_MAX];
	unsigned n_branches;
	struct ay_fakebundle *bundles;
};

void ay_fakedisk_release(struct ay_fakedisk *d);

/** ay_fakedisk_add_doc() - false: it is there already. */
bool ay_fakedisk_add_doc(struct ay_fakedisk *d, enum ay_event_type type, struct ay_slice data);
const struct ay_fakedoc *ay_fakedisk_doc(const struct ay_fakedisk *d, enum ay_event_type type,
					 const struct ay_digest *digest);
uint32_t ay_fakedisk_root_version(const struct ay_fakedisk *d);
struct ay_fakebranch *ay_fakedisk_branch(struct ay_fakedisk *d, const char *name, bool create);
/** ay_fakedisk_set_head() - keep the newer of two, as store/state.c does. */
void ay_fakedisk_set_head(struct ay_fakebranch *b, const uint8_t head[AY_HEAD_SIZE]);

/** ay_fakedisk_find() - by digest; one whose name is gone is not found. */
struct ay_fakebundle *ay_fakedisk_find(const struct ay_fakedisk *d, const struct ay_digest *digest);
/** ay_fakedisk_begin() - an empty one, AY_FAKE_CLOSED. */
struct ay_fakebundle *ay_fakedisk_begin(struct ay_fakedisk *d, const struct ay_digest *digest, uint64_t size);
void ay_fakedisk_remove(struct ay_fakedisk *d, struct ay_fakebundle *b);
/** ay_fakebundle_resume() - what is on the disk, verified from the top down; @forget: had is nothing. */
void ay_fakebundle_resume(struct ay_fakebundle *b, bool forget);
/** ay_fakebundle_close() - the process is gone: what was only in its memory too. */
void ay_fakebundle_close(struct ay_fakebundle *b);
/** ay_fakebundle_write() - status as ay_bundle_file_write(); @blind: without the check. */
int ay_fakebundle_write(struct ay_fakebundle *b, uint32_t index, struct ay_slice data, uint64_t now_ns,
			bool blind);
int ay_fakebundle_add_hashes(struct ay_fakebundle *b, unsigned level, uint32_t index, const uint8_t *block,
			     uint64_t now_ns);
/** ay_fakebundle_power_cut() - of what was not synced each block and hash block is lost or not. */
void ay_fakebundle_power_cut(struct ay_fakebundle *b, uint64_t now_ns, struct ay_prng *prng);

#endif
