/* SPDX-License-Identifier: MIT */
/*
 * Sessions over real sockets: a giver with a whole bundle, a taker with a partial one. Frames, hash blocks and blocks
 * go their ways; bad ones are told as bad; queues are bounded; everything is closed at the end.
 */
#include "tests/support/place.h"

#include <sys/socket.h>

#include "node/address.h"
#include "node/tcp.h"
#include "proto/frame.h"

#define STALL_MS    1500
#define BUNDLE_SIZE (3u * AY_PIECE_SIZE + 12345)
#define BLOCKS      ((BUNDLE_SIZE + AY_BLOCK_SIZE - 1) / AY_BLOCK_SIZE)

struct end {
	struct ay_tcp *tcp;
	struct ay_disk *disk;
	struct ay_store *store;
	uint64_t conn;
	unsigned connected, closed, frames, sent, blocks, parts, hashes, stored, bundles;
	int status; /* of the last event that has one */
	uint8_t last_frame[4096];
	size_t last_len;
};

static uv_loop_t loop;
static struct end giver, taker;
static struct ay_digest digest;
static const char *dir;

static void post(void *ctx, const struct ay_event *ev)
{
	struct end *e = ctx;
	e->status = ev->status;
	switch (ev->type) {
	case AY_EV_CONNECTED:
		e->connected++;
		e->conn = ev->conn.id;
		assert_int_equal(ev->conn.id % 2, ev->conn.incoming ? 0 : 1);
		break;
	case AY_EV_CLOSED:
		e->closed++;
		break;
	case AY_EV_FRAME:
		e->frames++;
		assert_true(ev->data.len <= sizeof(e->last_frame));
		memcpy(e->last_frame, ev->data.data, ev->data.len);
		e->last_len = ev->data.len;
		break;
	case AY_EV_SENT:
		e->sent++;
		break;
	case AY_EV_BLOCK:
		e->blocks++;
		break;
	case AY_EV_BLOCK_PART:
		e->parts++;
		break;
	case AY_EV_HASHES:
		e->hashes++;
		break;
	case AY_EV_STORED:
		e->stored++;
		break;
	case AY_EV_BUNDLE:
		e->bundles++;
		break;
	default:
		fail_msg("event %d", (int)ev->type);
	}
}

/* Turn the loop until *@counter reaches @want; a second at most. */
static void wait_for(const unsigned *counter, unsigned want)
{
	for (int i = 0; i < 5000 && *counter < want; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	assert_int_equal(*counter, want);
}

static void make_bundle(void)
{
	AY_FREE char *path = NULL;
	struct ay_bundle_file *file;
	struct ay_err err = {0};
	uint8_t *data = malloc(BUNDLE_SIZE);
	for (size_t i = 0; i < BUNDLE_SIZE; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	ay_digest_mem(data, BUNDLE_SIZE, &digest);
	assert_true(asprintf(&path, "%s/bundle", dir) > 0);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, data, BUNDLE_SIZE), BUNDLE_SIZE);
	free(data);
	assert_int_equal(ay_bundle_file_open_fd(fd, &digest, BUNDLE_SIZE, &file, &err), 0);
	ay_disk_adopt(giver.disk, &digest, file);
	assert_int_equal(giver.bundles, 1);
}

static void make_end(struct end *e, const char *address, bool store)
{
	struct ay_addr a;
	struct ay_err err = {0};
	const struct ay_events events = {post, e};
	assert_int_equal(ay_addr_parse(address, strlen(address), 1, &a), 0);
	const struct ay_tcp_config c = {.address = &a, .sessions_max = 4, .stall_ms = STALL_MS};
	memset(e, 0, sizeof(*e));
	if (store) {
		AY_FREE char *path = NULL;
		assert_true(asprintf(&path, "%s/store", dir) > 0);
		assert_int_equal(ay_store_open(ay_fs_real(), path, AY_STORE_CREATE | AY_STORE_OWNER_ME,
					       &e->store, &err),
				 0);
	}
	assert_int_equal(ay_disk_new(&loop, e->store, &events, &e->disk), 0);
	if (ay_tcp_new(&loop, &c, e->disk, &events, &e->tcp, &err))
		fail_msg("%s", err.msg);
	assert_true(ay_tcp_port(e->tcp) > 0);
}

