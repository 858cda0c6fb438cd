#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 240
# A school and laptops, started empty: the first release from nothing, the second as a small bundle, announced while
# everybody runs; rolled back and forth; then a laptop that slept through it gets it although the school is gone.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh

make_house 4
make_tree "$T/one" 2 1
cp -a "$T/one" "$T/two"
change_tree "$T/two" 2
publish_tree "$T/one"
for n in 1 2 3; do init_laptop $n; done
for n in 0 1 2 3; do start_node $n; done
wait_all_current 1 1 2 3
for n in 1 2 3; do check_tree $n "$T/one"; done
stop_node 3
say "the first release is everywhere"

"$AYNI" update $BRANCH --control "$T/1.sock" >"$T/out" 2>&1
[ $? = 3 ] || fail "an update with nothing to do: $(cat "$T/out")"

publish_tree "$T/two"
wait_all_current 2 1 2
check_tree 1 "$T/two"
check_tree 2 "$T/two"
say "the second one too"
for n in 1 2; do
	[ "$(number_of $n bytes_twice)" = 0 ] || fail "laptop $n fetched $(number_of $n bytes_twice) bytes twice"
	status_of $n | grep -q '"problem": "[^"]' && fail "laptop $n complains: $(status_of $n)"
done

# Nothing moves when all is done: the school's disk and the laptops' agree, and a rollback is seen by the node.
"$AYNI" rollback $BRANCH --store "$T/2" --control "$T/2.sock" >"$T/out" 2>&1 || fail "rollback: $(cat "$T/out")"
wait_all_current 1 2
check_tree 2 "$T/one"
sleep 2
is_current 1 2 || fail "laptop 2 took the release again that its owner rolled back from"
"$AYNI" update $BRANCH --control "$T/2.sock" >"$T/out" 2>&1
[ $? = 4 ] || fail "an update to a release rolled back from is to be refused: $(cat "$T/out")"
"$AYNI" update $BRANCH --force --control "$T/2.sock" >"$T/out" 2>&1 || fail "update --force: $(cat "$T/out")"
wait_all_current 2 2
check_tree 2 "$T/two"
say "rolled back and forth"

stop_node 0
start_node 3
wait_all_current 2 3
check_tree 3 "$T/two"
[ "$(number_of 3 bytes_from_school)" = 0 ] || fail "laptop 3 got bytes from a school that is gone"
say "a late laptop got it from the others"

for n in 1 2 3; do stop_node $n; done
grep -il 'assert\|panic\|sanitizer\|runtime error' "$T"/*.log && fail "a node complained about itself"
exit 0
