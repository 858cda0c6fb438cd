/* SPDX-License-Identifier: MIT */
/* The networks of a machine, asked in a network namespace of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/networks.h"

static bool has(const struct ay_network *list, unsigned n, const uint8_t ip[16], uint8_t bits)
{
	for (unsigned i = 0; i < n; i++)
		if (memcmp(list[i].ip, ip, 16) == 0 && list[i].bits == bits)
			return true;
	return false;
}

/* In a child: 0 right, 1 wrong, 77 this machine cannot do it. */
static int look(void)
{
	static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 9, [14] = 8, [15] = 7};
	static const uint8_t v6[16] = {0xfd, 0x00, [15] = 7};
	struct ay_network list[AY_CORE_NETWORKS_MAX];

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return 77;
	if (system("exec >/dev/null 2>&1; ip link set lo up && ip link add d0 type veth peer name d1 && "
		   "ip addr add 10.9.8.7/20 dev d0 && ip addr add fd00::7/48 dev d0 nodad"))
		return 77;
	if (ay_networks(list, AY_CORE_NETWORKS_MAX) != 0) /* loopback does not count, nor what is down */
		return 1;
	if (system("exec >/dev/null 2>&1; ip link set d0 up"))
		return 77;
	unsigned n = ay_networks(list, AY_CORE_NETWORKS_MAX);
	return has(list, n, v4, 96 + 20) && has(list, n, v6, 48) && ay_networks(list, 1) == 1 ? 0 : 1;
}

static void test_networks(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(look());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: no network namespace of our own, or no interface in it\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_networks)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