static struct ay_addr address_of(const struct end *e, const char *text)
{
	struct ay_addr a;
	assert_int_equal(ay_addr_parse(text, strlen(text), ay_tcp_port(e->tcp), &a), 0);
	return a;
}

static void connect_ends(void)
{
	struct ay_order o = {.type = AY_ORDER_CONNECT,
			     .conn = {.id = 7, .addr = address_of(&giver, "127.0.0.2")}};
	ay_tcp_order(taker.tcp, &o);
	wait_for(&taker.connected, 1);
	wait_for(&giver.connected, 1);
	assert_int_equal(taker.conn, 7);
}

static int setup(void **state)
{
	assert_int_equal(place_make(state), 0);
	dir = ((struct place *)*state)->path;
	uv_loop_init(&loop);
	make_end(&giver, "127.0.0.2", false);
	make_end(&taker, "127.0.0.3", true);
	make_bundle();
	return 0;
}

static int teardown(void **state)
{
	struct end *ends[] = {&giver, &taker};
	for (int i = 0; i < 2; i++) {
		ay_tcp_close(ends[i]->tcp);
		ay_disk_close(ends[i]->disk);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	for (int i = 0; i < 2; i++) {
		ay_tcp_free(ends[i]->tcp);
		ay_disk_free(ends[i]->disk);
		ay_store_close(ends[i]->store);
	}
	return uv_loop_close(&loop) || place_remove(state);
}

static void order_block(struct end *e, enum ay_order_type type, uint32_t index, uint8_t level)
{
	struct ay_order o = {.type = type};
	if (type == AY_ORDER_SEND_BLOCK) {
		o.block.conn = e->conn;
		o.block.bundle = digest;
		o.block.index = index;
	} else {
		o.hashes.conn = e->conn;
		o.hashes.bundle = digest;
		o.hashes.level = level;
		o.hashes.index = index;
	}
	ay_tcp_order(e->tcp, &o);
}

static void open_taker(void)
{
	struct ay_order o = {.type = AY_ORDER_OPEN_BUNDLE, .bundle = {.digest = digest, .size = BUNDLE_SIZE}};
	ay_disk_order(taker.disk, &o);
	assert_int_equal(taker.bundles, 0); /* never inside the order */
	wait_for(&taker.bundles, 1);
}

/* The whole way: hash blocks from the top, blocks, finish. */
static void test_bundle(void **state)
{
	(void)state;
	connect_ends();
	open_taker();
	order_block(&giver, AY_ORDER_SEND_BLOCK, 0, 0); /* before its hash block: cannot be checked */
	wait_for(&taker.blocks, 1);
	assert_int_equal(taker.status, -EAGAIN);
	order_block(&giver, AY_ORDER_SEND_HASHES, 0, 1);
	wait_for(&taker.hashes, 1);
	for (uint32_t i = 0; i < 4; i++)
		order_block(&giver, AY_ORDER_SEND_HASHES, i, 0);
	wait_for(&taker.hashes, 5);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		order_block(&giver, AY_ORDER_SEND_BLOCK, i, 0);
		wait_for(&taker.blocks, 2 + i);
		assert_int_equal(taker.status, 0);
	}
	wait_for(&giver.sent, 1 + 5 + BLOCKS);
	struct ay_order finish = {.type = AY_ORDER_FINISH_BUNDLE, .token = 5, .bundle = {.digest = digest}};
	ay_disk_order(taker.disk, &finish);
	wait_for(&taker.stored, 1);
	assert_int_equal(taker.status, 0);
	assert_true(ay_bundle_file_whole(ay_disk_bundle_file(ay_disk_find(taker.disk, &digest))));
	assert_true(giver.closed == 0 && taker.closed == 0);
}

/* All at once: what does not fit into the socket waits, small frames overtake, nothing is lost. */
static void test_queue(void **state)
{
	(void)state;
	struct ay_order frame = {.type = AY_ORDER_FRAME, .frame = {.type = AY_FRAME_PING}};
	connect_ends();
	open_taker();
	for (uint32_t i = 0; i < BLOCKS; i++)
		order_block(&giver, AY_ORDER_SEND_BLOCK, i, 0);
	order_block(&giver, AY_ORDER_SEND_HASHES, 0, 1);
	for (uint32_t i = 0; i < 4; i++)
		order_block(&giver, AY_ORDER_SEND_HASHES, i, 0);
	frame.frame.conn = giver.conn;
	ay_tcp_order(giver.tcp, &frame);
	wait_for(&taker.blocks, BLOCKS);
	assert_int_equal(taker.status, 0); /* the hash blocks were there before the last of them */
	assert_int_equal(taker.frames, 1);
	assert_int_equal(taker.hashes, 5);
	wait_for(&giver.sent, 5 + BLOCKS);
}

