#!/bin/bash
# SPDX-License-Identifier: MIT
# A laptop's disk is full: the node says so, stays up, keeps the current tree, and goes on when there is room.
# Needs a small file system of its own: a tmpfs in a private mount namespace.
cd "$(dirname "$0")/../.." || exit 1
if [ "${1:-}" != inside ]; then
	if ! unshare -m true 2>/dev/null; then
		echo "needs to be root, for a small file system of its own"
		exit 77
	fi
	exec unshare -m --propagation private bash "$0" inside
fi
. tests/e2e/lib.sh
export AYNI_TRACE=update

make_house 2
make_tree "$T/one" 1 1
make_tree "$T/two" 16 2
publish_tree "$T/one"
mkdir "$T/1"
mount -t tmpfs -o size=64m none "$T/1" && mounts+=("$T/1") || fail "no tmpfs"
init_laptop 1
start_node 0
start_node 1
wait_all_current 1 1

full() { # KIB free
	local avail
	avail=$(df -Pk "$T/1" | awk 'NR == 2 { print $4 }')
	dd if=/dev/zero of="$T/1/balloon" bs=1024 count=$((avail - $1)) 2>/dev/null
}
complains() { status_of 1 | grep -q '"problem": ".*\(No space\|room\|space\)'; }

# No room for the bundle.
full 4000
publish_tree "$T/two"
wait_for "a complaint about room for the bundle" complains
kill -0 "${pid[1]}" || fail "the node fell over"
is_current 1 1 || fail "what was current is not any more"
check_tree 1 "$T/one"
say "no room for the bundle: $(status_of 1 | json_text problem)"

# Room for the bundle, none for the tree.
rm "$T/1/balloon"
full 14000
timeout $WAIT_S "$AYNI" update --control "$T/1.sock" >"$T/out" 2>&1 && fail "an update without room succeeded"
kill -0 "${pid[1]}" || fail "the node fell over"
wait_for "a complaint about room for the tree" complains
check_tree 1 "$T/one"
say "no room for the tree: $(tail -n 1 "$T/out")"

rm "$T/1/balloon"
timeout $WAIT_S "$AYNI" update --control "$T/1.sock" >"$T/out" 2>&1
wait_all_current 2 1
check_tree 1 "$T/two"
status_of 1 | grep -q '"problem": "[^"]' && fail "it still complains: $(status_of 1 | json_text problem)"
say "room again, and it is done"
stop_node 1
stop_node 0
exit 0
