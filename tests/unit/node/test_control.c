/* SPDX-License-Identifier: MIT */
/* The control socket: messages cut and parsed, hostile clients, both ends over a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/applier.h"
#include "node/client.h"
#include "node/control.h"
#include "node/varlink.h"

/* ---- pure parts ---- */

static void test_cut(void **state)
{
	(void)state;
	static const char stream[] = "abc\0\0de\0f";
	static const char *const expect[] = {"abc", "", "de"};
	for (size_t piece = 1; piece <= sizeof(stream); piece++) {
		struct ay_varlink_in in = {.max = 3};
		size_t n = 0;
		for (size_t pos = 0; pos < sizeof(stream) - 1;) {
			size_t part = sizeof(stream) - 1 - pos < piece ? sizeof(stream) - 1 - pos : piece,
			       used;
			struct ay_slice msg = {0};
			int r = ay_varlink_next(&in, (const uint8_t *)stream + pos, part, &used, &msg);
			assert_true(r >= 0);
			pos += used;
			if (r == 1) {
				assert_string_equal((const char *)msg.data, n < 3 ? expect[n] : "too many");
				n++;
			}
		}
		assert_int_equal(n, 3);
		ay_varlink_in_release(&in);
	}
	struct ay_varlink_in in = {.max = 3};
	struct ay_slice msg;
	size_t used;
	assert_int_equal(ay_varlink_next(&in, (const uint8_t *)"abcd", 4, &used, &msg), AY_ELIMIT);
	assert_int_equal(ay_varlink_next(&in, (const uint8_t *)"ab", 2, &used, &msg), 0);
	assert_int_equal(ay_varlink_next(&in, (const uint8_t *)"cd", 2, &used, &msg), AY_ELIMIT);
	ay_varlink_in_release(&in);
}

static struct ay_call call;

static int parse(const char *text)
{
	return ay_call_parse(text, strlen(text), &call);
}

static void test_calls(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"method\":\"org.ayni.Node.Status\"}"), 0);
	assert_int_equal(call.method, AY_METHOD_STATUS);
	assert_int_equal(parse("{\"method\":\"org.ayni.Node.Update\",\"more\":true,"
			       "\"parameters\":{\"branch\":\"xo/stable\",\"force\":true}}"),
			 0);
	assert_int_equal(call.method, AY_METHOD_UPDATE);
	assert_true(call.more && call.force && !call.bad_parameter);
	assert_string_equal(call.branch, "xo/stable");
	assert_int_equal(parse("{\"method\":\"org.ayni.Node.Update\"}"), 0);
	assert_string_equal(call.branch, "");
	assert_int_equal(parse("{\"method\":\"org.ayni.Node.Explode\"}"), 0);
	assert_int_equal(call.method, AY_METHOD_UNKNOWN);

	static const char *const bad_branch[] = {"\"../x\"",      "7",       "[]", "\"UPPER\"",
						 "\"a\\u0000b\"", "\"a//b\""};
	for (size_t i = 0; i < sizeof(bad_branch) / sizeof(bad_branch[0]); i++) {
		char text[200];
		snprintf(text, sizeof(text),
			 "{\"method\":\"org.ayni.Node.Update\",\"parameters\":{\"branch\":%s}}",
			 bad_branch[i]);
		/* jansson refuses NUL in a string as a whole: then it is no call at all. */
		int r = parse(text);
		assert_true(r == AY_EFORMAT || (r == 0 && call.bad_parameter && !call.branch[0]));
	}
	static const char *const no_call[] = {"",
					      "{}",
					      "[]",
					      "{\"method\":7}",
					      "{\"method\":\"x\",\"more\":1}",
					      "{\"method\":\"x\",\"parameters\":[]}",
					      "{\"method\":\"x\",\"method\":\"y\"}",
					      "{\"method\":\"x\"} trailing",
					      "{\"method\":\"\xff\"}"};
	for (size_t i = 0; i < sizeof(no_call) / sizeof(no_call[0]); i++)
		assert_int_equal(parse(no_call[i]), AY_EFORMAT);
}

