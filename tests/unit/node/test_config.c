/* SPDX-License-Identifier: MIT */
/* Configuration: each key good and bad, where a mistake is, drop-ins, limits, truncation at every byte. */
#include "tests/support/place.h"

#include "node/address.h"
#include "node/config.h"

static struct ay_config config;
static struct ay_err err;

static int parse(const char *text)
{
	ay_config_defaults(&config);
	err = (struct ay_err){0};
	return ay_config_parse(&config, "ayni.conf", text, strlen(text), &err);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_int_equal(parse(""), 0);
	assert_string_equal(config.store, "/var/lib/ayni");
	assert_string_equal(config.control, "/run/ayni/control.sock");
	assert_int_equal(config.port, 24953);
	assert_int_equal(config.news_port, 24953);
	assert_int_equal(config.chat_port, 24954);
	assert_true(config.auto_update);
	assert_int_equal(config.role, AY_NODE_LAPTOP);
	assert_int_equal(ay_config_check(&config, &err), 0);
}

static const char all_keys[] = "# a comment\n"
			       "[node]\n"
			       "store = /srv/store   ; and one behind a value\n"
			       "role=school\n"
			       "repo = /srv/repo\n"
			       "interface = wlan0\n"
			       "address = 192.0.2.7\n"
			       "port = 0\n"
			       "news-port = 1\n"
			       "chat-port = 65535\n"
			       "control = /tmp/c.sock\n"
			       "control-group = adm\n"
			       "peers = 192.0.2.1, 192.0.2.2:99\n"
			       "peers = [2001:db8::1]:7\n"
			       "auto-update = no\n"
			       "rate = 500K\n"
			       "heal-from = /media/stick  /srv/copy\n"
			       "apply-memory = 128M\n"
			       "switch = window 22:00-05:30\n"
			       "confirm = boot\n"
			       "tries = 5\n"
			       "keep = 4\n"
			       "hooks = /srv/hooks\n"
			       "hook-timeout = 7\n"
			       "hooks-timeout = 70\n"
			       "switch-trigger = /run/ayni/switch\n"
			       "reserve = 300M\n"
			       "max-size = 2g\n"
			       "auto-gc = no\n"
			       "[branch xo/stable]\n"
			       "switch = ask\n"
			       "keep = 9\n";

static void test_every_key(void **state)
{
	(void)state;
	char text[AY_ADDR_TEXT];
	assert_int_equal(parse(all_keys), 0);
	assert_string_equal(config.store, "/srv/store");
	assert_int_equal(config.role, AY_NODE_SCHOOL);
	assert_string_equal(config.repo, "/srv/repo");
	assert_string_equal(config.interface, "wlan0");
	assert_true(config.has_address);
	assert_string_equal(ay_addr_text(&config.address, text), "192.0.2.7:0");
	assert_int_equal(config.port, 0);
	assert_int_equal(config.news_port, 1);
	assert_int_equal(config.chat_port, 65535);
	assert_string_equal(config.control, "/tmp/c.sock");
	assert_string_equal(config.control_group, "adm");
	assert_int_equal(config.n_peers, 3);
	assert_string_equal(ay_addr_text(&config.peers[0], text), "192.0.2.1:24953");
	assert_string_equal(ay_addr_text(&config.peers[1], text), "192.0.2.2:99");
	assert_string_equal(ay_addr_text(&config.peers[2], text), "[2001:db8::1]:7");
	assert_false(config.auto_update);
	assert_int_equal(config.rate, 500000);
	assert_int_equal(config.n_heal_from, 2);
	assert_string_equal(config.heal_from[0], "/media/stick");
	assert_string_equal(config.heal_from[1], "/srv/copy");
	assert_string_equal(config.hooks, "/srv/hooks");
	assert_int_equal(config.hook_timeout_s, 7);
	assert_int_equal(config.hooks_timeout_s, 70);
	assert_string_equal(config.switch_trigger, "/run/ayni/switch");
	assert_int_equal(config.reserve, 300 << 20);
	assert_int_equal(config.max_size, UINT64_C(2) << 30);
	assert_false(config.auto_gc);
	assert_int_equal(config.apply_memory, 128 << 20);
	assert_int_equal(parse("[node]\napply-memory = none\n"), 0);
	assert_int_equal(config.apply_memory, 0);
	assert_int_equal(parse("[node]\napply-memory = auto\n"), 0);
	assert_true(config.apply_memory == ay_apply_memory_auto() && config.apply_memory >= 64 << 20);
}

