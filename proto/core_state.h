/* SPDX-License-Identifier: MIT */
/*
 * proto/core_state.h - the core's state and its limits. The floor plan of what works on it: proto/core.c.
 *
 * An index into a table stays right as long as the entry is used; pointers to
 * sessions, bundles and docs stay right until they are removed, which happens only
 * at the end of a step (sessions) or in the functions that say so.
 */
#ifndef AYNI_PROTO_CORE_STATE_H
#define AYNI_PROTO_CORE_STATE_H

#include "base/prng.h"
#include "proto/bucket.h"
#include "proto/event.h"
#include "proto/trickle.h"
#include "proto/wire.h"

#define AY__MS    ((uint64_t)1000000)
#define AY__S     ((uint64_t)1000000000)
#define AY__NEVER UINT64_MAX
#define AY__NONE  (-1)

/* ---- limits; each with a reason */

#define AY__RELEASES_MAX  1024               /* a branch's releases of twenty years at one a week */
#define AY__DOC_BYTES_MAX ((size_t)16 << 20) /* all documents: half of what a 256 MiB laptop can spare us */
#define AY__ROOTS_MAX     64                 /* versions kept to hand on; one a year */
#define AY__TOKENS_MAX    256                /* STORE orders not yet answered; more: wait with the next */
#define AY__LINKS_MAX     8                  /* bundles two peers speak of in one session */
#define AY__ASKS_MAX      8                  /* documents asked of a peer at once */
#define AY__REQUESTS_MAX  16                 /* blocks asked of a peer at once: 1 MiB on the way */
#define AY__HASH_REQS_MAX 16
#define AY__LATE_MAX                                                                                         \
	64 /* cancelled or timed-out requests whose blocks may still come: three time-outs are 28 */
#define AY__QUEUE_MAX       64  /* requests a peer may have waiting here; it asks for at most 32 */
#define AY__SENDING_MAX     2   /* SEND orders out per session: the one that leaves, and the next */
#define AY__SENDING_ALL     16  /* and in all, so that least complete first has an effect: 1 MiB on the way */
#define AY__STRAYS_MAX      256 /* HAVEs on their way when we drop a bundle: seconds of a fast network */
#define AY__TOLD_MAX        64  /* offers a peer told us of */
#define AY__PEERS_MAX       256 /* addresses known */
#define AY__STATIC_MAX      16  /* of these from the configuration */
#define AY__PASSED_MAX      32  /* of these named by one host and not met yet: two PEERS frames */
#define AY__STRANGER_TRIES  3   /* attempts at one that nobody answered at: then it is forgotten */
#define AY__STRANGER_BURST  16  /* attempts at addresses that were only named: one PEERS frame at once, */
#define AY__STRANGER_NS     (5 * AY__S) /* then one in so long: nobody can aim us at others */
#define AY__HOSTS_MAX       256         /* hosts with a bad score remembered */
#define AY__PER_HOST_MAX    4           /* sessions from one host: two protocols, two directions */
#define AY__PER_HOST_SCHOOL 32          /* a school may see a whole class behind one translated address */
#define AY__OUT_LAPTOPS     8 /* sessions opened to laptops: a random graph of degree 8 has diameter 2 or 3 */
#define AY__OUT_SCHOOLS     2
#define AY__INTEREST_MAX    16 /* trees whose offers are asked for: the target, and what chains pass */
#define AY__HEARD_MAX       16 /* refused heads remembered, so that repeats cost no signature check */

#define AY__HANDSHAKE_NS (10 * AY__S)
#define AY__IDLE_NS      (60 * AY__S) /* who opened an idle session closes it after this */
#define AY__IDLE_IN_NS   (120 * AY__S)
#define AY__PING_NS      (20 * AY__S)
#define AY__SILENT_NS    (60 * AY__S) /* nothing heard for three pings: gone */
#define AY__STRAY_NS     (30 * AY__S) /* one more stray HAVE is forgiven each */
#define AY__BAN_NS       (600 * AY__S)
#define AY__BAN_SCORE    (-7)
#define AY__POLL_NS      (300 * AY__S)  /* a complete laptop looks at its static peers so often */
#define AY__TICK_NS      (250 * AY__MS) /* time-outs are looked at so often while sessions are there */

/* ---- orders */

struct ay__orders {
	struct ay_order *list;
	size_t n, cap;
	struct ay__chunk *chunks; /* bytes lent until the next step */
	struct ay_order nowhere;  /* written when memory is out, never read */
	bool oom;
};

/* ---- documents */

enum ay__stored { AY__STORED_NO, AY__STORED_ASKED, AY__STORED_YES };

