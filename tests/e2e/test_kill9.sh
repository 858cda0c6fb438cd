#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# A laptop is killed (-9) three times in mid-download and once while it applies. It goes on where it was: the bytes on
# its link say that no verified block came twice, and what was current stays current until the new tree is.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
export AYNI_TRACE=swarm

make_house 2
make_tree "$T/one" 1 1
make_tree "$T/two" 14 2 # nearly nothing in common: a bundle of about 11 MB
publish_tree "$T/one"
init_laptop 1
rate=()
[ "$house" = netns ] || rate=(--rate 2M)
start_node 0 "${rate[@]}"
start_node 1
wait_all_current 1 1
check_tree 1 "$T/one"
limit_link 0 16
limit_link 1 16

link_bytes=0 # of all lives of the laptop
mark=$(received_bytes 1)
# On loopback a node counts for itself, and begins anew at each start.
life_over() {
	link_bytes=$((link_bytes + $(received_bytes 1) - mark))
	mark=0
}
life_begins() { [ "$house" != netns ] || mark=$(received_bytes 1); }
had() { number_of 1 blocks_had; }
has_more_than() { [ "$(had)" -gt "$1" ]; }
is_applying() { status_of 1 | grep -q '"phase": "applying"'; }

publish_tree "$T/two"
bundle_bytes=$(ls -ln "$T"/repo/bundles | awk '$5 > n { n = $5 } END { print n }')
blocks=$(((bundle_bytes + 65535) / 65536))
say "a bundle of $bundle_bytes bytes, $blocks blocks"
for part in 15 40 70; do
	wait_for "$part % of the blocks" has_more_than $((blocks * part / 100))
	before=$(had)
	life_over
	stop_node 1 KILL
	life_begins
	: >"$T/1.log"
	start_node 1
	wait_for "its look at what is there" grep -q "of $blocks blocks are here" "$T/1.log"
	here=$(sed -nE "s/.*: ([0-9]+) of $blocks blocks are here/\1/p" "$T/1.log" | tail -n 1)
	say "killed at $before blocks, $here were here again"
	[ "$here" -ge "$before" ] || fail "it had $before blocks and found only $here"
	is_current 1 1 || fail "what was current is not any more"
done
# Applying may be over between two looks: then it is killed just after.
applying_or_done() { is_applying || is_current 2 1; }
wait_for "applying" applying_or_done
life_over
stop_node 1 KILL
life_begins
sleep 0.3
pgrep -f "apply-worker --store $T/1 " >/dev/null && fail "the worker outlived its node"
say "killed while applying"
start_node 1
wait_all_current 2 1
life_over
check_tree 1 "$T/two"
[ "$(number_of 1 bytes_twice)" = 0 ] || fail "verified bytes came twice"

# Headers and hash blocks are below 5 %; what was on its way at a kill is lost, a few blocks each time.
allowed=$((bundle_bytes * 105 / 100 + 3 * 250000))
say "$link_bytes bytes came over the link, $bundle_bytes are the bundle's (allowed: $allowed)"
[ "$link_bytes" -le $allowed ] || fail "$link_bytes bytes on the link: something was fetched twice"
[ "$link_bytes" -ge "$bundle_bytes" ] || fail "$link_bytes bytes on the link: they were not counted right"
stop_node 1
stop_node 0
exit 0
