/* SPDX-License-Identifier: MIT */
/*
 * proto/wire.h - every datagram and every frame payload that goes through the core.
 *
 * Datagrams (at most 400 bytes, one frame at the basic rate):
 *
 *   0 "Ay"  2 version(1)  3 type  4 tcp port u16  6 flags u16  8 session id u64  16 ...
 *   HEAD  type 1  16 the signed head, 156 bytes (manifest/head.h)                       172 bytes
 *   CHAT  type 2  16 root version u32  20 neighbours u16  22 n u8  23 zero u8
 *                 24 n summaries of 12: branch tag u32, head serial u32, have serial u32
 *                 a question is filled with zeros to 172 bytes: it costs the asker as much as the answer
 *   flags  1 school   2 incomplete (CHAT)   4 question (CHAT)   the others zero
 *
 * Frame payloads (proto/frame.h has the header):
 *
 *   HELLO         0 "Ayni"  4 version u16 (1)  6 role u8  7 flags u8 (1 incomplete)  8 session id u64
 *                 16 port u16  18 n u8  19 zero u8  20 root version u32  24 fleet id 8
 *                 32 n summaries of 28, ascending branch ids:
 *                    branch id 8, head's root epoch u32, head serial u32, head signed_at u64, have serial u32
 *   ASK, NONE     0 kind u8  1 branch id 8  9 digest 32  41 number u32         what a kind does not use is zero
 *   DOC           0 kind u8  1 total u32  5 offset u32  9 bytes, 1..60000      only a root has more than one part
 *   WANT          0 bundle 32  32 size u64  40 blocks had u32  44 on u8
 *   BITMAP        0 bundle 32  32 size u64  40 kind u8 (0 none, 1 bits, 2 whole)  41 bits
 *   HAVE, CANCEL  0 bundle 32  32 block u32
 *   REQUEST       0 bundle 32  32 block u32  36 blocks had u32  40 attempt u8 (255: I know no other laptop)
 *   HASH_REQUEST  0 bundle 32  32 level u8  33 index u32
 *   REJECT        0 bundle 32  32 level u8 (255: a block)  33 index u32  37 reason u8  38 retry ms u32  42 who u64
 *   PING          nothing
 *   PEERS         0 n u8  1 n addresses of 18: ip 16, port u16
 *
 * One encoder and one decoder each; a decoder accepts exactly what the encoder
 * writes. Version history: 1 (first).
 */
#ifndef AYNI_PROTO_WIRE_H
#define AYNI_PROTO_WIRE_H

#include "proto/event.h"

#define AY_WIRE_VERSION 1

#define AY_WIRE_HEAD_SIZE     (16 + AY_HEAD_SIZE)
#define AY_WIRE_CHAT_FIXED    24
#define AY_WIRE_SUMMARY_SIZE  12
#define AY_WIRE_SUMMARIES_MAX ((AY_DATAGRAM_MAX - AY_WIRE_CHAT_FIXED) / AY_WIRE_SUMMARY_SIZE)

#define AY_WIRE_HELLO_FIXED       32
#define AY_WIRE_HELLO_SUMMARY     28
#define AY_WIRE_HELLO_MAX         (AY_WIRE_HELLO_FIXED + AY_CORE_BRANCHES_MAX * AY_WIRE_HELLO_SUMMARY)
#define AY_WIRE_ASK_SIZE          45
#define AY_WIRE_DOC_FIXED         9
#define AY_WIRE_DOC_PART          60000 /* with its header below AY_FRAME_MAX; one release or offer is far smaller */
#define AY_WIRE_WANT_SIZE         45
#define AY_WIRE_BITMAP_FIXED      41
#define AY_WIRE_BITMAP_BYTES_MAX  65000 /* one frame: 520,000 blocks */
#define AY_WIRE_BLOCK_SIZE        36
#define AY_WIRE_REQUEST_SIZE      41
#define AY_WIRE_HASH_REQUEST_SIZE 37
#define AY_WIRE_REJECT_SIZE       50
#define AY_WIRE_PEER_SIZE         18
#define AY_WIRE_PEERS_MAX         16

/* A larger bundle's bitmap would not fit one frame: 31.7 GiB. */
#define AY_BUNDLE_SIZE_MAX ((uint64_t)AY_WIRE_BITMAP_BYTES_MAX * 8 * AY_BLOCK_SIZE)

enum ay_datagram_type { AY_DATAGRAM_HEAD = 1, AY_DATAGRAM_CHAT = 2 };

struct ay_wire_summary {
	uint32_t tag; /* the branch id's first four bytes */
	uint32_t head_serial, have_serial;
};

struct ay_wire_datagram {
	enum ay_datagram_type type;
	uint16_t port;
	bool school, incomplete, question;
	uint64_t session_id;
	const uint8_t *head; /* HEAD: AY_HEAD_SIZE bytes, borrowed */
	/* CHAT */
	uint32_t root_version;
	uint16_t neighbours;
	unsigned n;
	struct ay_wire_summary summaries[AY_WIRE_SUMMARIES_MAX]; /* ascending tags */
};

struct ay_wire_hello_summary {
	struct ay_branch_id branch;
	uint32_t root_epoch, head_serial; /* 0: no head */
	uint64_t signed_at_s;
	uint32_t have_serial;
};