/* More than may wait: the session is closed, and told so. */
static void test_queue_full(void **state)
{
	(void)state;
	connect_ends();
	for (unsigned i = 0; i <= AY_TCP_QUEUE_BLOCKS && !giver.closed; i++)
		order_block(&giver, AY_ORDER_SEND_BLOCK, i % BLOCKS, 0);
	assert_int_equal(giver.closed, 1);
	assert_int_equal(giver.status, AY_ELIMIT);
	wait_for(&taker.closed, 1);
}

/* A bundle dropped while its blocks wait: they still leave, from the file that is held open. */
static void test_drop(void **state)
{
	(void)state;
	connect_ends();
	for (uint32_t i = 0; i < BLOCKS; i++)
		order_block(&giver, AY_ORDER_SEND_BLOCK, i, 0);
	struct ay_order drop = {.type = AY_ORDER_DROP_BUNDLE, .bundle = {.digest = digest}};
	ay_disk_order(giver.disk, &drop);
	assert_null(ay_disk_find(giver.disk, &digest));
	wait_for(&taker.blocks, BLOCKS);
	assert_int_equal(taker.status, -ENOENT); /* the taker never opened it */
	order_block(&giver, AY_ORDER_SEND_BLOCK, 0, 0);
	assert_int_equal(giver.closed, 1);
}

