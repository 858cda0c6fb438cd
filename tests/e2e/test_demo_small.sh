#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 400
# `make demo` in small, with trees made from this machine's /usr and few laptops: as root in network namespaces, and
# as a plain user, who has but loopback. Both say what the demo says on the large trees, and leave nothing behind.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/measure.sh
AYNI=${AYNI:-$PWD/build/ayni}
# In memory when there is plenty: to delete 60,000 names takes minutes on a disk that discards at once.
base=${TMPDIR:-/tmp}
if [ -w /dev/shm ] && [ "$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)" -gt 6000000 ] &&
	[ "$(free_bytes /dev/shm)" -gt 3000000000 ]; then
	base=/dev/shm
fi
T=$(mktemp -d "$base/ayni-small.XXXXXX") || exit 1
running=()
cleanup() {
	local rc=$? p
	trap - EXIT
	for p in "${running[@]}"; do kill "$p" 2>/dev/null && wait "$p" 2>/dev/null; done
	rm -rf "$T"
	exit $rc
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
fail() {
	echo "FAILED: $*"
	exit 1
}
plain=() # what turns a command into a plain user's
if [ "$(id -u)" = 0 ]; then
	command -v setpriv >/dev/null && plain=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi

# A plain user may not be able to read our checkout, so both use a copy of what they need.
mkdir -p "$T/src/tests/e2e" "$T/cache" "$T/pub" "$T/root" "$T/user" "$T/spoiled"
cp "$AYNI" "$T/src/ayni"
cp -R tests/demo.sh tests/measure.sh tests/corpus*.sh "$T/src/tests/"
cp tests/e2e/lib.sh "$T/src/tests/e2e/"
if [ ${#plain[@]} != 0 ]; then
	{ [ "$base" = /dev/shm ] || chmod 711 "$base"; } && chmod 755 "$T" && chown 65534:65534 "$T/user" "$T/cache" || exit 1
fi
export AYNI=$T/src/ayni AYNI_CACHE=$T/cache AYNI_CORPUS=usr
mkdir -m 1777 "$T/tmp" && export TMPDIR=$T/tmp # ours may be closed to the plain user

# Released once, by the plain user, so that both can read all of it.
mapfile -t pair < <("${plain[@]}" "$T/src/tests/corpus.sh" pair)
[ ${#pair[@]} = 2 ] || fail "no trees"
cd "$T/pub" || exit 1
publish() { # SERIAL TREE OPTION...
	"$AYNI" publish --repo "$1" --branch classroom/stable --key ../key --json "${@:3}" "$2" >"$1.json" || fail "publish $1"
}
"$AYNI" keygen -s ../key -p ../key.pub --no-password >/dev/null &&
	"$AYNI" root new --fleet demo --key ../key.pub --sign ../key -o root.ayni >/dev/null || fail "keys"
publish 1 "${pair[0]}" --root root.ayni --full
cp -a 1 2
publish 2 "${pair[1]}" --no-full
chmod -R a+rX .

demo() { # WHERE COMMAND...
	local where=$1
	shift
	env HOME="$T/$where" AYNI_DEMO_DIR="$T/$where" AYNI_DEMO_RESULTS="$T/$where/results" AYNI_DEMO_PUBLISHED="$T/pub" \
		AYNI_DEMO_LAPTOPS=3 AYNI_DEMO_RATE=3 AYNI_DEMO_LIMIT=300 "$@" "$T/src/tests/demo.sh" >"$T/$where.out" 2>&1
}
check() { # WHERE HOUSE
	sed "s/^/$1 | /" "$T/$1.out"
	grep -qx "house=$2" "$T/$1/results" || fail "not in the house that was meant: $2"
	grep -qx failures=0 "$T/$1/results" || fail "a proof failed"
	grep -q '^In short' "$T/$1.out" || fail "no summary"
	grep -q 'The power of laptop 1 fails' "$T/$1.out" || fail "no power cut"
	[ -z "$(find "$T/$1" -mindepth 1 -maxdepth 1 -name 'ayni-*')" ] || fail "a directory was left behind"
}

# At once, because both wait most of the time.
if [ "$(id -u)" = 0 ]; then
	demo root env &
	running=($!)
	by_root=$!
fi
demo spoiled env AYNI_E2E_HOUSE=loopback AYNI_DEMO_LAPTOPS=2 AYNI_DEMO_SPOIL=yes &
running+=($!)
spoiled=$!
demo user "${plain[@]}" env AYNI_E2E_HOUSE=loopback &
running+=($!)
wait $!
user_rc=$?
root_rc=0
if [ "$(id -u)" = 0 ]; then
	wait "$by_root"
	root_rc=$?
fi
wait $spoiled
spoiled_rc=$?
running=()
if [ -e "$T/root.out" ]; then
	[ $root_rc = 0 ] || fail "as root, exit code $root_rc: $(cat "$T/root.out")"
	house=$(sed -n 's/^house=//p' "$T/root/results")
	check root "$house"
	[ "$house" = netns ] || echo "no network namespaces here: root was on loopback too"
fi
[ $user_rc = 0 ] || fail "as a plain user, exit code $user_rc: $(cat "$T/user.out")"
check user loopback
# What is not as published is seen, and said in the exit code.
[ $spoiled_rc = 1 ] || fail "a spoiled tree, and the exit code is $spoiled_rc: $(cat "$T/spoiled.out")"
[ "$(grep -c "^  \[FAIL\]  1 of 2 trees" "$T/spoiled.out")" = 2 ] || fail "not both looks saw it: $(cat "$T/spoiled.out")"
[ ${#plain[@]} = 0 ] && [ "$(id -u)" = 0 ] && echo "no setpriv here: the plain user was root"

# Too little room is said before anything is begun.
AYNI_DEMO_DIR=/dev/shm AYNI_DEMO_LAPTOPS=1 "$T/src/tests/demo.sh" >"$T/refused" 2>&1 && fail "one laptop was accepted"
grep -q "AYNI_DEMO_LAPTOPS is '1'" "$T/refused" || fail "no word about it: $(cat "$T/refused")"
exit 0
