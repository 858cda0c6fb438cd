# SPDX-License-Identifier: MIT
# What the e2e tests have in common; sourced. A house is a publisher's repository and some nodes, each in a network
# namespace of its own on one bridge when we are root, else on loopback addresses 127.x.y.N.
#
#     make_house 3                  node 0 is the school, 1 and 2 are laptops; nothing runs yet
#     publish_tree tree1            release the directory
#     init_laptop 1                 a store that follows the branch
#     start_node 1 [OPTION...]      and wait until it answers
#     wait_all_current 2 1 2        until laptops 1 and 2 are at serial 2
#
# Whatever happens, at the end every process is killed and every namespace removed.
. tests/measure.sh
set -u
export LC_ALL=C
AYNI=${AYNI:-$PWD/build/ayni}
BRANCH=xo/stable
WAIT_S=${WAIT_S:-60} # how long anything may take; generous, because machines are shared

T=$(mktemp -d "${TMPDIR:-/tmp}/ayni-e2e.XXXXXX") || exit 1
declare -A pid=()
spaces=() # network namespaces
mounts=()
net=aye$$ # interface names have room for 15 bytes
house=loopback

say() { echo "--- $*"; }
fail() {
	echo "FAILED: $*"
	local n
	for n in "${!pid[@]}"; do
		echo "node $n:"
		"$AYNI" status --control "$T/$n.sock" 2>&1 | sed 's/^/    /'
		tail -n 25 "$T/$n.log" 2>/dev/null | sed 's/^/    | /'
	done
	exit 1
}

cleanup() {
	local rc=$? n
	trap - EXIT INT TERM HUP
	for n in "${!pid[@]}"; do kill -KILL "${pid[$n]}" 2>/dev/null; done
	for n in "${extra_pids[@]}"; do kill -KILL "$n" 2>/dev/null; done
	wait 2>/dev/null
	for n in "${spaces[@]}"; do ip netns del "$n" 2>/dev/null; done
	for n in "${mounts[@]}"; do umount -l "$n" 2>/dev/null; done
	chmod -R u+rwx "$T" 2>/dev/null
	rm -rf "$T"
	exit $rc
}
extra_pids=() # of a test's own helpers
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

may_netns() {
	[ "$(id -u)" = 0 ] && command -v ip >/dev/null || return 1
	ip netns add "$net-try" 2>/dev/null || return 1
	local ok=1
	ip -n "$net-try" link add try type veth peer name yrt 2>/dev/null && ok=0
	ip netns del "$net-try"
	return $ok
}

add_space() { # NAME
	ip netns add "$1" && spaces+=("$1")
}

# One bridge, a namespace per node: node n has 10.66.0.n+1 on eth0 and port p<n> on the bridge.
make_house() { # NODES
	nodes=$1
	[ "${AYNI_E2E_HOUSE:-}" != loopback ] && may_netns && house=netns
	say "house: $house, $nodes nodes"
	if [ "$house" = netns ]; then
		add_space "$net-air" && ip -n "$net-air" link add air type bridge mcast_snooping 0 &&
			ip -n "$net-air" link set air up || fail "cannot make a bridge"
		local n
		for ((n = 0; n < nodes; n++)); do
			add_space "$net-$n" &&
				ip -n "$net-$n" link add eth0 type veth peer name "p$n" netns "$net-air" &&
				ip -n "$net-$n" addr add "10.66.0.$((n + 1))/24" dev eth0 &&
				ip -n "$net-$n" link set lo up && ip -n "$net-$n" link set eth0 up &&
				ip -n "$net-air" link set "p$n" master air up || fail "cannot make namespace $n"
		done
	else
		# Ports of our own, so that houses of other tests and a real node are elsewhere.
		base_port=$((20000 + $$ % 20000))
	fi
	owner=()
	[ "$(id -u)" = 0 ] || owner=(--owner-me)
	"$AYNI" keygen -s "$T/secret.key" -p "$T/public.key" --no-password >"$T/setup.log" 2>&1 &&
		"$AYNI" root new --fleet e2e --key "$T/public.key" --sign "$T/secret.key" -o "$T/root.ayni" >>"$T/setup.log" 2>&1 ||
		fail "cannot make keys: $(cat "$T/setup.log")"
}

# A link of so many Mbit/s, both ways (namespaces only; on loopback use --rate).
limit_link() { # N MBIT
	[ "$house" = netns ] || return 0
	tc -n "$net-$1" qdisc replace dev eth0 root tbf rate "$2mbit" burst 32kb latency 200ms &&
		tc -n "$net-air" qdisc replace dev "p$1" root tbf rate "$2mbit" burst 32kb latency 200ms ||
		fail "cannot limit the link of node $1 (tc, tbf)"
}

# Bytes that came to node N over its link so far. On loopback, which has no counters per process, what the node counts
# on its sockets.
received_bytes() { # N
	if [ "$house" = netns ]; then
		ip netns exec "$net-$1" cat /sys/class/net/eth0/statistics/rx_bytes
	else
		status_of "$1" | json_number socket_bytes_in
	fi
}

