#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# When a release becomes current, on a real node: hooks that fail, hang, fork away and write without end; switches by
# hand, at boot, in a window; kill -9 in the middle of a trial; boots that are counted; pins; a bad release taken again.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh

AYNI_E2E_HOUSE=loopback
make_house 2
hooks=$T/hooks
mkdir -p "$hooks/pre-switch.d" "$hooks/post-switch.d" "$hooks/health.d"
chmod 755 "$hooks" "$hooks"/*
conf=$T/1.conf
store=$T/1
serial=0

configure() { # LINE...: what the laptop is told besides
	{
		echo "[node]"
		echo "hooks = $hooks"
		echo "hook-timeout = 2"
		echo "auto-gc = no"
		printf '%s\n' "$@"
	} >"$conf"
}
hook() { # NAME SCRIPT
	printf '#!/bin/sh\n%s\n' "$2" >"$hooks/$1"
	chmod 755 "$hooks/$1"
}
no_hooks() { rm -f "$hooks"/*/*; }
publish_next() {
	serial=$((serial + 1))
	mkdir -p "$T/tree"
	echo "release $serial" >"$T/tree/os-release"
	head -c 2000 /dev/urandom | base64 >"$T/tree/news"
	publish_tree "$T/tree"
}
restart() {
	stop_node 1
	start_node 1 --config "$conf"
}
here() { "$AYNI" "$@" --store "$store" --config "$conf" --control "$T/1.sock"; }
has() { [ "$(number_of 1 "$1")" = "$2" ]; } # KEY VALUE
wait_has() { wait_for "$1 = $2" has "$1" "$2"; }
logged() { grep -q -- "$1" "$T/1.log"; }
wait_logged() { wait_for "the log says \"$1\"" logged "$1"; }
sees() { # SERIAL: what a program sees through `current`
	local got
	got=$(cat "$(tree_of 1)/os-release")
	[ "$got" = "release $1" ] || fail "current is \"$got\", not release $1"
}
must() { # CODE TEXT COMMAND...
	local code=$1 text=$2 rc
	shift 2
	"$@" >"$T/out" 2>&1
	rc=$?
	[ "$rc" = "$code" ] && grep -qF -- "$text" "$T/out" || fail "$*: exit code $rc, expected $code and \"$text\": $(cat "$T/out")"
}

configure
init_laptop 1
publish_next
start_node 0
start_node 1 --config "$conf"
wait_all_current 1 1
sees 1

say "hooks run around a switch, and see what it is"
hook pre-switch.d/10-note "echo pre \$AYNI_FROM_SERIAL \$AYNI_SERIAL \$AYNI_BRANCH \$AYNI_REASON \$(cat \$AYNI_TREE/os-release) >>$T/notes"
hook post-switch.d/10-note "echo post \$(cat \$AYNI_STORE/branches/*/current/os-release) >>$T/notes; echo said by a hook"
hook health.d/10-note "echo health >>$T/notes"
publish_next
wait_all_current 2 1
[ "$(cat "$T/notes")" = "$(printf 'pre 1 2 %s update release 2\npost release 2\nhealth' $BRANCH)" ] || fail "hooks: $(cat "$T/notes")"
wait_logged "hook post-switch.d/10-note: said by a hook"

say "a release that does not work is left again, and not taken again"
no_hooks
hook health.d/50-fails "[ \$AYNI_SERIAL != 3 ]"
publish_next
wait_has bad 3
wait_has have 2
sees 2
wait_logged "release 3 does not work here: hook health.d/50-fails failed with exit code 1"
must 4 "serial 3 is known and not taken" "$AYNI" update --control "$T/1.sock"
sees 2

say "the next one is, although the only bundle to it starts at the one that was left"
publish_next
wait_all_current 4 1
sees 4
has bad 0 || fail "3 is still remembered as bad"

say "a health check that hangs, forks away, and writes without end"
hook health.d/50-fails "[ \$AYNI_SERIAL != 5 ] && exit
trap '' TERM
setsid sh -c 'echo \$\$ >$T/away; sleep 120' &
yes from a hook &
sleep 120"
publish_next
wait_has bad 5
sees 4
wait_logged "health.d/50-fails did not end within 2 s and was killed"
kill -0 "$(cat "$T/away")" 2>/dev/null && fail "what the hook started lives on"
[ "$(stat -c %s "$T/1.log")" -lt 200000 ] || fail "the log took all that the hook wrote"

say "a hook that refuses: it stays ready, and the owner can do it by hand"
no_hooks
hook pre-switch.d/10-no "echo not during the exam; exit 1"
publish_next
wait_has ready 6
wait_logged "release 6 does not become current: hook pre-switch.d/10-no failed"
sees 4
must 4 "pre-switch.d/10-no failed with exit code 1" here switch $BRANCH
must 0 "" here list
no_hooks
must 0 "release 6 is current" here switch $BRANCH
wait_has have 6
sees 6
must 3 "no release is ready" here switch $BRANCH

say "when: asked"
configure "switch = ask"
restart
publish_next
wait_has ready 7
status_of 1 | grep -q "ready, switches when asked" || fail "status does not say what it waits for"
must 3 "serial 7 is ready, switches when asked" "$AYNI" update --control "$T/1.sock"
sees 6
must 0 "release 7 is current" here switch $BRANCH
wait_has have 7

say "when: the next boot; a branch's own section goes over the rest"
configure "switch = ask" "[branch $BRANCH]" "switch = next-boot"
restart
publish_next
wait_has ready 8
status_of 1 | grep -q "ready, switches at the next boot" || fail "status does not say what it waits for"
restart # a node that starts is no boot
wait_has ready 8
sees 7
must 0 "release 8 is current" here switch --pending
sees 8
wait_has have 8
must 3 "nothing to do" here switch --pending