struct ay__root_doc {
	uint32_t version;
	uint8_t *data;
	size_t len;
};

struct ay__release {
	bool used;
	uint8_t stored;
	int branch;
	struct ay_digest digest; /* of the envelope */
	uint8_t *data;
	size_t len;
	uint32_t serial, root_epoch, min_serial;
	struct ay_digest manifest;
	uint64_t unpacked;
	bool refused;      /* the store would not have it; not tried again */
	uint64_t store_at; /* the store lost it: put it there again, not before; 0 it did not */
};

struct ay__offer {
	bool used;
	uint8_t stored;
	bool local; /* from our own store or repository */
	int branch;
	struct ay_digest digest; /* of the envelope */
	uint8_t *data;
	size_t len;
	struct ay_digest from, to, bundle;
	uint64_t bundle_size;
	uint16_t laptops, schools; /* sessions that say they can give it */
	uint64_t excluded_until;   /* it failed; not before */
	bool refused;              /* its signatures do not hold under the newest root */
	bool unfit;                /* this machine cannot apply it (proto/fit.h) */
	unsigned failures;         /* to apply it, for no reason that we know */
};

/* ---- branches */

enum ay__learn_state { AY__LEARN_IDLE, AY__LEARN_STORING, AY__LEARN_RELEASE };
enum ay__update_state {
	AY__UP_IDLE,       /* nothing newer is wanted */
	AY__UP_HELD,       /* newer is known, not taken */
	AY__UP_SEARCHING,  /* wanted, no way yet */
	AY__UP_OPENING,    /* the way's bundle is being opened */
	AY__UP_COLLECTING, /* blocks are coming */
	AY__UP_FINISHING,  /* all blocks are there; waiting for what must be durable */
	AY__UP_APPLYING,
	AY__UP_BACKOFF, /* the store or disk said no; again at retry_at */
};

struct ay__interest {
	struct ay_digest manifest;
	bool need_release; /* only an offer named it so far */
};

struct ay__branch {
	char name[AY_BRANCH_NAME_MAX + 1];
	struct ay_branch_id id;
	bool id_known, told; /* told: EV_BRANCH came */
	bool follow;
	uint32_t have_serial, floor, bad_serial;
	uint32_t owner_floor; /* what EV_BRANCH said last: only the owner goes below it */
	struct ay_digest have_manifest;
	bool stays;
	struct ay_tree_here here[AY_CORE_HERE_MAX]; /* besides have_serial's */
	unsigned n_here;

	/* The newest verified head, durable; and the one that is on its way to be. */
	bool has_head, has_next;
	uint8_t head_bytes[AY_HEAD_SIZE], next_bytes[AY_HEAD_SIZE];
	struct ay_head head, next;
	uint64_t next_token;
	bool next_heard; /* it came by NEWS: somebody sends the train already */

	bool head_changed; /* learn.c looks at it before the step ends */
	uint8_t learn, update;
	uint64_t release_conn;    /* session asked for the head's release; 0 none */
	uint64_t release_conn_ns; /* since then */
	struct ay__interest interest[AY__INTEREST_MAX];
	unsigned n_interest;

	uint64_t go_until; /* the owner asked for it */
	bool force;        /* also what failed before */
	int offer;         /* of the way's bundle */
	int release;       /* that applying it makes */
	uint32_t target_serial;
	int bundle;
	uint64_t searching_since, retry_at, asked_at;
	uint64_t
		way_since; /* there is a way, and better ones may be told; 0: there is none, or it was begun */
	unsigned failures;
	char problem[160];

	/* proto/fetch.c: a bundle to this tree is wanted for its own sake; zeros: none is. */
	struct ay_digest fetch;
	uint64_t fetch_until; /* so long one is looked for */
	bool fetching;        /* the way that we are on is for it: it ends when the bundle is whole */
	unsigned fetched;     /* that came, since the start */
	uint64_t fetched_bytes;

	/* Announcing. */
	unsigned train;  /* next train, AY__TRAINS when done */
	unsigned copies; /* still to send of this train */
	uint64_t train_base, train_at;
	unsigned train_heard;
	uint64_t answer_at; /* repeat the head then, unless somebody else does */
};

/* ---- bundles */

enum ay__bundle_state { AY__B_OPENING, AY__B_PARTIAL, AY__B_FINISHING, AY__B_WHOLE };

struct ay__sent {
	uint64_t conn; /* whom the block was given to last; 0 nobody */
	uint64_t at_ns;
};