address_of() { # N
	if [ "$house" = netns ]; then echo "10.66.0.$(($1 + 1))"; else echo "127.66.0.$(($1 + 1))"; fi
}
tcp_port() { if [ "$house" = netns ]; then echo 24953; else echo "$base_port"; fi; }
in_space() { # N COMMAND...: becomes the command, where node N lives; so only in ( ) or with &
	local n=$1
	shift
	if [ "$house" = netns ]; then exec ip netns exec "$net-$n" "$@"; else exec "$@"; fi
}

publish_tree() { # DIR [OPTION...]: the next release
	local tree=$1
	shift
	local root=()
	[ -e "$T/repo" ] || root=(--root "$T/root.ayni")
	"$AYNI" publish --repo "$T/repo" --branch $BRANCH --key "$T/secret.key" "${root[@]}" "$@" "$tree" >>"$T/setup.log" 2>&1 ||
		fail "publish: $(tail -n 5 "$T/setup.log")"
}

init_laptop() { # N
	"$AYNI" init --store "$T/$1" --root "$T/root.ayni" --branch $BRANCH "${owner[@]}" >>"$T/setup.log" 2>&1 ||
		fail "init: $(tail -n 5 "$T/setup.log")"
}

# Everything `ayni node` needs to be node N, in the array `as`.
node_options() { # N
	as=(--config "$T/empty.conf" --control "$T/$1.sock")
	[ -e "$T/empty.conf" ] || : >"$T/empty.conf"
	if [ "$house" = netns ]; then
		as+=(--interface eth0)
	else
		as+=(--interface lo --address "$(address_of "$1")" --port "$base_port" --news-port "$base_port"
			--chat-port $((base_port + 1)))
	fi
	if [ "$1" = 0 ]; then as+=(--role school --repo "$T/repo"); else as+=(--store "$T/$1"); fi
}

start_node() { # N [OPTION...]
	local n=$1 i
	shift
	node_options "$n"
	in_space "$n" "$AYNI" node "${as[@]}" "$@" >>"$T/$n.log" 2>&1 </dev/null &
	pid[$n]=$!
	disown $!
	for ((i = 0; i < WAIT_S * 10; i++)); do
		"$AYNI" status --control "$T/$n.sock" --json >/dev/null 2>&1 && return
		kill -0 "${pid[$n]}" 2>/dev/null || break
		sleep 0.1
	done
	fail "node $n does not start"
}

stop_node() { # N [SIGNAL]
	local i
	kill "-${2:-TERM}" "${pid[$1]}" 2>/dev/null
	for ((i = 0; i < 100; i++)); do
		if ! kill -0 "${pid[$1]}" 2>/dev/null; then
			unset "pid[$1]"
			return 0
		fi
		sleep 0.05
	done
	fail "node $1 does not end"
}

status_of() { "$AYNI" status --control "$T/$1.sock" --json 2>/dev/null; } # N
number_of() { # N KEY
	local v
	v=$(status_of "$1" | json_number "$2")
	echo "${v:-0}"
}

wait_for() { # WHAT COMMAND...: until it succeeds
	local what=$1 i
	shift
	for ((i = 0; i < WAIT_S * 5; i++)); do
		"$@" && return
		sleep 0.2
	done
	fail "$what: not within $WAIT_S s"
}
is_current() { [ "$(number_of "$2" have)" = "$1" ]; } # SERIAL N
wait_all_current() { # SERIAL N...
	local serial=$1 n
	shift
	for n in "$@"; do wait_for "laptop $n at serial $serial" is_current "$serial" "$n"; done
}

tree_of() { # N: where its current tree is
	local d
	for d in "$T/$1"/branches/*/current; do
		echo "$d"
		return
	done
}
check_tree() { # N DIR: the laptop has exactly this, and ayni says so too
	local have
	have=$(tree_of "$1")
	[ "$(fingerprint "$have/")" = "$(fingerprint "$2/")" ] || fail "the tree of laptop $1 is not $2"
	"$AYNI" verify $BRANCH --store "$T/$1" >>"$T/setup.log" 2>&1 || fail "verify: $(tail -n 5 "$T/setup.log")"
}

# A tree of about MIB megabytes of random text: a bundle of it is about three quarters as large.
make_tree() { # DIR MIB NAME
	local f deep
	mkdir -p "$1/bin" "$1/lib/deep/er" "$1/share/empty"
	for ((f = 0; f < $2 * 4; f++)); do
		deep=
		[ $((f % 3)) != 0 ] || deep=deep/er/
		head -c 194000 /dev/urandom | base64 >"$1/lib/${deep}file$f"
	done
	printf '#!/bin/sh\necho %s\n' "$3" >"$1/bin/hello"
	chmod 755 "$1/bin/hello"
	ln -s ../lib/file1 "$1/bin/link"
}
# The next version: some files changed a little, one new, one gone, one renamed.
change_tree() { # DIR SEED
	local f i=0
	for f in "$1"/lib/file*; do
		i=$((i + 1))
		[ $((i % 3)) != 0 ] || sed -i "5s/^.*/changed by $2/; 99s/a/b/g" "$f"
	done
	make_tree "$1/new$2" 1 "$2"
	rm "$1/lib/file2"
	mv "$1/lib/file1" "$1/lib/file1-renamed"
}