say "when: a window that is closed, and one that is open"
m=$(date +%-H)
configure "switch = window $(printf '%02d:00-%02d:00' $(((m + 3) % 24)) $(((m + 4) % 24)))"
restart
publish_next
wait_has ready 9
status_of 1 | grep -q "ready, switches at $(printf '%02d:00' $(((m + 3) % 24)))" || fail "status does not say what it waits for"
must 3 "" here switch --pending
sees 8
configure "switch = window $(printf '%02d:00-%02d:00' $(((m + 22) % 24)) $(((m + 3) % 24)))"
restart
wait_all_current 9 1

say "the process that switches is killed in the middle of the trial: it begins anew"
configure "tries = 3"
restart
hook health.d/10-once "[ -e $T/killed ] && exit 0
touch $T/killed
kill -9 \$PPID; sleep 1"
publish_next
wait_all_current 10 1
wait_has unconfirmed 0
wait_logged "release 10 is checked again"
sees 10

say "it is killed each time: in the end it goes back"
hook health.d/10-once "[ \$AYNI_SERIAL = 11 ] || exit 0
echo try >>$T/tries
kill -9 \$PPID; sleep 1"
publish_next
wait_has bad 11
sees 10
[ "$(wc -l <"$T/tries")" = 3 ] || fail "tried $(wc -l <"$T/tries") times, not 3"

say "the process that switches is killed in a hook before, and in one after"
no_hooks
hook pre-switch.d/10-once "[ \$AYNI_SERIAL = 12 ] || exit 0
[ \$(cat $store/branches/*/current/os-release | tr -dc 0-9) = 10 ] && echo before >>$T/killed-at
[ -e $T/killed-before ] && exit 0
touch $T/killed-before
kill -9 \$PPID; sleep 1"
hook post-switch.d/10-once "[ \$AYNI_SERIAL = 12 ] || exit 0
[ \$(cat $store/branches/*/current/os-release | tr -dc 0-9) = 12 ] && echo after >>$T/killed-at
[ -e $T/killed-after ] && exit 0
touch $T/killed-after
kill -9 \$PPID; sleep 1"
publish_next
wait_all_current 12 1
wait_has unconfirmed 0
wait_has ready 0
has bad 0 || fail "12 counts as bad"
sees 12
[ -e "$T/killed-before" ] && [ -e "$T/killed-after" ] || fail "it was not killed in both hooks"
[ "$(grep -c before "$T/killed-at")" -ge 2 ] && [ "$(grep -c after "$T/killed-at")" -ge 1 ] ||
	fail "hooks did not run again, or saw another tree: $(cat "$T/killed-at")"
must 0 "" "$AYNI" fsck --store "$store"

say "node and switch are killed in the trial: the next node goes on"
hook health.d/10-once "[ \$AYNI_SERIAL = 13 ] || exit 0
echo \$PPID >$T/switching
[ -e $T/go ] || sleep 1.5"
publish_next
wait_for "a trial" test -s "$T/switching"
stop_node 1 KILL
kill -9 "$(cat "$T/switching")"
[ -e "$store/branches/"*"/13/root" ] || fail "the tree is gone"
sees 13
touch "$T/go"
start_node 1 --config "$conf"
wait_has unconfirmed 0
sees 13
no_hooks

say "a rolled back release is taken again with --force"
must 0 "rolled back from release 13 to 12" here rollback $BRANCH
wait_has bad 13
sees 12
must 4 "not taken" "$AYNI" update --control "$T/1.sock"
must 0 "serial 13" "$AYNI" update --force --control "$T/1.sock"
wait_all_current 13 1
has bad 0 || fail "13 is still remembered as bad"

say "a pinned release stays"
must 0 "stays at release 13" here pin $BRANCH
must 3 "pinned already" here pin $BRANCH
publish_next
must 4 "stays at a pinned release" "$AYNI" update --force --control "$T/1.sock"
sees 13
must 0 "pinned any more" here unpin $BRANCH
wait_all_current 14 1

say "boots are counted, until it is confirmed or left"
configure "confirm = boot" "tries = 2"
restart
publish_next
wait_all_current 15 1
wait_has unconfirmed 15
must 0 "it has 1 left" here boot-count
must 0 "release 15 is good" here confirm
must 3 "" here confirm
must 3 "" here boot-count
publish_next
wait_all_current 16 1
must 0 "it has 1 left" here boot-count
must 0 "it has 0 left" here boot-count
must 1 "rolled back to 15" here boot-count
wait_has bad 16
sees 15

say "a trigger: the node only touches a file; whoever waits for it switches, with the hooks"
configure "switch-trigger = $T/trigger"
hook health.d/10-who "echo \$PPID >$T/health"
restart
for n in 17 18; do
	rm -f "$T/trigger" "$T/health"
	publish_next
	wait_has ready $n
	wait_for "the trigger" test -e "$T/trigger"
	[ ! -e "$T/health" ] || fail "the node ran hooks itself"
	[ "$(cat "$(tree_of 1)/os-release")" != "release $n" ] || fail "the node switched itself"
	must 0 "release $n is current" here switch --due # as packaging/ayni-switch.service does
	wait_has have $n
	wait_has ready 0
	sees $n
	[ -e "$T/health" ] || fail "no hook ran"
done
must 3 "" here switch --due

say "a trigger that cannot be written is told, and nothing is lost"
configure "switch-trigger = $T/no/such/trigger"
restart
publish_next
wait_has ready 19
wait_logged "cannot write $T/no/such/trigger"
must 0 "release 19 is current" here switch --due
wait_has have 19
say "all is as it should be"