struct ay__bundle {
	bool used;
	uint8_t state;
	bool collect; /* a branch wants it now */
	struct ay_digest digest;
	uint64_t size;
	uint32_t blocks, pieces;
	const struct ay_merkle *merkle;   /* the runner's; only asked */
	uint32_t n_had, n_asked, n_twice; /* n_twice: blocks asked of two peers at once */
	uint64_t *had, *asked;            /* a bit per block; NULL had: whole */
	uint16_t *laptops;                /* per block: linked laptops that have it */
	uint8_t *refusals;                /* per block: ASK_PEERS answers; NULL until the first */
	uint32_t *wait_ms;                /* per block: not before; milliseconds since wait_base */
	uint64_t wait_base;
	struct ay__sent *sent;          /* a school's: whom each block went to; NULL until the first */
	uint32_t salt;                  /* of the random order of pieces */
	uint64_t since_ns, progress_at; /* collected since; last block */
	/* Are the laptops of any use? (see pick.c) */
	unsigned laptop_requests;
	uint64_t laptop_block_at, laptop_idle_since, laptop_gap;
};

/* ---- sessions */

enum ay__session_state { AY__SE_CONNECTING, AY__SE_HELLO, AY__SE_READY, AY__SE_CLOSED };

struct ay__link { /* one bundle between two peers */
	bool used;
	struct ay_digest digest;
	uint64_t size;
	int bundle; /* AY__NONE: they speak of it, we do not have it (yet) */
	bool we_want, they_want;
	bool known; /* their BITMAP came and says that they have some or get some */
	bool whole;
	uint64_t *bits; /* theirs; NULL when whole or not known */
	uint32_t their_had;
	uint32_t refused; /* our requests they answered with NOT_HERE */
};

struct ay__request {
	int bundle;
	uint32_t index;
	uint64_t at_ns;
};

struct ay__hash_request {
	int bundle;
	uint8_t level;
	uint32_t index;
	uint64_t at_ns;
};

struct ay__queued { /* what a peer waits for from us */
	int bundle;
	uint8_t level; /* AY_REJECT_LEVEL_BLOCK: a block */
	uint32_t index;
	uint64_t at_ns;
};

struct ay__sending {
	uint64_t at_ns;
	uint32_t bytes; /* 0: a hash block */
};

struct ay__peer_branch { /* what a peer said of a branch of ours */
	bool listed;
	uint32_t root_epoch, head_serial, have_serial;
	uint64_t signed_at_s;
	/* What we have asked it about the branch. */
	bool head_asked, release_asked;
	uint16_t offers_asked, releases_asked; /* bit per interest */
	uint32_t serial_asked;
	uint64_t offers_at;
};

struct ay__ask {
	struct ay_wire_ask ask;
	int branch;
	uint64_t at_ns;
};

struct ay__session {
	uint64_t conn;
	uint8_t state;
	bool incoming, school, incomplete;
	bool greeted; /* we sent HELLO */
	bool useful;  /* something good came of it */
	struct ay_addr addr;
	int peer; /* index into peers, or AY__NONE */
	uint64_t since_ns, heard_ns, said_ns, active_ns;
	uint64_t session_id;
	uint16_t port;
	uint32_t root_version;
	bool root_asked;
	uint64_t asked_again_ns;
	struct ay__peer_branch branches[AY_CORE_BRANCHES_MAX];

	struct ay__ask asks[AY__ASKS_MAX]; /* in the order of their answers */
	unsigned n_asks, n_docs;           /* n_docs: that came for the first of them */
	struct ay_buf parts;               /* of a root in parts */
	struct ay_bucket answers;          /* what it may ask */
	struct ay_bucket strays;           /* HAVEs of what we do not collect */
	uint16_t told[AY__TOLD_MAX];
	unsigned n_told;

	struct ay__link links[AY__LINKS_MAX];
	struct ay__request requests[AY__REQUESTS_MAX];
	unsigned n_requests, depth;
	struct ay__hash_request hash_requests[AY__HASH_REQS_MAX];
	unsigned n_hash_requests;
	struct ay__request late[AY__LATE_MAX];
	unsigned late_at;
	uint64_t hold_until;         /* it said BUSY */
	uint64_t block_at, part_at;  /* when a block, or a part of one, last came */
	uint64_t gap_ns, longest_ns; /* between two blocks: usually; at the most, of late */
	uint64_t patience_ns;
	unsigned time_outs; /* without a block in between */
	unsigned without_hashes;
	uint64_t good_blocks;

