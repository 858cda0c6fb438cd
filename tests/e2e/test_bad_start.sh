#!/bin/bash
# SPDX-License-Identifier: MIT
# A node that cannot start says what, where, why and what to do, with a non-zero exit code, at once; what was there
# before is not harmed.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh

make_house 3
make_tree "$T/one" 1 1
publish_tree "$T/one"
init_laptop 1
tests=0

# expect CODE TEXT COMMAND...: within 10 s it ends with the code, and its complaint has the text in it.
expect() {
	local code=$1 text=$2 rc
	shift 2
	tests=$((tests + 1))
	(timeout 10 "$@") >"$T/out" 2>&1
	rc=$?
	[ "$rc" = "$code" ] && grep -qF -- "$text" "$T/out" && return
	fail "exit code $rc, not $code with \"$text\": $*: $(tail -n 3 "$T/out")"
}
# A node of our own making, where node 1 lives.
node() { node_options 1 && in_space 1 timeout 10 "$AYNI" node "${as[@]}" "$@"; }
expect_node() { # CODE TEXT OPTION...
	local code=$1 text=$2 rc
	shift 2
	tests=$((tests + 1))
	(node "$@") >"$T/out" 2>&1
	rc=$?
	[ "$rc" = "$code" ] && grep -qF -- "$text" "$T/out" && return
	fail "exit code $rc, not $code with \"$text\": node $*: $(tail -n 3 "$T/out")"
}

say "command line and configuration"
expect_node 2 "port = 99999: must be a number" --port 99999
expect_node 2 "unknown option" --prot 1
expect_node 2 "role school needs the repository" --role school
expect_node 2 "node takes no arguments" now
printf '[node]\nstore = /x\nrole = teacher\n' >"$T/bad.conf"
expect_node 2 "bad.conf:3: role = teacher: must be laptop or school" --config "$T/bad.conf"
printf '[node]\nport: 1\n' >"$T/bad.conf"
mkdir "$T/bad.conf.d"
printf '[node]\n\npeers = school.local\n' >"$T/bad.conf.d/10.conf"
expect_node 2 "10.conf:3: peers = school.local: must be IP addresses" --config "$T/bad.conf"
expect_node 1 "missing.conf" --config "$T/missing.conf"

say "store"
expect_node 1 "\`ayni init\` makes a store" --store "$T/nowhere"
mkdir "$T/full" && touch "$T/full/something"
expect_node 1 "no store there" --store "$T/full"
"$AYNI" init --store "$T/noroot" --branch $BRANCH "${owner[@]}" >/dev/null 2>&1
expect_node 1 "ayni init --root" --store "$T/noroot"
cp -a "$T/1" "$T/newer"
echo "ayni-store 99" >"$T/newer/VERSION"
expect_node 1 "upgrade ayni" --store "$T/newer"
cp -a "$T/1" "$T/readonly"
if [ "$(id -u)" = 0 ]; then
	# Root writes everywhere but on what is mounted read-only.
	if unshare -m true 2>/dev/null; then
		node_options 1
		expect 1 "$T/readonly" unshare -m sh -c "mount --bind '$T/readonly' '$T/readonly' &&
			mount -o remount,bind,ro '$T/readonly' &&
			exec '$AYNI' node --config '$T/empty.conf' --control '$T/x.sock' --store '$T/readonly' --interface lo --address 127.66.0.9 --port 0"
	fi
else
	find "$T/readonly" -exec chmod a-w {} +
	expect_node 1 "$T/readonly" --store "$T/readonly"
fi

say "repository"
expect_node 1 "repository" --role school --repo "$T/nowhere"
mkdir -p "$T/emptyrepo" && cp "$T/repo/ayni-repo" "$T/emptyrepo/"
expect_node 1 "root" --role school --repo "$T/emptyrepo"

say "network"
expect_node 1 "there is no interface nosuchif0" --interface nosuchif0
expect_node 1 "no interface of this machine has that address" --address 192.0.2.99
if [ "$house" = netns ]; then
	# Only a loopback without an address: no multicast anywhere.
	add_space "$net-void"
	expect 1 "no multicast on any interface" ip netns exec "$net-void" "$AYNI" node --config "$T/empty.conf" \
		--control "$T/x.sock" --store "$T/1"
	# With a peer it runs, and says what is missing.
	(exec ip netns exec "$net-void" "$AYNI" node --config "$T/empty.conf" --control "$T/x.sock" --store "$T/1" \
		--peers 192.0.2.1) >"$T/x.log" 2>&1 &
	extra_pids+=($!)
	disown $!
	wait_for "a node without multicast but with a peer" test -S "$T/x.sock"
	wait_for "its warning" grep -q "only the 1 configured peers" "$T/x.log"
	"$AYNI" status --control "$T/x.sock" | grep -q "Problem: no interface" || fail "status does not say it"
	kill "${extra_pids[-1]}"
	wait_for "its end" test ! -e "$T/x.sock"
fi

say "somebody else is there"
start_node 1
expect_node 1 "another node has the store" --control "$T/other.sock" --port 0
mkdir "$T/2" && cp -a "$T/1/." "$T/2/"
expect_node 1 "another node answers at $T/1.sock" --store "$T/2"
expect_node 1 "another node?" --store "$T/2" --control "$T/other.sock" --port "$(tcp_port)"
[ -S "$T/1.sock" ] || fail "the control socket of the first one is gone"
is_current 0 1 || fail "the first one was harmed"
expect 1 "no node is running at $T/none.sock" "$AYNI" status --control "$T/none.sock"
expect 1 "no node is running at $T/none.sock" "$AYNI" update --control "$T/none.sock"
expect 1 "does not follow branch other" "$AYNI" update other --control "$T/1.sock"
expect 2 "update takes one branch" "$AYNI" update a b --control "$T/1.sock"

say "signals"
for signal in TERM INT; do
	node_options 2
	(in_space 2 "$AYNI" node "${as[@]}") >"$T/2$signal.log" 2>&1 &
	waited=$!
	wait_for "node 2" grep -qs "laptop ready" "$T/2$signal.log"
	kill -$signal "$(pgrep -P $waited || echo $waited)"
	wait $waited
	rc=$?
	[ $rc = 0 ] || fail "exit code $rc after SIG$signal: $(cat "$T/2$signal.log")"
done

say "left over by a kill"
stop_node 1 KILL
[ -S "$T/1.sock" ] || fail "a killed node cannot have cleaned up"
start_node 1
start=$EPOCHREALTIME
stop_node 1
[ $(((${EPOCHREALTIME/./} - ${start/./}) / 1000)) -lt 3000 ] || fail "SIGTERM took long"
[ ! -e "$T/1.sock" ] || fail "the control socket was left behind"
grep -q goodbye "$T/1.log" || fail "no goodbye in the log"
say "$tests complaints were right"
exit 0
