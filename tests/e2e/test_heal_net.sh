#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 400
# A laptop whose disk lost a content that nothing on it has: `ayni fsck --heal` has the running node fetch a bundle from the school, or
# from another laptop when the school is gone. Nothing is fetched when nothing is damaged, when a repository directory has it, or offline.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh

make_house 3
make_tree "$T/one" 2 1
head -c 700000 /dev/urandom >"$T/one/precious1"
cp -a "$T/one" "$T/two"
head -c 700000 /dev/urandom >"$T/two/precious"
change_tree "$T/two" 2
publish_tree "$T/one"
for n in 1 2; do init_laptop $n; done
for n in 0 1 2; do start_node $n; done
wait_all_current 1 1 2
publish_tree "$T/two"
wait_all_current 2 1 2

tree() { echo "$T/$1/branches/xo%2Fstable/current"; }
rot() { # N FILE
	local f
	f=$(tree "$1")/$2
	chmod u+w "$f"
	printf 'rotten' | dd of="$f" bs=1 seek=1000 conv=notrunc 2>/dev/null
}
heal() { # N [OPTION...]: into $T/out; $rc
	local n=$1
	shift
	"$AYNI" fsck --heal --store "$T/$n" --config /dev/null --control "$T/$n.sock" "$@" >"$T/out" 2>&1
	rc=$?
}
# The bundles of laptop N's updates are gone, as a collection would have it; its node starts anew.
forget_bundles() { # N
	stop_node "$1"
	rm -f "$T/$1"/bundles/?*[0-9a-f]
	start_node "$1"
}
traffic_of() { echo $(($(number_of "$1" bytes_from_peers) + $(number_of "$1" bytes_from_school))); }

forget_bundles 1
heal 1
[ $rc = 0 ] && grep -q "nothing is damaged" "$T/out" || fail "a good store: $(cat "$T/out")"
[ "$(traffic_of 1)" = 0 ] || fail "a good store fetched $(traffic_of 1) bytes"

rot 1 precious
heal 1 --offline
[ $rc = 1 ] || fail "offline it is to be left: $(cat "$T/out")"
[ "$(traffic_of 1)" = 0 ] || fail "offline it fetched $(traffic_of 1) bytes"

# From the school alone.
stop_node 2
heal 1 --json
[ $rc = 0 ] && grep -q '"left": 0' "$T/out" || fail "healing from the school: $(cat "$T/out")"
grep -q '"fetched_bundles": 1' "$T/out" && [ "$(json_number fetched_bytes <"$T/out")" -gt 700000 ] ||
	fail "it is not told what came: $(cat "$T/out")"
grep -q '"outcome": "left"' "$T/out" && fail "what was healed in the end is still told as left: $(cat "$T/out")"
cmp -s "$T/two/precious" "$(tree 1)/precious" || fail "the file is not what was published"
[ "$(number_of 1 bytes_from_school)" -gt 0 ] || fail "nothing came from the school"
say "healed from the school"

# Likewise from another laptop, which has the bundle by now for the same reason.
start_node 2
forget_bundles 2
rot 2 precious
stop_node 0
heal 2
[ $rc = 0 ] && grep -q "fetched a bundle that leads to it" "$T/out" && grep -q "healed" "$T/out" ||
	fail "healing from a laptop: $(cat "$T/out")"
cmp -s "$T/two/precious" "$(tree 2)/precious" || fail "the file is not what was published"
[ "$(number_of 2 bytes_from_school)" = 0 ] && [ "$(number_of 2 bytes_from_peers)" -gt 0 ] ||
	fail "laptop 2 did not heal from laptop 1"
say "healed from a laptop"

# Nobody has it: said within a time that can be waited for, and the node goes on as before.
forget_bundles 1
rot 1 precious
stop_node 2
heal 1
[ $rc = 1 ] && grep -qE "nothing came over the network: (nobody was heard|$BRANCH: nobody in reach)" "$T/out" || fail "nobody has it: $(cat "$T/out")"
status_of 1 | grep -q '"phase": "idle"' || fail "the node still looks: $(status_of 1)"
stop_node 1
heal 1
[ $rc = 1 ] && grep -q "nothing came over the network" "$T/out" || fail "without a node: $(cat "$T/out")"
heal 1 --repo "$T/repo"
[ $rc = 0 ] || fail "from a directory: $(cat "$T/out")"
say "nobody had it, a directory has it"

# What heals is an update's bundle too: the laptop goes on to the next release.
cp -a "$T/two" "$T/three"
echo "what is new in three" >>"$T/three/lib/file0"
start_node 0
start_node 1
publish_tree "$T/three"
wait_all_current 3 1
check_tree 1 "$T/three"

# Releases as they are published by default have a bundle from nothing for the first serial only: a content as old as that comes by the
# chain. Meanwhile there is a newer release: the laptop is there soon after the healing.
cp -a "$T/three" "$T/four"
echo "what is new in four" >>"$T/four/lib/file3"
publish_tree "$T/four"
wait_all_current 4 1
forget_bundles 1
rot 1 precious1
heal 1 --offline
[ $rc = 1 ] || fail "offline the old content is to be left: $(cat "$T/out")"
cp -a "$T/four" "$T/five"
echo "what is new in five" >>"$T/five/lib/file0"
# What an update does over a damaged base: its bundle is left out for an hour.
heal 1 --json &
healing=$!
extra_pids+=($healing)
sleep 1
publish_tree "$T/five"
wait $healing
heal 1
[ $rc = 0 ] && ! grep -q "^left: " "$T/out" || fail "healing along the chain: $(cat "$T/out")"
cmp -s "$T/one/precious1" "$(tree 1)/precious1" || fail "the old file is not what was published"
WAIT_S=60 wait_all_current 5 1
check_tree 1 "$T/five"
say "healed along the chain"

# A bundle that is kept and damaged is removed, and fetched anew: the node learns that it is gone.
rot 1 precious1
for f in "$T/1"/bundles/?*[0-9a-f]; do
	chmod u+w "$f"
	printf 'rotten' | dd of="$f" bs=1 seek=100 conv=notrunc 2>/dev/null
done
heal 1
[ $rc = 0 ] || fail "healing with damaged bundles: $(cat "$T/out")"
cmp -s "$T/one/precious1" "$(tree 1)/precious1" || fail "the old file is not what was published"
say "healed anew what the damaged bundles had"

# Another store's node is of no help, and is not bothered.
cp -a "$T/1" "$T/9"
rm -f "$T/9"/bundles/?*[0-9a-f]
before=$(traffic_of 1)
f=$(echo "$T/9"/branches/*/current)/precious1
chmod u+w "$f"
printf 'rotten' | dd of="$f" bs=1 seek=1000 conv=notrunc 2>/dev/null
"$AYNI" fsck --heal --store "$T/9" --config /dev/null --control "$T/1.sock" >"$T/out" 2>&1
[ $? = 1 ] && grep -q "serves another store ($T/1)" "$T/out" || fail "another store's node: $(cat "$T/out")"
[ "$(traffic_of 1)" = "$before" ] || fail "it fetched for another store"
"$AYNI" fsck --offline --store "$T/1" >/dev/null 2>&1
[ $? = 2 ] || fail "--offline without --heal is no usage error"
for n in 0 1; do stop_node $n; done
grep -il 'assert\|panic\|sanitizer\|runtime error' "$T"/*.log && fail "a node complained about itself"
exit 0