/* Cut at every byte, and every byte changed: a call or none, never a crash; run under sanitizers. */
static void test_damage(void **state)
{
	(void)state;
	static const char good[] = "{\"method\":\"org.ayni.Node.Update\",\"parameters\":{\"branch\":\"a\"}}";
	for (size_t n = 0; n < sizeof(good) - 1; n++) {
		char *copy = malloc(n ? n : 1);
		memcpy(copy, good, n);
		assert_int_equal(ay_call_parse(copy, n, &call), AY_EFORMAT);
		free(copy);
	}
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		for (int bit = 0; bit < 8; bit++) {
			char copy[sizeof(good)];
			memcpy(copy, good, sizeof(good));
			copy[i] ^= (char)(1 << bit);
			int r = ay_call_parse(copy, sizeof(good) - 1, &call);
			assert_true(r == 0 || r == AY_EFORMAT);
		}
	}
}

static void test_worker_lines(void **state)
{
	(void)state;
	struct ay_applier_line l;
	char text[200], hex[65];
	memset(hex, 'a', 64);
	hex[64] = 0;
	const char *line = "{\"progress\":[5,10]}";
	assert_int_equal(ay_applier_parse(line, strlen(line), &l), 0);
	assert_true(l.kind == AY_APPLIER_PROGRESS && l.done_bytes == 5 && l.total_bytes == 10);
	snprintf(text, sizeof(text), "{\"done\":{\"serial\":7,\"manifest\":\"%s\"}}", hex);
	assert_int_equal(ay_applier_parse(text, strlen(text), &l), 0);
	assert_true(l.kind == AY_APPLIER_DONE && l.serial == 7 && l.manifest.b[31] == 0xaa);
	line = "{\"error\":{\"code\":-5008,\"message\":\"no base\"}}";
	assert_int_equal(ay_applier_parse(line, strlen(line), &l), 0);
	assert_true(l.kind == AY_APPLIER_ERROR && l.code == AY_EBASE);
	assert_string_equal(l.message, "no base");
	static const char *const bad[] = {"",
					  "{}",
					  "{\"progress\":[5]}",
					  "{\"progress\":[-1,10]}",
					  "{\"done\":{\"serial\":4294967296,\"manifest\":\"\"}}",
					  "{\"done\":{\"serial\":1,\"manifest\":\"xyz\"}}",
					  "{\"error\":{\"code\":0,\"message\":\"fine?\"}}",
					  "{\"error\":{\"code\":-5008}}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ay_applier_parse(bad[i], strlen(bad[i]), &l), AY_EFORMAT);
}

/* ---- both ends ---- */

struct fake {
	uv_loop_t loop;
	struct ay_control *control;
	char path[64];
	uv_async_t quit;
	pthread_t thread;
	unsigned updates, reloads, fetches, fetched, cancelled;
	bool slow; /* what is fetched does not come */
	struct ay_digest wanted;
	uint32_t have; /* what the status says */
	bool force;
};

static json_t *fake_status(void *ctx)
{
	struct fake *f = ctx;
	return json_pack("{s:i}", "have", (int)f->have);
}

static void fake_view(void *ctx, struct ay_core_status *core, struct ay_update_view *view)
{
	struct fake *f = ctx;
	memset(core, 0, sizeof(*core));
	core->n_branches = 1;
	core->neighbours = 1;
	snprintf(core->branches[0].branch, sizeof(core->branches[0].branch), "xo/stable");
	core->branches[0].have_serial = f->have;
	core->branches[0].fetched = f->fetched;
	core->branches[0].fetch = f->wanted;
	core->branches[0].fetching = f->slow && !ay_digest_is_zero(&f->wanted);
	/* Collecting while it is even, idle when it is odd: two looks later it is done. */
	core->branches[0].phase = f->updates && f->have < 3 ? AY_PHASE_COLLECTING : AY_PHASE_IDLE;
	if (f->updates && f->have < 3)
		f->have++;
	*view = (struct ay_update_view){.core = core, .apply_branch = ""};
}

static void fake_update(void *ctx, const char *branch, bool force)
{
	struct fake *f = ctx;
	assert_string_equal(branch, "xo/stable");
	f->force = force;
	f->updates++;
}

static void fake_fetch(void *ctx, const char *branch, const struct ay_digest *manifest)
{
	struct fake *f = ctx;
	assert_string_equal(branch, "xo/stable");
	f->wanted = *manifest;
	f->cancelled += ay_digest_is_zero(manifest);
	f->fetches++;
	f->fetched += !f->slow; /* it comes at once */
}

static void fake_reload(void *ctx, void (*done)(void *arg, int status, const char *message), void *arg)
{
	struct fake *f = ctx;
	f->reloads++;
	if (f->reloads > 1)
		done(arg, AY_ESTORE, "the store is damaged");
	else
		done(arg, 0, "");
}

static void on_quit(uv_async_t *a)
{
	struct fake *f = a->data;
	ay_control_close(f->control);
	uv_close((uv_handle_t *)a, NULL);
}

static void *serve(void *arg)
{
	struct fake *f = arg;
	uv_run(&f->loop, UV_RUN_DEFAULT);
	return NULL;
}

static int setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct ay_err err = {0};
	const struct ay_control_ops ops = {f, fake_status, fake_view, fake_update, fake_fetch, fake_reload};
	snprintf(f->path, sizeof(f->path), "/tmp/ayni-control-%ld.sock", (long)getpid());
	uv_loop_init(&f->loop);
	f->have = 1;
	f->quit.data = f;
	uv_async_init(&f->loop, &f->quit, on_quit);
	if (ay_control_new(&f->loop, f->path, "", &ops, &f->control, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	*state = f;
	return pthread_create(&f->thread, NULL, serve, f);
}

static int teardown(void **state)
{
	struct fake *f = *state;
	uv_async_send(&f->quit);
	pthread_join(f->thread, NULL);
	ay_control_free(f->control);
	int r = uv_loop_close(&f->loop); /* every handle was closed */
	r |= access(f->path, F_OK) == 0; /* and the socket removed */
	free(f);
	return r;
}

static int raw_connect(const struct fake *f)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval second = {.tv_sec = 5};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", f->path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* What comes back until a zero byte or the end. */
static size_t raw_read(int fd, char *buf, size_t size)
{
	size_t n = 0;
	while (n < size - 1 && recv(fd, buf + n, 1, 0) == 1 && buf[n])
		n++;
	buf[n] = 0;
	return n;
}

static void raw_expect_closed(int fd)
{
	char byte;
	assert_int_equal(recv(fd, &byte, 1, 0), 0); /* a time-out would be -1 */
}

static void raw_expect(int fd, const char *send_this, const char *expect)
{
	char buf[4096];
	assert_int_equal(send(fd, send_this, strlen(send_this) + 1, MSG_NOSIGNAL), strlen(send_this) + 1);
	raw_read(fd, buf, sizeof(buf));
	if (!strstr(buf, expect))
		fail_msg("%s: %s", send_this, buf);
}

static void test_fetch(void **state)
{
	struct fake *f = *state;
	char text[300], hex[AY_DIGEST_HEX + 1];
	struct ay_digest d;
	int fd = raw_connect(f);

	ay_digest_mem("a tree", 6, &d);
	snprintf(
		text, sizeof(text),
		"{\"method\":\"org.ayni.Node.Fetch\",\"parameters\":{\"branch\":\"xo/stable\",\"manifest\":\"%s\"}}",
		ay_digest_hex(&d, hex));
	raw_expect(fd, text, "\"state\":\"done\"");
	assert_int_equal(f->fetches, 1);
	assert_true(ay_digest_eq(&f->wanted, &d));
	raw_expect(fd, "{\"method\":\"org.ayni.Node.Fetch\",\"parameters\":{\"branch\":\"xo/stable\"}}",
		   "InvalidParameter");
	raw_expect(
		fd,
		"{\"method\":\"org.ayni.Node.Fetch\",\"parameters\":{\"branch\":\"xo/stable\",\"manifest\":\"12\"}}",
		"InvalidParameter");
	snprintf(text, sizeof(text),
		 "{\"method\":\"org.ayni.Node.Fetch\",\"parameters\":{\"manifest\":\"%s\"}}", hex);
	raw_expect(fd, text, "InvalidParameter");
	assert_int_equal(f->fetches, 1);
	close(fd);
}

static void raw_fetch(int fd, const char *tree)
{
	char text[300], hex[AY_DIGEST_HEX + 1];
	struct ay_digest d;

	ay_digest_mem(tree, strlen(tree), &d);
	int n = snprintf(
		text, sizeof(text),
		"{\"method\":\"org.ayni.Node.Fetch\",\"more\":true,\"parameters\":{\"branch\":\"xo/stable\",\"manifest\":\"%s\"}}",
		ay_digest_hex(&d, hex));
	assert_int_equal(send(fd, text, (size_t)n + 1, MSG_NOSIGNAL), n + 1);
}

static void raw_answer(int fd, const char *expect)
{
	char buf[4096];

	raw_read(fd, buf, sizeof(buf));
	if (!strstr(buf, expect))
		fail_msg("%s expected: %s", expect, buf);
}

/* Who goes away stops what only he waits for; another tree is refused meanwhile, the same one is shared. */
static void test_fetch_left(void **state)
{
	struct fake *f = *state;
	f->slow = true;
	signal(SIGPIPE, SIG_IGN); /* as the node does: it may be writing when we go away */
	int a = raw_connect(f), b = raw_connect(f), c = raw_connect(f);

	raw_fetch(a, "a tree");
	raw_answer(a, "\"state\":\"running\"");
	raw_fetch(b, "another tree");
	raw_answer(b, "another repair fetches");
	raw_fetch(b, "a tree");
	raw_answer(b, "\"state\":\"running\"");
	close(a);
	raw_expect(c, "{\"method\":\"org.ayni.Node.Status\"}", "have");
	assert_int_equal(f->cancelled, 0);
	close(b);
	for (int i = 0; i < 50 && f->cancelled == 0; i++)
		raw_expect(c, "{\"method\":\"org.ayni.Node.Status\"}", "have");
	assert_int_equal(f->cancelled, 1);
	/* Who calls something else waits no more either. Zeros are nobody's tree. */
	raw_fetch(c, "a tree");
	raw_answer(c, "\"state\":\"running\"");
	static const char status[] = "{\"method\":\"org.ayni.Node.Status\"}";
	assert_int_equal(send(c, status, sizeof(status), MSG_NOSIGNAL), sizeof(status));
	for (int i = 0; i < 5000 && f->cancelled == 1; i++)
		usleep(1000);
	assert_int_equal(f->cancelled, 2);
	close(c);
	c = raw_connect(f);
	raw_expect(
		c,
		"{\"method\":\"org.ayni.Node.Fetch\",\"parameters\":{\"branch\":\"xo/stable\",\"manifest\":"
		"\"0000000000000000000000000000000000000000000000000000000000000000\"}}",
		"InvalidParameter");
	close(c);
}

static void test_errors(void **state)
{
	struct fake *f = *state;
	int fd = raw_connect(f);
	raw_expect(fd, "{\"method\":\"org.ayni.Node.Explode\"}", "org.varlink.service.MethodNotFound");
	raw_expect(fd, "{\"method\":\"org.ayni.Node.Update\",\"parameters\":{\"branch\":\"..\"}}",
		   "org.varlink.service.InvalidParameter");
	raw_expect(fd, "{\"method\":\"org.ayni.Node.Update\",\"parameters\":{\"branch\":\"nobody\"}}",
		   "org.ayni.Node.Failed");
	raw_expect(
		fd,
		"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"x\"}}",
		"InterfaceNotFound");
	raw_expect(fd, "{\"method\":\"org.varlink.service.GetInfo\"}", "org.ayni.Node");
	raw_expect(
		fd,
		"{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
		"\"org.ayni.Node\"}}",
		"method Update");
	close(fd);
}

/* Garbage, a message without end, and one client too many are closed; the next one is served. */
static void test_hostile(void **state)
{
	struct fake *f = *state;
	char big[4096];
	int fd = raw_connect(f);
	assert_int_equal(send(fd, "garbage", 8, MSG_NOSIGNAL), 8);
	raw_expect_closed(fd);
	close(fd);

	fd = raw_connect(f);
	memset(big, ' ', sizeof(big));
	size_t sent = 0;
	while (sent < 10u * AY_VARLINK_CALL_MAX) {
		ssize_t n = send(fd, big, sizeof(big), MSG_NOSIGNAL);
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	assert_true(sent < 10u * AY_VARLINK_CALL_MAX);
	close(fd);

	int fds[AY_CONTROL_CLIENTS_MAX + 1];
	for (int i = 0; i <= AY_CONTROL_CLIENTS_MAX; i++) {
		fds[i] = raw_connect(f);
		if (i < AY_CONTROL_CLIENTS_MAX)
			raw_expect(fds[i], "{\"method\":\"org.ayni.Node.Status\"}", "\"have\":1");
	}
	raw_expect_closed(fds[AY_CONTROL_CLIENTS_MAX]);
	for (int i = 0; i <= AY_CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	usleep(50000);
	fd = raw_connect(f);
	raw_expect(fd, "{\"method\":\"org.ayni.Node.Status\"}", "\"have\":1");
	close(fd);
}

static int count_replies(void *ctx, const json_t *p, bool last)
{
	unsigned *n = ctx;
	const char *s = json_string_value(json_object_get(p, "state"));
	assert_string_equal(s, last ? "done" : "running");
	(*n)++;
	return 0;
}

static void test_client(void **state)
{
	struct fake *f = *state;
	struct ay_client *c;
	struct ay_err err = {0};
	json_t *reply;
	unsigned replies = 0;
	assert_int_equal(ay_client_open(f->path, &c, &err), 0);
	assert_int_equal(ay_client_call(c, "org.ayni.Node.Status", NULL, NULL, NULL, &reply, 0, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(reply, "have")), 1);
	json_decref(reply);
	assert_int_equal(ay_client_call(c, "org.ayni.Node.Reload", NULL, NULL, NULL, NULL, 0, &err), 0);
	assert_int_equal(ay_client_call(c, "org.ayni.Node.Reload", NULL, NULL, NULL, NULL, 0, &err),
			 AY_ESTORE);
	assert_string_equal(err.msg, "the store is damaged");
	assert_int_equal(ay_client_call(c, "org.ayni.Node.Nothing", NULL, NULL, NULL, NULL, 0, &err),
			 AY_EUNSUPPORTED);
	assert_int_equal(ay_client_call(c, "org.ayni.Node.Update",
					json_pack("{s:s,s:b}", "branch", "xo/stable", "force", 1),
					count_replies, &replies, NULL, 0, &err),
			 0);
	assert_true(replies >= 2); /* with "more": progress, then the end */
	assert_true(f->force && f->updates == 1);
	ay_client_close(c);
}

static void test_places(void **state)
{
	struct fake *f = *state;
	const struct ay_control_ops ops = {0};
	struct ay_control *second;
	struct ay_client *c;
	struct ay_err err = {0};
	struct stat st;
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ay_control_new(&f->loop, f->path, "", &ops, &second, &err), AY_EBUSY);
	assert_int_equal(ay_control_new(&f->loop, "/tmp/x", "no-such-group", &ops, &second, &err), AY_EUSAGE);
	assert_int_equal(ay_control_new(&f->loop, "/nowhere/at/all", "", &ops, &second, &err), -ENOENT);
	assert_int_equal(ay_client_open("/tmp/ayni-no-such.sock", &c, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "no node is running"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_worker_lines),
		cmocka_unit_test_setup_teardown(test_fetch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fetch_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_places, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
