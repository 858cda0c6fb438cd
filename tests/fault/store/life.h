/* SPDX-License-Identifier: MIT */
/*
 * A store's life, told step by step on a disk that forgets, and what must be true of it whenever the power goes.
 *
 * A life is drawn from a seed: each step is one thing that a store can do now. After each
 * step what the store says of itself is written down (struct facts): that is what was promised. A step may be killed
 * (and is then begun again, as on the next start) or meet a sync that fails.
 *
 * Of any state after a power cut it must hold, with the facts before and behind the step that was cut:
 *
 *     it opens; each fact is as it was before or as it is behind; the floor and the head do not go down
 *     a tree that is there is whole, to its last byte and attribute
 *     the step, done again, succeeds, and then all facts are those behind it
 *     after a collection nothing is left over: no staging, no temporary file, no object without a tree
 */
#ifndef AYNI_TESTS_FAULT_STORE_LIFE_H
#define AYNI_TESTS_FAULT_STORE_LIFE_H

#include "store/state.h"
#include "tests/support/fs_crash.h"
#include "tests/support/store_kit.h"

#define LIFE_BRANCHES 2
#define LIFE_SERIALS  5
#define LIFE_BUNDLES  2 /* in collection */
#define LIFE_DOCS     3
#define LIFE_HOMES    6 /* files beside the store, which OP_DEDUPE makes one where they are equal */
#define LIFE_STEPS    64

/* What the publisher has. Made once; lives only read it. */
struct world {
	struct kit k;
	struct kit_tree tree[LIFE_BRANCHES][LIFE_SERIALS + 1]; /* by serial */
	int bundle[LIFE_SERIALS + 1][2]; /* branch 0: from nothing; from the serial before */
	struct ay_offer offer[LIFE_SERIALS + 1][2];
	uint8_t head[LIFE_BRANCHES][LIFE_SERIALS + 1][AY_HEAD_SIZE];
	struct ay_buf root2;
	struct {
		uint8_t *data;
		size_t size;
		struct ay_merkle *merkle;
		struct ay_digest digest;
	} source[LIFE_BUNDLES];
};
extern const char *const life_branch[LIFE_BRANCHES];

void world_init(struct world *w);
void world_release(struct world *w);

/* What a store says of itself. */
struct facts {
	uint32_t root;
	struct branch_facts {
		uint32_t trees; /* bit per serial */
		uint32_t current;
		struct ay_branch_state state;
		uint32_t head; /* its serial */
	} b[LIFE_BRANCHES];
	bool doc[2][LIFE_DOCS];
	struct {
		bool there, whole;
		uint64_t had; /* bit per block */
	} bundle[LIFE_BUNDLES];
	bool has_id;
	uint8_t id[16];
};

enum op {
	OP_MAKE,
	OP_ROOT,
	OP_IMPORT,
	OP_APPLY,
	OP_SWITCH,
	OP_TRIAL,
	OP_TRY,
	OP_CONFIRM,
	OP_FAIL,
	OP_READY,
	OP_PIN,
	OP_UNPIN,
	OP_ROLLBACK,
	OP_GC,
	OP_REMOVE,
	OP_HEAD,
	OP_FOLLOW,
	OP_DOC,
	OP_DROP_DOC,
	OP_COLLECT,
	OP_FINISH,
	OP_DROP_BUNDLE,
	OP_ID,
	OP_ADOPT,
	OP_HEAL,        /* an object has lost its name, and gets it back */
	OP_REMOVE_USED, /* a tree that somebody uses is removed; he ends, and what is left is collected */
	OP_DEDUPE,
	OPS
};
extern const char *const op_names[OPS];

struct step {
	enum op op;
	unsigned b;      /* branch, kind of document, or bundle */
	uint32_t serial; /* or which document, or to which block */
};

struct life {
	const struct world *w;
	struct kit disk; /* its directory is the disk; disk.dir/store the store */
	struct fs_crash c;
	struct step step[LIFE_STEPS];
	struct facts behind[LIFE_STEPS]; /* each step */
	uint32_t end[LIFE_STEPS];        /* calls when it was done */
	bool sync_failed[LIFE_STEPS];    /* one of its syncs did */
	unsigned n;
	bool starts_only_open;
	unsigned kills, failures; /* that were met */
};

struct life_options {
	uint64_t seed;
	unsigned steps;            /* at most */
	unsigned mishaps;          /* kills and failed syncs: one step in so many has one; 0: none */
	unsigned links_max;        /* of the file system; 0: many */
	const struct step *script; /* ends with OPS; NULL: drawn */
	unsigned kill_step;        /* this one is killed */
	uint32_t kill_call;        /* at this call of it; 0: none is */
	bool starts_only_open; /* as a command does; else as a node, which finishes switches that were begun */
	bool turns;            /* mostly moves between trees */
	struct crash_sites *sites; /* borrowed; NULL: do not care */
	const char *mutant;
	enum crash_mutation mutation;
};

/* Why something does not hold. */
struct verdict {
	char why[1400];
};

/** life_tell() - live it. False: a step did not succeed even without a mishap. Call life_release() in every case. */
bool life_tell(struct life *l, const struct world *w, const struct life_options *o, struct verdict *v);
void life_release(struct life *l);

/** life_story() - print its steps, and at which call each was done. */
void life_story(const struct life *l);
/** life_step() - do one step with the open store. */
int life_step(const struct world *w, struct ay_store *s, const struct step *step, struct ay_err *err);
/** life_home() - the name, below the disk, of a file beside the store, and its content: @size bytes at @out. */
void life_home(unsigned i, char name[32], char *out, size_t size);
/** life_doc() - the text of a document. */
void life_doc(enum ay_doc_kind kind, uint32_t i, char out[64]);
/** life_nothing_wrong() - such a code means: it is so already, or a tree that is needed stays. */
bool life_nothing_wrong(const struct step *step, int r);
/** life_open() - as a node starts: DIR/lib/store, made when it is not there, the first root, switches that were begun. */
int life_open(const struct life *l, const char *dir, struct ay_fs *fs, struct ay_store **s,
	      struct ay_err *err);
/** life_look() - what the store in @dir says, through another opening that only reads. */
bool life_look(const struct world *w, const char *dir, struct facts *f, struct verdict *v);

/**
 * life_cut() - cut the power of life @l as @cut says, and see what holds.
 * @again: cut it a second time while the first cut is being got over.
 */
bool life_cut(const struct life *l, const struct crash_cut *cut, bool again, struct verdict *v);

/* A way to say why and return false. */
#define NOT(v, ...) (snprintf((v)->why, sizeof((v)->why), __VA_ARGS__), false)

#endif