/* A branch's own section goes over [node]'s, key by key; of files the later one. */
static void test_branch_sections(void **state)
{
	struct ay_policy p;
	char text[AY_WHEN_TEXT], longest[256];

	(void)state;
	assert_int_equal(parse(all_keys), 0);
	ay_config_policy(&config, "xo/stable", &p);
	assert_string_equal(ay_when_text(&p.when, text), "ask");
	assert_int_equal(p.keep, 9);
	assert_int_equal(p.tries, 5);
	assert_true(p.confirm_by_boot);
	ay_config_policy(&config, "xo/other", &p);
	assert_string_equal(ay_when_text(&p.when, text), "window 22:00-05:30");
	assert_int_equal(p.keep, 4);
	static const char later[] = "[branch xo/stable]\nkeep = 3\n[node]\nkeep = 1\n";
	assert_int_equal(ay_config_parse(&config, "g", later, sizeof(later) - 1, &err), 0);
	ay_config_policy(&config, "xo/stable", &p);
	assert_int_equal(p.keep, 3);
	assert_string_equal(ay_when_text(&p.when, text), "ask");
	/* inih knows only the first 49 bytes of a section's name; a branch may have 64. */
	char name[AY_BRANCH_NAME_MAX + 1], other[AY_BRANCH_NAME_MAX + 1];
	memset(name, 'x', AY_BRANCH_NAME_MAX);
	name[AY_BRANCH_NAME_MAX] = 0;
	memcpy(other, name, sizeof(name));
	other[AY_BRANCH_NAME_MAX - 1] = 'y';
	snprintf(longest, sizeof(longest), "[branch %s]\nkeep = 7\n", name);
	assert_int_equal(parse(longest), 0);
	ay_config_policy(&config, name, &p);
	assert_int_equal(p.keep, 7);
	ay_config_policy(&config, other, &p);
	assert_int_equal(p.keep, 2);
}

/* Each mistake is told with file, line, key and what is allowed; nothing of the line is taken. */
static void test_mistakes(void **state)
{
	(void)state;
	static const struct {
		const char *line, *says;
	} bad[] = {
		{"port = 65536", "port = 65536: must be a number from 0"},
		{"port = -1", "must be a number"},
		{"port =", "must be a number"},
		{"port = 1x", "must be a number"},
		{"news-port = 0", "from 1 to 65535"},
		{"chat-port = 99999999999999999999", "from 1 to 65535"},
		{"role = teacher", "laptop or school"},
		{"auto-update = maybe", "yes or no"},
		{"address = 192.0.2.7:80", "without a port"},
		{"address = here", "IP address"},
		{"peers = 192.0.2.1 school.local", "IP addresses"},
		{"peers = 192.0.2.1:0", "IP addresses"},
		{"peers = [::1", "IP addresses"},
		{"peers = [::1]x", "IP addresses"},
		{"peers = 192.0.2.1:65536", "IP addresses"},
		{"peers = fe80::1%nosuchif0", "IP addresses"},
		{"heal-from = stick", "absolute paths"},
		{"heal-from =", "absolute paths"},
		{"heal-from = /a /b /c /d /e /f /g /h /i", "at most 8"},
		{"rate = 5", "from 1K"},
		{"apply-memory = 5", "from 1M"},
		{"apply-memory = 1023K", "from 1M"},
		{"apply-memory = 5X", "from 1M"},
		{"apply-memory = -1", "from 1M"},
		{"rate = 5X", "from 1K"},
		{"rate = 1001G", "to 1000G"},
		{"rate = 99999999999999999999", "from 1K"},
		{"store =", "a path"},
		{"interface = eth0/1", "an interface's name"},
		{"interface = averylonginterfacename", "15 characters"},
		{"prot = 1", "there is no key \"prot\"; there are store, role"},
		{"port 1", "neither [node] nor KEY = VALUE"},
		{"[nodes]\nport = 1", "section [nodes]"},
		{"switch = later", "now, next-boot, ask, or window"},
		{"switch = window 5-6", "HH:MM"},
		{"hook-timeout = 0", "seconds, from 1"},
		{"hooks-timeout = 86401", "to 86400"},
		{"reserve = 0", "none, or bytes"},
		{"max-size = 5X", "none, or bytes"},
		{"max-size = 99999999999999999999", "none, or bytes"},
		{"max-size = 1048577T", "none, or bytes"},
		{"[branch xo/stable]\nport = 1", "no key \"port\" of a branch"},
		{"[branch xo/stable]\nkeep = 0", "a number from 1 to 1000"},
		{"[branch Xo]\nkeep = 1", "no branch's name"},
		{"[branch ]\nkeep = 1", "no branch's name"},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[512];
		snprintf(text, sizeof(text), "# first\n[node]\n%s\n", bad[i].line);
		assert_int_equal(parse(text), AY_EUSAGE);
		if (!strstr(err.msg, bad[i].says) ||
		    !strstr(err.msg, bad[i].line[0] == '[' ? "ayni.conf:4: " : "ayni.conf:3: "))
			fail_msg("%s: %s", bad[i].line, err.msg);
	}
	assert_int_equal(parse("port = 1\n"), AY_EUSAGE); /* no section at all */
	assert_int_equal(parse("[node]\nport = 1\n\nport = 2\n"), AY_EUSAGE);
	assert_non_null(strstr(err.msg, "ayni.conf:4: port stands already in line 2"));
	assert_int_equal(parse("[branch b]\nkeep = 1\n[node]\nkeep = 1\n[branch b]\nkeep = 2\n"), AY_EUSAGE);
	assert_non_null(strstr(err.msg, "ayni.conf:6: keep stands already in line 2"));
	assert_int_equal(parse("[node]\n [branch b]\nkeep = 2\n"), AY_EUSAGE);
}

