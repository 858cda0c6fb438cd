#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# A neighbour that spoils blocks, hash blocks, frames; one that fills every door with nonsense; one that shouts nonsense
# into the groups. The update comes in full from the school all the same, nothing false is ever installed, and nobody
# falls over.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh

make_house 4
make_tree "$T/one" 6 1
publish_tree "$T/one"
ROGUE=$PWD/tests/e2e/rogue.pl
rogue_port=$(($(tcp_port) + 7))

start_rogue() { # LOG MODE ARGUMENT...
	local log=$1
	shift
	in_space 2 perl "$ROGUE" "$@" >"$log" 2>&1 </dev/null &
	extra_pids+=($!)
	disown $!
}

start_node 0
limit_link 0 40 # so that the school alone is not the quickest way

for what in blocks hashes index cut garbage; do
	say "a peer that lies about $what"
	rm -rf "$T/1"
	: >"$T/1.log"
	init_laptop 1
	start_rogue "$T/rogue.log" lies "$(address_of 2):$rogue_port" "$(address_of 0):$(tcp_port)" $what
	rogue=$!
	wait_for "the rogue" grep -q listening "$T/rogue.log"
	start_node 1 --peers "$(address_of 2):$rogue_port"
	wait_all_current 1 1
	check_tree 1 "$T/one"
	grep -q spoiled "$T/rogue.log" || fail "the rogue had no chance to lie: $(cat "$T/rogue.log")"
	lies=$(grep -c spoiled "$T/rogue.log")
	[ "$lies" -lt 100 ] || fail "the rogue was believed too long: $lies lies"
	say "lied $lies times"
	# Shut out: it is not asked again and again.
	came=$(grep -c came "$T/rogue.log")
	[ "$came" -lt 10 ] || fail "the rogue was visited $came times"
	stop_node 1
	kill $rogue
done

say "noise at the door and on the air"
start_rogue "$T/noise0.log" noise "$(address_of 0):$(tcp_port)" "$(address_of 2)"
noise0=$!
if [ "$house" = netns ]; then
	start_rogue "$T/air.log" air 224.0.0.254 24953 24954 "$(address_of 2)"
else
	start_rogue "$T/air.log" air 224.0.0.254 "$base_port" $((base_port + 1)) "$(address_of 2)"
fi
rm -rf "$T/1"
init_laptop 1
start_node 1
start_rogue "$T/noise1.log" noise "$(address_of 1):$(tcp_port)" "$(address_of 2)"
wait_all_current 1 1
check_tree 1 "$T/one"
wait_for "the shouting to end" grep -q "said nonsense" "$T/air.log"
grep -q "noise 50" "$T/noise0.log" || fail "the noise was not heard: $(cat "$T/noise0.log")"

cp -a "$T/one" "$T/two"
change_tree "$T/two" 2
publish_tree "$T/two"
wait_all_current 2 1
check_tree 1 "$T/two"
[ "$(number_of 1 packets_refused)" -gt 0 ] || fail "laptop 1 refused nothing"
for n in 0 1; do
	rss=$(awk '/^VmRSS/ { print $2 }' "/proc/${pid[$n]}/status")
	say "node $n: $rss KiB, refused $(number_of $n packets_refused) packets, $(number_of $n connections) connections"
	[ "$rss" -lt $((64 * 1024)) ] || fail "node $n has grown to $rss KiB"
done
for n in 0 1; do stop_node $n; done
grep -il 'assert\|panic\|sanitizer\|runtime error' "$T"/[0-9].log && fail "a node complained about itself"
exit 0
