#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 200
# A small disk, and updates that find no room: the node collects bundles and old releases, in the same process, and goes
# on; never what is current, pinned, or reserved. Needs a small file system of its own: a tmpfs in a private mount namespace.
cd "$(dirname "$0")/../.." || exit 1
if [ "${1:-}" != inside ]; then
	if ! unshare -m true 2>/dev/null; then
		echo "needs to be root, for a small file system of its own"
		exit 77
	fi
	exec unshare -m --propagation private bash "$0" inside
fi
. tests/e2e/lib.sh

AYNI_E2E_HOUSE=loopback
make_house 2
mkdir "$T/1" "$T/tree"
mount -t tmpfs -o size=24m none "$T/1" || { echo "no tmpfs here"; exit 77; }
mounts+=("$T/1")
conf=$T/1.conf
serial=0
configure() {
	{
		echo "[node]"
		echo "keep = 9"
		echo "hooks = $T/no-hooks"
		printf '%s\n' "$@"
	} >"$conf"
}
publish_next() { # nothing in common with the one before; 4 MB, and so is the bundle
	serial=$((serial + 1))
	head -c 4000000 /dev/urandom >"$T/tree/noise"
	echo "release $serial" >"$T/tree/os-release"
	publish_tree "$T/tree"
}
here() { [ -d "$T/1/branches/xo%2Fstable/$1/root" ]; }
free_mb() { df -m --output=avail "$T/1" | tail -n 1; }

configure "reserve = 1M"
init_laptop 1
publish_next
start_node 0
start_node 1 --config "$conf"
wait_all_current 1 1
"$AYNI" pin $BRANCH 1 --keep --store "$T/1" --config "$conf" --control "$T/1.sock" >/dev/null || fail "pin"
for i in 2 3 4 5 6; do
	publish_next
	wait_all_current $i 1
done
here 1 || fail "the kept release was collected"
here 2 && fail "six releases of 4 MB and the bundles are on a disk of 24 MB?"
here 5 || fail "more was collected than was needed"
grep -q "no room for an update: collecting" "$T/1.log" || fail "nobody said that room was short"
"$AYNI" verify $BRANCH --store "$T/1" >/dev/null || fail "the current tree is not whole"
"$AYNI" verify $BRANCH 1 --store "$T/1" >/dev/null || fail "the kept tree is not whole"
"$AYNI" log $BRANCH --store "$T/1" --config "$conf" >"$T/log.txt" || fail "log"
grep -q "release 2 removed by collecting" "$T/log.txt" || fail "the log does not tell of it: $(cat "$T/log.txt")"

say "a reserve that leaves no room: the update waits, and says why"
stop_node 1
configure "reserve = 20M"
start_node 1 --config "$conf"
publish_next
wait_for "a word about it" grep -q "no room in .*with the reserve" "$T/1.log"
is_current 6 1 || fail "it went on all the same"
[ "$(free_mb)" -ge 4 ] || fail "the reserve was eaten"

say "room again, and it is done"
stop_node 1
configure "reserve = 1M"
start_node 1 --config "$conf"
wait_all_current 7 1

say "what is too large is made smaller by hand"
"$AYNI" gc --max-size 9M --store "$T/1" --config "$conf" --control "$T/1.sock" >/dev/null || fail "gc"
here 1 || fail "the kept release was collected"
here 7 || fail "the current release was collected"
here 6 && fail "an old release stayed above the limit"
"$AYNI" fsck --store "$T/1" --config "$conf" >"$T/fsck.txt" 2>&1 || fail "fsck: $(cat "$T/fsck.txt")"
say "all is as it should be"