struct ay_wire_hello {
	bool school, incomplete;
	uint64_t session_id;
	uint16_t port;
	uint32_t root_version;
	uint8_t fleet[8];
	unsigned n;
	struct ay_wire_hello_summary summaries[AY_CORE_BRANCHES_MAX];
};

enum ay_doc_type {
	AY_DOC_TYPE_ROOT = 1,    /* number: its version */
	AY_DOC_TYPE_HEAD = 2,    /* branch */
	AY_DOC_TYPE_RELEASE = 3, /* digest of the envelope */
	AY_DOC_TYPE_RELEASE_OF =
		4, /* branch, and digest of the manifest or number: the serial. Answered by RELEASE */
	AY_DOC_TYPE_OFFERS = 5, /* branch, digest of the manifest they lead to; all of them, then NONE */
};

struct ay_wire_ask {
	uint8_t kind;
	struct ay_branch_id branch;
	struct ay_digest digest;
	uint32_t number;
};

struct ay_wire_doc {
	uint8_t kind; /* ROOT, HEAD, RELEASE, OFFERS */
	uint32_t total, offset;
	struct ay_slice bytes; /* borrowed */
};

struct ay_wire_want {
	struct ay_digest bundle;
	uint64_t size;
	uint32_t had;
	bool on;
};

enum ay_bitmap_kind { AY_BITMAP_NONE, AY_BITMAP_BITS, AY_BITMAP_WHOLE };

struct ay_wire_bitmap {
	struct ay_digest bundle;
	uint64_t size;
	uint8_t kind;
	struct ay_slice bits; /* (blocks + 7) / 8 bytes when BITS; borrowed */
};

struct ay_wire_block {
	struct ay_digest bundle;
	uint32_t index;
};

#define AY_ATTEMPT_ALONE 255 /* the asker knows no other laptop that could have the block */

struct ay_wire_request {
	struct ay_digest bundle;
	uint32_t index;
	uint32_t had;
	uint8_t attempt; /* how often this block was refused with ASK_PEERS before */
};

struct ay_wire_hash_request {
	struct ay_digest bundle;
	uint8_t level;
	uint32_t index;
};

#define AY_REJECT_LEVEL_BLOCK 255

enum ay_reject_reason {
	AY_REJECT_NOT_HERE = 1, /* we do not have it */
	AY_REJECT_BUSY = 2,     /* too many requests are waiting */
	AY_REJECT_ASK_PEERS =
		3, /* another laptop (who: its session id) has it from us already: ask around, then again */
};

struct ay_wire_reject {
	struct ay_digest bundle;
	uint8_t level;
	uint32_t index;
	uint8_t reason;
	uint32_t retry_ms;
	uint64_t who;
};

struct ay_wire_peers {
	unsigned n;
	struct ay_addr addrs[AY_WIRE_PEERS_MAX]; /* scope 0 */
};

/*
 * _put appends to a buf (see ay_buf_status()); values out of their range are our own mistake and asserted.
 * _get returns 0, AY_EFORMAT, or AY_EVERSION for datagrams and HELLOs of another version; what it borrows
 * lives as long as @data.
 */
void ay_wire_datagram_put(struct ay_buf *out, const struct ay_wire_datagram *d);
int ay_wire_datagram_get(const void *data, size_t len, struct ay_wire_datagram *d);

void ay_wire_hello_put(struct ay_buf *out, const struct ay_wire_hello *h);
int ay_wire_hello_get(const void *data, size_t len, struct ay_wire_hello *h);
void ay_wire_ask_put(struct ay_buf *out, const struct ay_wire_ask *a); /* also NONE */
int ay_wire_ask_get(const void *data, size_t len, struct ay_wire_ask *a);
bool ay_wire_ask_eq(const struct ay_wire_ask *a, const struct ay_wire_ask *b);
void ay_wire_doc_put(struct ay_buf *out, const struct ay_wire_doc *d);
int ay_wire_doc_get(const void *data, size_t len, struct ay_wire_doc *d);
void ay_wire_want_put(struct ay_buf *out, const struct ay_wire_want *w);
int ay_wire_want_get(const void *data, size_t len, struct ay_wire_want *w);
void ay_wire_bitmap_put(struct ay_buf *out, const struct ay_wire_bitmap *b);
int ay_wire_bitmap_get(const void *data, size_t len, struct ay_wire_bitmap *b);
void ay_wire_block_put(struct ay_buf *out, const struct ay_wire_block *b); /* HAVE, CANCEL */
int ay_wire_block_get(const void *data, size_t len, struct ay_wire_block *b);
void ay_wire_request_put(struct ay_buf *out, const struct ay_wire_request *r);
int ay_wire_request_get(const void *data, size_t len, struct ay_wire_request *r);
void ay_wire_hash_request_put(struct ay_buf *out, const struct ay_wire_hash_request *r);
int ay_wire_hash_request_get(const void *data, size_t len, struct ay_wire_hash_request *r);
void ay_wire_reject_put(struct ay_buf *out, const struct ay_wire_reject *r);
int ay_wire_reject_get(const void *data, size_t len, struct ay_wire_reject *r);
void ay_wire_peers_put(struct ay_buf *out, const struct ay_wire_peers *p);
int ay_wire_peers_get(const void *data, size_t len, struct ay_wire_peers *p);

#endif