static int raw_connect(void)
{
	struct sockaddr_storage sa;
	int small = 32768; /* so that what is not read soon waits at the sender */
	struct ay_addr a = address_of(&giver, "127.0.0.2");
	socklen_t len = ay_addr_to_sockaddr(&a, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

static void raw_send(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

/* Garbage closes the session at once; a wrong block is told as wrong, and the session is the core's to judge. */
static void test_hostile(void **state)
{
	(void)state;
	int fd = raw_connect();
	raw_send(fd, "GET / HTTP/1.1\r\n\r\n", 18);
	wait_for(&giver.closed, 1);
	assert_int_equal(giver.status, AY_EFORMAT);
	close(fd);

	uint8_t head[AY_FRAME_HEADER], block[AY_BLOCK_HEADER + AY_BLOCK_SIZE] = {0};
	fd = raw_connect();
	ay_frame_header_put(head, sizeof(block), AY_FRAME_BLOCK);
	ay_frame_block_put(block, &digest, 0);
	raw_send(fd, head, sizeof(head));
	raw_send(fd, block, sizeof(block));
	wait_for(&giver.blocks, 1);
	assert_int_equal(giver.status, AY_EDIGEST);
	ay_frame_block_put(block, &digest, UINT32_MAX);
	raw_send(fd, head, sizeof(head));
	raw_send(fd, block, sizeof(block));
	wait_for(&giver.blocks, 2);
	assert_true(giver.status < 0);
	memset(block, 0xee, AY_DIGEST_LEN); /* a bundle that nobody opened */
	raw_send(fd, head, sizeof(head));
	raw_send(fd, block, sizeof(block));
	wait_for(&giver.blocks, 3);
	assert_int_equal(giver.status, -ENOENT);
	assert_int_equal(giver.closed, 1);
	close(fd);
	wait_for(&giver.closed, 2);
}

/*
 * A block that comes slowly is told while it comes, not at every piece of it; half of another frame is not, nor one that
 * comes byte by byte.
 */
static void test_block_in_parts(void **state)
{
	(void)state;
	uint8_t head[AY_FRAME_HEADER], block[AY_BLOCK_HEADER + AY_BLOCK_SIZE] = {0};
	const uint8_t half_have[AY_FRAME_HEADER + 4] = {37, 0, 0, 0, AY_FRAME_HAVE};
	int slow = raw_connect(), other = raw_connect(), dribbling = raw_connect();
	size_t sent = 0, pieces = 0;
	raw_send(other, half_have, sizeof(half_have));
	ay_frame_header_put(head, sizeof(block), AY_FRAME_BLOCK);
	ay_frame_block_put(block, &digest, 0);
	raw_send(slow, head, sizeof(head));
	raw_send(dribbling, head, sizeof(head));
	const uint64_t start = uv_hrtime();
	while (giver.parts < 3 && uv_hrtime() - start < 10 * (uint64_t)1000000000) {
		raw_send(dribbling, block + pieces++, 1);
		if (sent + 400 < sizeof(block)) {
			raw_send(slow, block + sent, 400);
			sent += 400;
		}
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(20000);
	}
	assert_int_equal(giver.parts, 3);
	assert_true(uv_hrtime() - start >
		    950000000); /* half a second lies between two; 4 KiB came in a quarter */
	assert_int_equal(giver.blocks, 0);
	raw_send(slow, block + sent, sizeof(block) - sent);
	wait_for(&giver.blocks, 1);
	assert_int_equal(giver.closed, 0);
	close(slow);
	close(other);
	close(dribbling);
	wait_for(&giver.closed, 3);
}

/* Above the core's limit and a few more, connections are closed as they come. */
static void test_too_many(void **state)
{
	(void)state;
	int fds[20];
	for (int i = 0; i < 20; i++)
		fds[i] = raw_connect();
	wait_for(&giver.connected, 4 + 8);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	wait_for(&giver.closed, 4 + 8);
}

/* Who takes nothing while something waits for it is closed; who takes a little now and then is not. */
static void test_stalled(void **state)
{
	(void)state;
	uint8_t buf[8192];
	int fd = raw_connect();
	wait_for(&giver.connected, 1);
	for (uint32_t i = 0; i < 2 * BLOCKS; i++)
		order_block(&giver, AY_ORDER_SEND_BLOCK, i % BLOCKS, 0);
	for (int i = 0; i < 30; i++) {
		uv_run(&loop, UV_RUN_NOWAIT);
		assert_true(recv(fd, buf, sizeof(buf), MSG_DONTWAIT) != 0);
		usleep(100000);
	}
	assert_int_equal(giver.closed, 0);
	assert_true(giver.sent < 2 * BLOCKS);
	wait_for(&giver.closed, 1);
	assert_int_equal(giver.status, -ETIMEDOUT);
	close(fd);
}

/* No more than the rate, and that evenly enough. */
static void test_rate(void **state)
{
	(void)state;
	struct ay_addr a;
	struct ay_err err = {0};
	const struct ay_events events = {post, &giver};
	assert_int_equal(ay_addr_parse("127.0.0.2", 9, 1, &a), 0);
	const struct ay_tcp_config c = {.address = &a, .sessions_max = 4, .rate = 1000000};
	ay_tcp_close(giver.tcp);
	uv_run(&loop, UV_RUN_NOWAIT);
	ay_tcp_free(giver.tcp);
	assert_int_equal(ay_tcp_new(&loop, &c, giver.disk, &events, &giver.tcp, &err), 0);
	connect_ends();
	uint64_t start = uv_hrtime();
	for (uint32_t i = 0; i < BLOCKS; i++)
		order_block(&giver, AY_ORDER_SEND_BLOCK, i, 0);
	wait_for(&taker.blocks, BLOCKS);
	double seconds = (double)(uv_hrtime() - start) / 1e9;
	/* A burst of a quarter of a second and a block may be free. */
	assert_true(seconds > (BUNDLE_SIZE - 250000.0 - AY_BLOCK_SIZE) / 1e6 - 0.1);
}

static void test_refused(void **state)
{
	(void)state;
	struct ay_order o = {.type = AY_ORDER_CONNECT,
			     .conn = {.id = 9, .addr = address_of(&taker, "127.0.0.9")}};
	ay_tcp_order(taker.tcp, &o);
	wait_for(&taker.closed, 1);
	assert_int_equal(taker.status, -ECONNREFUSED);
	struct ay_addr a = address_of(&giver, "127.0.0.2");
	struct ay_tcp_config c = {.address = &a, .port = ay_tcp_port(giver.tcp), .sessions_max = 1};
	const struct ay_events events = {post, &taker};
	struct ay_err err = {0};
	struct ay_tcp *second;
	assert_int_equal(ay_tcp_new(&loop, &c, taker.disk, &events, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "--port"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bundle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_block_in_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stalled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};
	/* libuv keeps two descriptors for good as soon as there was a loop. */
	if (uv_loop_init(&loop) || uv_loop_close(&loop))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
