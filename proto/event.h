/* SPDX-License-Identifier: MIT */
/*
 * proto/event.h - the words that are spoken at the core's door: events go in, orders come out.
 *
 * Payload never passes here: who runs the core checks, writes and reads blocks, and
 * tells only the verdict. What is borrowed, and for how long, stands at each member.
 */
#ifndef AYNI_PROTO_EVENT_H
#define AYNI_PROTO_EVENT_H

#include "base/merkle.h"
#include "manifest/trust.h"

enum ay_node_role { AY_NODE_LAPTOP, AY_NODE_SCHOOL };

/* An address as the core sees it: compared; looked into by proto/reach.c alone. IPv4 as ::ffff:a.b.c.d. */
struct ay_addr {
	uint8_t ip[16];
	uint32_t scope; /* interface index of a link-local address, else 0 */
	uint16_t port;  /* host order */
};

/* A network that an interface of this node is in. */
struct ay_network {
	uint8_t ip[16]; /* of any host in it */
	uint8_t bits;   /* length of the prefix, of 128: an IPv4 /24 is 120 */
};

/* Limits, each with a reason. */
#define AY_CORE_BRANCHES_MAX 32   /* branches a node follows or serves */
#define AY_CORE_SESSIONS_MAX 64   /* sessions at once; a school's config may raise it to 1024 */
#define AY_CORE_BUNDLES_MAX  256  /* bundles known whole or in collection */
#define AY_CORE_OFFERS_MAX   4096 /* offers remembered */
#define AY_CORE_NETWORKS_MAX 16   /* more is a router, whose peers are told to it */
#define AY_DATAGRAM_MAX      400  /* one frame at the basic rate, no fragments */
#define AY_CONN_NONE         0
#define AY_CORE_HERE_MAX     8 /* trees of a branch that bundles may start from; a store keeps two or three */

/* What applying a bundle may need here. */
struct ay_apply_limits {
	uint64_t memory;             /* bytes; 0: as many as an offer says */
	const char *const *encoders; /* names of those that are here; borrowed for the core's life */
	unsigned n_encoders;
};

struct ay_core_config {
	enum ay_node_role role;
	uint64_t session_id; /* random, new at each start; recognises our own packets */
	uint64_t seed;       /* of all the core's chance */
	uint8_t rollout_draw; /* 0..99, stable per installation and release line: takes a release if draw < rollout */
	uint16_t tcp_port;            /* where we accept sessions; announced in CHAT */
	unsigned sessions_max;        /* 0: AY_CORE_SESSIONS_MAX */
	bool auto_update;             /* take new releases without being asked */
	struct ay_apply_limits apply; /* offers beyond them are left out of the plan */
	/* Static peers (a school's address from the configuration); borrowed during ay_core_new() only. */
	const struct ay_addr *peers;
	unsigned n_peers;
	/* Trace: one dense line per decision; may be NULL. The only call out of the core. */
	void (*trace)(void *ctx, const char *room, const char *line);
	void *trace_ctx;
};

enum ay_group { AY_GROUP_NEWS, AY_GROUP_CHAT, AY_GROUP_NONE /* unicast */ };

/* A tree that is on the disk, current or not. */
struct ay_tree_here {
	uint32_t serial;
	struct ay_digest manifest;
};

enum ay_event_type {
	AY_EV_TICK,    /* the deadline has come (or any time: harmless) */
	AY_EV_ROOT,    /* local: an envelope that store or repository already trusts: data */
	AY_EV_BRANCH,  /* local: what this node has of a branch: branch */
	AY_EV_HEAD,    /* local: a head found in store or repository: data (verified again) */
	AY_EV_RELEASE, /* local: a release's envelope: data */
	AY_EV_OFFER,   /* local: an offer's envelope: data */
	AY_EV_BUNDLE,  /* local: a bundle is open: bundle. Answers OPEN_BUNDLE, or at start what is on disk */
	AY_EV_BUNDLE_GONE, /* local: it could not be opened or was dropped: bundle.digest, status */
	AY_EV_DATAGRAM,    /* heard: datagram */
	AY_EV_CONNECTED,   /* conn is up: conn */
	AY_EV_CLOSED,      /* conn is gone, or a CONNECT failed: conn, status */
	AY_EV_FRAME,       /* a frame other than BLOCK and HASHES: frame */
	AY_EV_BLOCK, /* a BLOCK frame came, was checked and written: block, status = ay_bundle_file_write()'s */
	AY_EV_BLOCK_PART, /* 4 KiB more came, a BLOCK frame's, not its end; told twice a second at most: block.conn */
	AY_EV_HASHES,   /* a HASHES frame came and was checked: hashes, status = ..._add_hashes()'s */
	AY_EV_SENT,     /* a SEND_BLOCK or SEND_HASHES has left for the kernel: block.conn */
	AY_EV_STORED,   /* the answer to a STORE_* or FINISH_BUNDLE order: token, status */
	AY_EV_APPLIED,  /* the answer to APPLY: applied, status */
	AY_EV_NETWORKS, /* local: the networks that we are in, all of them: networks */
	AY_EV_WAKE,     /* woke from sleep, link up or new address: ask at once */
	AY_EV_UPDATE,   /* the owner asks for an update now: update.branch ("" = all), update.force */
	AY_EV_FETCH, /* a bundle to a tree that is here is wanted, for what is in it: fetch; the cheapest that is not here */
};