static void test_limits(void **state)
{
	(void)state;
	char text[8192], fill[400];
	/* A line of 197 bytes and its newline is the longest. */
	memset(fill, 'x', sizeof(fill));
	snprintf(text, sizeof(text), "[node]\nstore = %.*s\n", 197 - 8, fill);
	assert_int_equal(parse(text), 0);
	assert_int_equal(strlen(config.store), 197 - 8);
	snprintf(text, sizeof(text), "[node]\nstore = %.*s\n", 300 - 8, fill);
	assert_int_equal(parse(text), AY_EUSAGE);
	assert_non_null(strstr(err.msg, "ayni.conf:2: a line of 301 bytes"));

	int n = snprintf(text, sizeof(text), "[node]\n");
	for (int i = 0; i <= AY_CONFIG_PEERS_MAX; i++) {
		assert_int_equal(parse(text), 0);
		assert_int_equal(config.n_peers, i);
		n += snprintf(text + n, sizeof(text) - (size_t)n, "peers = 192.0.2.1\n");
	}
	assert_int_equal(parse(text), AY_EUSAGE);

	snprintf(text, sizeof(text), "[node]\ncontrol = /%.*s\n", 107, fill);
	assert_int_equal(parse(text), AY_EUSAGE);
	snprintf(text, sizeof(text), "[node]\ncontrol = /%.*s\n", 106, fill);
	assert_int_equal(parse(text), 0);

	ay_config_defaults(&config);
	assert_int_equal(ay_config_parse(&config, "f", "[node]\nst\0re = x\n", 17, &err), AY_EUSAGE);
	assert_non_null(strstr(err.msg, "f:2: a zero byte"));
}

/* Cut anywhere a file is good or a told mistake, never more. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(all_keys); n++) {
		char *copy = malloc(n ? n : 1);
		memcpy(copy, all_keys, n);
		ay_config_defaults(&config);
		err = (struct ay_err){0};
		int r = ay_config_parse(&config, "f", copy, n, &err);
		assert_true(r == 0 || (r == AY_EUSAGE && strncmp(err.msg, "f:", 2) == 0));
		free(copy);
	}
}

static void test_together(void **state)
{
	(void)state;
	assert_int_equal(parse("[node]\nrole = school\n"), 0);
	assert_int_equal(ay_config_check(&config, &err), AY_EUSAGE);
	assert_int_equal(parse("[node]\nrepo = /x\n"), 0);
	assert_int_equal(ay_config_check(&config, &err), AY_EUSAGE);
	assert_int_equal(parse("[node]\nnews-port = 5\nchat-port = 5\n"), 0);
	assert_int_equal(ay_config_check(&config, &err), AY_EUSAGE);
}

static void test_files(void **state)
{
	struct place *p = *state;
	char file[128];
	snprintf(file, sizeof(file), "%s/ayni.conf", p->path);
	ay_config_defaults(&config);
	assert_int_equal(ay_config_load(&config, file, false, &err), 0);
	assert_true(ay_config_load(&config, file, true, &err) < 0);
	assert_non_null(strstr(err.msg, file));

	put_text(p->dir, "ayni.conf", "[node]\nport = 1\npeers = 192.0.2.1 192.0.2.2\nrate = 1K\n");
	assert_int_equal(mkdirat(p->dir, "ayni.conf.d", 0700), 0);
	put_text(p->dir, "ayni.conf.d/20-b.conf", "[node]\nport = 3\n");
	put_text(p->dir, "ayni.conf.d/10-a.conf", "[node]\nport = 2\npeers = 192.0.2.9\n");
	put_text(p->dir, "ayni.conf.d/30-c.conf.bak", "nonsense\n");
	ay_config_defaults(&config);
	assert_int_equal(ay_config_load(&config, file, true, &err), 0);
	assert_int_equal(config.port, 3);    /* in the order of names */
	assert_int_equal(config.n_peers, 1); /* a later file's replace */
	assert_int_equal(config.rate, 1000); /* what no later file says stays */

	put_text(p->dir, "ayni.conf.d/40-d.conf", "[node]\n\nport = x\n");
	ay_config_defaults(&config);
	assert_int_equal(ay_config_load(&config, file, true, &err), AY_EUSAGE);
	assert_non_null(strstr(err.msg, "40-d.conf:3: port = x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_branch_sections),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_together),
		cmocka_unit_test_setup_teardown(test_files, place_make, place_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