	struct ay__queued queue[AY__QUEUE_MAX];
	unsigned queue_head, queue_n;
	struct ay__sending sending[AY__SENDING_MAX];
	unsigned n_sending;
	uint64_t served_at;
	uint32_t their_had, their_blocks; /* of the bundle it last asked a block of */

	uint64_t bytes_from, bytes_to;
	int score;
};

static inline bool ay__ready(const struct ay__session *s)
{
	return s && s->state == AY__SE_READY;
}

/* ---- addresses */

enum ay__peer_source { AY__PEER_STATIC, AY__PEER_CHAT, AY__PEER_PASSED };

struct ay__peer {
	bool used;
	uint8_t source;
	bool school, incomplete;
	struct ay_addr addr;
	uint64_t session_id; /* 0: not known */
	uint64_t heard_ns;   /* by CHAT; 0 never */
	uint64_t met_ns;     /* in a session; 0 never */
	uint64_t next_ns;    /* not connected to before */
	uint64_t poll_ns;    /* static: look at it then even if nothing is wanted */
	unsigned failures;
	uint64_t conn;     /* session that we opened to it */
	bool newer;        /* said that it has something newer */
	struct ay_addr by; /* PASSED: who named it */
};

struct ay__host {
	bool used;
	struct ay_addr addr;
	int score;
	uint64_t banned_until, changed_ns;
};

/* ---- tokens of STORE orders */

enum ay__token_kind { AY__TOKEN_ROOT, AY__TOKEN_HEAD, AY__TOKEN_RELEASE, AY__TOKEN_OFFER, AY__TOKEN_BUNDLE };

struct ay__token {
	uint64_t token;
	enum ay__token_kind kind;
	int index; /* of branch, release, offer or bundle */
};

/* What is to be looked at again before the step ends. */
enum ay__dirty {
	AY__DIRTY_LEARN = 1,
	AY__DIRTY_PLAN = 2,
	AY__DIRTY_SWARM = 4, /* all sessions; one session is filled at once */
	AY__DIRTY_SERVE = 8,
	AY__DIRTY_PEERS = 16,
	AY__DIRTY_HELLO = 32, /* the summary changed: tell the sessions */
};

struct ay_core {
	struct ay_core_config cfg;
	struct ay_addr static_peers[AY__STATIC_MAX];
	unsigned sessions_max;
	struct ay_prng prng;
	uint64_t now, started_ns;
	bool running; /* the first event came */
	struct ay__orders orders;
	struct ay_buf scratch;
	uint64_t deadline_told, tick_at, update_at, peers_at;
	uint64_t held_look_at; /* while a release is held: when to look at a peer; 0 none is held */
	unsigned dirty;

	struct ay_root *root, *next_root;
	uint8_t fleet[8];
	struct ay__root_doc roots[AY__ROOTS_MAX];
	unsigned n_roots;
	uint8_t *next_root_data;
	size_t next_root_len;
	uint64_t root_conn;       /* session asked for the next root */
	uint64_t root_conn_ns;    /* since then */
	uint64_t root_hint_until; /* a head of a newer root was heard: look for peers until then */

	struct ay__branch branches[AY_CORE_BRANCHES_MAX];
	unsigned n_branches;
	struct ay__release *releases; /* [AY__RELEASES_MAX] */
	struct ay__offer *offers;     /* [AY_CORE_OFFERS_MAX] */
	unsigned n_offers;            /* used ones lie below */
	unsigned n_releases;
	size_t doc_bytes;
	struct ay__token tokens[AY__TOKENS_MAX];
	unsigned n_tokens;
	uint64_t last_token;

	struct ay__bundle bundles[AY_CORE_BUNDLES_MAX];
	struct ay__session **sessions; /* [sessions_max] */
	unsigned n_sessions;
	uint64_t last_conn;
	struct ay__peer peers[AY__PEERS_MAX];
	struct ay__host hosts[AY__HOSTS_MAX];
	struct ay_network networks[AY_CORE_NETWORKS_MAX]; /* that we are in */
	unsigned n_networks;
	struct ay_bucket stranger_bucket;

	struct ay_trickle trickle;
	uint64_t question_at, questions_left;
	uint64_t incomplete_heard_ns;
	unsigned chat_rotation;
	struct ay_bucket verify_bucket, answer_bucket, question_bucket;
	uint8_t refused_heads[AY__HEARD_MAX][16];
	unsigned refused_at;

	uint64_t bytes_from_peers, bytes_from_school, bytes_served, bytes_twice, packets_refused;
};

/* Its place among the branches, by which releases and offers name it. */
static inline int ay__branch_index(const struct ay_core *c, const struct ay__branch *b)
{
	return (int)(b - c->branches);
}

#endif