struct ay_event {
	enum ay_event_type type;
	uint64_t now_ns; /* monotonic; must not go back */
	int status;      /* 0 or negative, where the type says so */
	uint64_t token;
	struct ay_slice data; /* borrowed during the step */
	union {
		struct {
			const char *name;
			bool follow; /* wants updates of it (a school that only serves: false) */
			/* The newest that is here to stay: current, or complete and to become so; 0: none. */
			uint32_t have_serial;
			struct ay_digest have_manifest; /* zeros: none */
			uint32_t floor, bad_serial;
			bool stays; /* pinned: nothing newer is taken, whoever asks */
			/* Other trees that are here; at most AY_CORE_HERE_MAX are looked at; borrowed during the step. */
			const struct ay_tree_here *here;
			unsigned n_here;
		} branch;
		struct {
			struct ay_digest digest;
			uint64_t size;
			bool whole;
			const uint8_t *bitmap; /* blocks had; NULL when whole; borrowed during the step */
			/* Which hash blocks are known; borrowed until BUNDLE_GONE or DROP_BUNDLE; only asked, never changed. */
			const struct ay_merkle *merkle;
		} bundle;
		struct {
			enum ay_group group;
			struct ay_addr from;
		} datagram; /* bytes in data */
		struct {
			uint64_t id;
			struct ay_addr addr;
			bool incoming;
		} conn;
		struct {
			uint64_t conn;
			uint8_t type; /* enum ay_frame_type */
		} frame;              /* payload in data */
		struct {
			uint64_t conn;
			struct ay_digest bundle;
			uint32_t index;
		} block;
		struct {
			uint64_t conn;
			struct ay_digest bundle;
			uint8_t level;
			uint32_t index;
		} hashes;
		struct {
			const char *branch;
			uint32_t serial;
			struct ay_digest
				manifest; /* of the tree that now is complete; zeros when status < 0 */
		} applied;
		struct {
			struct ay_network list[AY_CORE_NETWORKS_MAX];
			unsigned n;
		} networks;
		struct {
			const char *branch;
			bool force; /* also a serial remembered as bad, and before the rollout reaches us */
		} update;
		struct {
			const char *branch;
			struct ay_digest
				manifest; /* of a release of the branch; zeros: it is not wanted any more */
		} fetch;
	};
};

enum ay_order_type {
	AY_ORDER_DATAGRAM, /* send bytes: datagram */
	AY_ORDER_CONNECT, /* open a session: conn (id is odd, chosen by the core); answered by CONNECTED or CLOSED */
	AY_ORDER_CLOSE,       /* close it, flush nothing: conn.id, status says why; no CLOSED event follows */
	AY_ORDER_FRAME,       /* send a frame: frame, payload in data */
	AY_ORDER_SEND_BLOCK,  /* read the block and send it as a BLOCK frame: block; answered by SENT */
	AY_ORDER_SEND_HASHES, /* likewise, from the Merkle tree: hashes; answered by SENT */
	AY_ORDER_STORE_ROOT,  /* make durable: data; answered by STORED */
	AY_ORDER_STORE_RELEASE, /* likewise */
	AY_ORDER_STORE_OFFER,   /* likewise */
	AY_ORDER_STORE_HEAD,    /* likewise; the branch's newest verified head: branch, data */
	AY_ORDER_OPEN_BUNDLE,   /* open or begin it: bundle; answered by BUNDLE or BUNDLE_GONE */
	AY_ORDER_FINISH_BUNDLE, /* all blocks are had: sync and name it: bundle; answered by STORED */
	AY_ORDER_DROP_BUNDLE,   /* remove it: bundle; not answered */
	AY_ORDER_APPLY, /* make the tree; current it becomes when the owner's setting says: apply; answered by APPLIED */
	AY_ORDER_DEADLINE, /* give a TICK at at_ns (replaces the deadline before; UINT64_MAX: none) */
};

struct ay_order {
	enum ay_order_type type;
	int status;
	uint64_t token;
	uint64_t at_ns;
	struct ay_slice data; /* borrowed until the next step */
	union {
		struct {
			enum ay_group group;
			struct ay_addr to; /* when group is NONE */
		} datagram;
		struct {
			uint64_t id;
			struct ay_addr addr;
		} conn;
		struct {
			uint64_t conn;
			uint8_t type;
		} frame;
		struct {
			uint64_t conn;
			struct ay_digest bundle;
			uint32_t index;
		} block;
		struct {
			uint64_t conn;
			struct ay_digest bundle;
			uint8_t level;
			uint32_t index;
		} hashes;
		struct {
			struct ay_digest digest;
			uint64_t size;
		} bundle;
		struct {
			const char *branch;
		} branch;
		struct {
			const char *branch;
			uint32_t serial;
			struct ay_digest release; /* envelope, stored before */
			struct ay_digest offer;   /* envelope, stored before */
			struct ay_digest bundle;  /* whole */
			bool force;
		} apply;
	};
};

/* Orders of one step, in the sequence in which they are to be carried out. */
struct ay_orders {
	const struct ay_order *list; /* borrowed until the next step */
	size_t n;
};

#endif
