#!/bin/bash
# SPDX-License-Identifier: MIT
# A classroom updates itself before your eyes: one school server and six laptops, each a process of its own, two
# real releases of a real tree. As root each has a network namespace of its own on one bridge, which lives in a
# namespace too, so that nothing touches this machine's network; otherwise all are on loopback. What is said in the
# end is proved with Debian's tools and the kernel's counters, not with our program's word. Exit code 1 when any
# proof fails.
#
#   AYNI_DEMO_LAPTOPS=6    from 2 to 30
#   AYNI_DEMO_HOUSE        netns or loopback (netns when we may)
#   AYNI_DEMO_RATE         Mbit/s of each link while the update runs (so that one copy takes about 20 s)
#   AYNI_DEMO_DIR          where to work (/var/tmp); a new directory in it, removed at the end
#   AYNI_DEMO_KEEP=yes     keep it
#   AYNI_DEMO_LIMIT=600    seconds after which it gives up
#   AYNI_DEMO_RESULTS      a file for the numbers, as KEY=VALUE
#   AYNI_CORPUS            which trees: see tests/corpus.sh
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/measure.sh
BUILD=${BUILD:-$PWD/build}
AYNI=${AYNI:-$BUILD/ayni}
LAPTOPS=${AYNI_DEMO_LAPTOPS:-6}
LIMIT_S=${AYNI_DEMO_LIMIT:-600}
RESULTS=${AYNI_DEMO_RESULTS:-/dev/null}
BRANCH=classroom/stable
INSTALL_MBIT=200 # the first installation: in the workshop, over cable
SCHOOL=0         # the school's number among the nodes; laptops are 1, 2, ...
OUTAGE_S=3
SETTLE_S=6       # how long a laptop that rolled back is watched
# What the proofs allow. School: the issue's bound. Killed laptop: TCP/IP and Ethernet around 1460 bytes are 4 %,
# acknowledgements of what it gives to others 2 %, hashes and chatter 1 %; what was on its way when the power failed
# is at most a window of each peer.
SCHOOL_COPIES_MAX=2.00
KILLED_COPIES_MAX=1.15

work= watchdog= tty=
[ ! -t 1 ] || tty=yes
pids=()

# ---- words

title_line() { printf '\n%s\n' "$*"; }
say() { printf '  %s\n' "$*"; }
die() {
	echo >&2
	echo "demo: $*" >&2
	exit 1
}
failures=0
proof() { # OK-OR-NOT TEXT
	if [ "$1" = 0 ]; then
		printf '  [ ok ]  %s\n' "$2"
	else
		printf '  [FAIL]  %s\n' "$2"
		failures=$((failures + 1))
	fi
}
name_of() { [ "$1" = $SCHOOL ] && echo school || echo "laptop $1"; }
words() { # 6 -> six
	local w=(no one two three four five six seven eight nine ten eleven twelve)
	echo "${w[$1]:-$1}"
}
seconds() { awk -v ms="$1" 'BEGIN { printf ms < 9950 ? "%.1f s" : "%.0f s", ms / 1000 }'; }

# ---- the end, however it comes

cleanup() {
	trap '' INT TERM HUP
	[ -z "$tty" ] || printf '\033[?25h'
	local p
	for p in "${pids[@]}" $watchdog; do [ -z "$p" ] || kill "$p" 2>/dev/null; done
	for p in "${pids[@]}"; do
		[ -n "$p" ] || continue
		for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
			kill -0 "$p" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL "$p" 2>/dev/null
		wait "$p" 2>/dev/null
	done
	house_down
	[ -n "$work" ] || return
	if [ -n "${AYNI_DEMO_KEEP:-}" ]; then
		echo "kept: $work" >&2
	else
		chmod -R u+rwx "$work" 2>/dev/null
		rm -rf "$work"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT HUP
trap 'die "not done after $LIMIT_S s, given up. The nodes'\'' last words:
$(tail -qn 3 "$work"/*.log 2>/dev/null)"' TERM
watch_over() {
	(
		trap 'kill "$s" 2>/dev/null; exit' TERM
		sleep "$LIMIT_S" &
		s=$!
		wait $s
		kill -TERM $$
	) >/dev/null 2>&1 &
	watchdog=$!
}

# ---- the house: a bridge and one namespace per node, or loopback

net=ayni-$$
house=${AYNI_DEMO_HOUSE:-}
house_choose() {
	if [ -z "$house" ]; then
		house=loopback
		if [ "$(id -u)" = 0 ] && ip netns add "$net-try" 2>/dev/null; then
			ip -n "$net-try" link add try type veth peer name yrt 2>/dev/null && house=netns
			ip netns del "$net-try"
		fi
	fi
	case $house in netns | loopback) ;; *) die "AYNI_DEMO_HOUSE is '$house', not netns or loopback" ;; esac
}
house_up() {
	local n
	[ "$house" = netns ] || return 0
	ip netns add "$net-air" && ip -n "$net-air" link add air type bridge mcast_snooping 0 &&
		ip -n "$net-air" link set air up || return 1
	for ((n = 0; n <= LAPTOPS; n++)); do
		ip netns add "$net-$n" &&
			ip -n "$net-$n" link add eth0 type veth peer name "p$n" netns "$net-air" &&
			ip -n "$net-$n" addr add "10.77.0.$((n + 1))/24" dev eth0 &&
			ip -n "$net-$n" link set lo up && ip -n "$net-$n" link set eth0 up &&
			ip -n "$net-$n" route add 224.0.0.0/4 dev eth0 &&
			ip -n "$net-air" link set "p$n" master air up || return 1
		# Frames as on a real wire, each with its headers, so that the counters mean what they say.
		ip -n "$net-$n" link set eth0 gso_max_segs 1
	done
}
house_down() {
	local n
	[ "$house" = netns ] || return 0
	for ((n = 0; n <= LAPTOPS; n++)); do ip netns del "$net-$n" 2>/dev/null; done
	ip netns del "$net-air" 2>/dev/null
}
house_rate() { # MBIT: both ways of each link
	local n
	rate_mbit=$1
	[ "$house" = netns ] || return 0
	for ((n = 0; n <= LAPTOPS; n++)); do
		tc -n "$net-$n" qdisc replace dev eth0 root tbf rate "$1mbit" burst 32kb latency 200ms &&
			tc -n "$net-air" qdisc replace dev "p$n" root tbf rate "$1mbit" burst 32kb latency 200ms ||
			die "cannot limit the rate of the links (tc, tbf)"
	done
}

start_node() { # N
	local n=$1 where=() what=(--interface eth0)
	if [ "$house" = netns ]; then
		where=(ip netns exec "$net-$n")
	else
		what=(--interface lo --address "127.77.0.$((n + 1))" --port $port --news-port $port
			--chat-port $((port + 1)) --rate "$((rate_mbit * 125))K")
	fi
	if [ "$n" = $SCHOOL ]; then
		what+=(--role school --repo "$work/school")
	else
		what+=(--store "$work/$n")
	fi
	"${where[@]}" "$AYNI" node --config "$work/node.conf" --control "$work/$n.sock" "${what[@]}" \
		>>"$work/$n.log" 2>&1 </dev/null &
	pids[n]=$!
	disown $!
	local i
	for ((i = 0; i < 100; i++)); do
		"$AYNI" status --control "$work/$n.sock" --json >/dev/null 2>&1 && return
		kill -0 "${pids[n]}" 2>/dev/null || break
		sleep 0.1
	done
	die "the node of $(name_of "$n") does not start: $(tail -n 5 "$work/$n.log")"
}
stop_node() { # N [SIGNAL]
	kill "-${2:-TERM}" "${pids[$1]}" 2>/dev/null
	local i
	for ((i = 0; i < 100; i++)); do
		kill -0 "${pids[$1]}" 2>/dev/null || break
		sleep 0.05
	done
	pids[$1]=
}

# sent[n] and received[n]: bytes on each node's link since start_counting. In namespaces the kernel's counters of the
# bridge's ports; on loopback, which has none per process, what the nodes themselves count on their sockets.
count_links() {
	local n in out
	if [ "$house" = netns ]; then
		while read -r n in out; do
			sent[n]=$((in - sent0[n])) received[n]=$((out - received0[n]))
		done < <(ip -n "$net-air" -s -o link show | sed -nE \
			's/^[0-9]+: p([0-9]+)@.*RX: *bytes [^\\]*\\ *([0-9]+) .*TX: *bytes [^\\]*\\ *([0-9]+) .*/\1 \2 \3/p')
		return
	fi
	for ((n = 0; n <= LAPTOPS; n++)); do
		[ -n "${pids[n]:-}" ] || continue
		"$AYNI" status --control "$work/$n.sock" --json >status.link 2>/dev/null || continue
		in=$(json_number socket_bytes_in <status.link) out=$(json_number socket_bytes_out <status.link)
		sent[n]=$((out - sent0[n])) received[n]=$((in - received0[n]))
	done
}
start_counting() {
	local n
	for ((n = 0; n <= LAPTOPS; n++)); do sent0[n]=0 received0[n]=0; done
	count_links
	for ((n = 0; n <= LAPTOPS; n++)); do sent0[n]=${sent[n]:-0} received0[n]=${received[n]:-0}; done
	count_links
}
# A node's own counters begin again at zero when it is started again.
restarted_counting() {
	[ "$house" = netns ] || { sent0[$1]=-${sent[$1]} received0[$1]=-${received[$1]}; }
}

# ---- watching

# One line a laptop: number have target phase had total apply_done apply_total from_peers from_school twice
poll() {
	local i h
	for ((i = 1; i <= LAPTOPS; i++)); do
		[ -n "${pids[i]:-}" ] || continue
		printf '%s ' "$i"
		timeout 3 "$AYNI" status --control "$work/$i.sock" --json 2>/dev/null | tr -d '\n'
		echo
	done | awk '
		function num(key,  s) {
			if (!match($0, "\"" key "\": *[0-9]+")) return 0
			s = substr($0, RSTART, RLENGTH); sub(/.*: */, "", s); return s + 0
		}
		function word(key,  s) {
			if (!match($0, "\"" key "\": *\"[a-z]+")) return "unknown"
			s = substr($0, RSTART, RLENGTH); sub(/.*"/, "", s); return s
		}
		/"branches"/ { printf "%d %d %d %s %.0f %.0f %.0f %.0f %.0f %.0f %.0f\n", $1, num("have"), num("target"),
			word("phase"), num("bytes_had"), num("bytes_total"), num("apply_done"), num("apply_total"),
			num("bytes_from_peers"), num("bytes_from_school"), num("bytes_twice") }' >poll.now
	while read -r i h target[i] phase[i] had[i] total[i] apply_done[i] apply_total[i] peers[i] from_school[i] \
		twice[i]; do
		have[i]=$h
		[ "$h" != "$goal" ] || [ -n "${done_ms[i]:-}" ] || done_ms[i]=$(now_ms)
	done <poll.now
}

part() { # DONE TOTAL: percent
	[ "${2:-0}" -gt 0 ] && echo $(($1 * 100 / $2)) || echo 0
}
# doing and percent of laptop I.
look_at() {
	local i=$1
	percent=0 doing=${phase[i]:-}
	if [ -z "${pids[i]:-}" ]; then
		doing="NO POWER" percent=$(part "${had[i]}" "${total[i]}")
	elif [ "${have[i]:-0}" = "$goal" ]; then
		doing="done, $(seconds $((done_ms[i] - began_ms)))" percent=100
	elif [ "$doing" = collecting ]; then
		doing=collects percent=$(part "${had[i]}" "${total[i]}")
	elif [ "$doing" = applying ]; then
		doing="installs $(part "${apply_done[i]}" "${apply_total[i]}") %" percent=100
	elif [ "$doing" = learning ] || [ "$doing" = searching ]; then
		doing="has heard"
	else
		doing=waits
	fi
}
elapsed() { seconds $(($(now_ms) - began_ms)); }
copies() { ratio "$1" "$bundle_bytes"; }
table_lines=0
draw_table() {
	local i bar filled text
	text=$(printf '  %-10s %7s  %-21s%5s  %-14s %10s %11s' laptop release collected "" "" "from peers" "from school")
	for ((i = 1; i <= LAPTOPS; i++)); do
		look_at "$i"
		filled=$((percent / 5))
		printf -v bar '%*s' $filled ''
		bar=${bar// /#}
		printf -v bar '%-20s' "$bar"
		text+=$(printf '\n  %-10s %7s  [%s]%4d %%  %-14s %10s %11s' "laptop $i" "${have[i]:-0}" "${bar// /.}" "$percent" \
			"$doing" "$(bytes "$((peers[i] - peers0[i]))")" "$(bytes "$((from_school[i] - from_school0[i]))")")
	done
	text+=$(printf '\n  after %s: the school has sent %s = %s copies of the bundle' "$(elapsed)" \
		"$(bytes "${sent[$SCHOOL]}")" "$(copies "${sent[$SCHOOL]}")")
	[ $table_lines = 0 ] || printf '\033[%dA' "$table_lines"
	printf '%s\n' "$text" | sed $'s/$/\033[K/'
	table_lines=$((LAPTOPS + 2))
}
print_line() {
	local i
	printf '  %6s ' "$(elapsed)"
	for ((i = 1; i <= LAPTOPS; i++)); do
		look_at "$i"
		case $doing in
		done*) printf '  %d:done' "$i" ;;
		NO*) printf '  %d:DEAD' "$i" ;;
		installs*) printf '  %d:inst' "$i" ;;
		*) printf '  %d:%2d %%' "$i" "$percent" ;;
		esac
	done
	printf '   school sent %s copies\n' "$(copies "${sent[$SCHOOL]}")"
}
show() { # [now]: the table in place on a terminal, else a line every three seconds
	if [ -n "$tty" ]; then
		draw_table
	elif [ $(($(now_ms) - shown_ms)) -ge 3000 ] || [ -n "${1:-}" ]; then
		print_line
		shown_ms=$(now_ms)
	fi
}
note_line() { # what happens beside the table
	if [ -n "$tty" ] && [ $table_lines != 0 ]; then
		table_lines=0
	fi
	printf '  %6s   %s\n' "$(elapsed)" "$*"
}

# Until all laptops are at release GOAL; EACH is called after every look.
watch_until() { # GOAL SECONDS [EACH]
	local each=${3:-true} i n until
	goal=$1 shown_ms=0 table_lines=0
	until=$(($(now_ms) + $2 * 1000))
	for ((i = 1; i <= LAPTOPS; i++)); do
		done_ms[i]='' had[i]=${had[i]:-0} total[i]=0
		peers0[i]=${peers[i]:-0} from_school0[i]=${from_school[i]:-0}
	done
	while :; do
		poll
		"$each"
		count_links
		n=0
		for ((i = 1; i <= LAPTOPS; i++)); do [ -z "${done_ms[i]}" ] || n=$((n + 1)); done
		[ "$n" -lt "$LAPTOPS" ] || break
		show
		[ "$(now_ms)" -lt $until ] || {
			show now
			die "not all laptops are at release $goal after $2 s. Their problems:
$(for ((i = 1; i <= LAPTOPS; i++)); do
	echo "laptop $i: $("$AYNI" status --control "$work/$i.sock" 2>&1 | tail -n 8; tail -n 3 "$work/$i.log")"
done)"
		}
		sleep 0.2
	done
	ended_ms=$(now_ms)
	show now
}

# The power of one laptop fails when it has about half, and comes back.
victim=
cut_ms= cut_had= cut_link= back_ms=
power() {
	local v=$victim
	if [ -z "$cut_ms" ] && [ "${phase[v]}" = collecting ] && [ "${total[v]}" -gt 0 ] &&
		[ "$(part "${had[v]}" "${total[v]}")" -ge 45 ]; then
		count_links
		kill -KILL "${pids[v]}"
		cut_ms=$(now_ms) cut_had=${had[v]}
		stop_node "$v" KILL
		count_links
		cut_link=${received[v]}
		note_line "The power of laptop $v fails (kill -9): it had $(part "$cut_had" "${total[v]}") % of the bundle."
	elif [ -n "$cut_ms" ] && [ -z "$back_ms" ] && [ $(($(now_ms) - cut_ms)) -ge $((OUTAGE_S * 1000)) ]; then
		restarted_counting "$v"
		start_node "$v"
		back_ms=$(now_ms)
		peers0[v]=0 from_school0[v]=0
		note_line "The power is back; laptop $v starts again."
	fi
}

# ---- here we go

began_demo_ms=$(now_ms)
[[ $LAPTOPS =~ ^[0-9]+$ ]] && [ "$LAPTOPS" -ge 2 ] && [ "$LAPTOPS" -le 30 ] ||
	die "AYNI_DEMO_LAPTOPS is '$LAPTOPS', not a number from 2 to 30"
[ -x "$AYNI" ] || die "$AYNI is missing: make"
victim=$((LAPTOPS / 2))
house_choose
dir=${AYNI_DEMO_DIR:-/var/tmp}
port=$((20000 + ($$ % 10000) * 2))

echo "Ayni: a classroom updates itself"
echo
echo "  One school server and $(words "$LAPTOPS") laptops, each a real process$([ $house = netns ] && echo " in a network of its own")."
echo "  A release comes into the school once; the laptops pass it on to each other."

# Space first: two trees a laptop, and the bundles.
get_pair() {
	mapfile -t pair < <(tests/corpus.sh pair)
	[ ${#pair[@]} = 2 ] || die "no trees to show"
	old=${pair[0]} new=${pair[1]}
	old_bytes=$(tree_bytes "$old") new_bytes=$(tree_bytes "$new")
	need=$((LAPTOPS * (old_bytes + new_bytes) * 12 / 10 + old_bytes + 100000000))
}
title_line "Two releases of a real tree"
get_pair 2> >(sed 's/^/  /' >&2)
if [ "$(free_bytes "$dir")" -lt $need ] && [ -z "${AYNI_CORPUS:-}" ]; then
	say "$dir has $(bytes "$(free_bytes "$dir")") free; these trees need $(bytes $need). So smaller ones."
	export AYNI_CORPUS=usr
	get_pair 2> >(sed 's/^/  /' >&2)
fi
[ "$(free_bytes "$dir")" -ge $need ] || die "$dir has $(bytes "$(free_bytes "$dir")") free, but $(words "$LAPTOPS") laptops with two \
releases each need $(bytes $need). Set AYNI_DEMO_DIR to a directory with more, or AYNI_DEMO_LAPTOPS to fewer."
work=$(mktemp -d "$dir/ayni-demo.XXXXXX") || die "cannot make a directory in $dir (AYNI_DEMO_DIR)"
cd "$work" || exit 1
watch_over
: >node.conf
old_print=$(fingerprint "$old") new_print=$(fingerprint "$new")
say "release 1: $(title "$old"): $(tree_entries "$old") entries, $(bytes "$old_bytes")"
say "release 2: $(title "$new"): $(tree_entries "$new") entries, $(bytes "$new_bytes")"

title_line "The publisher signs release 1"
publish() { # TREE OPTION...
	local tree=$1 start
	shift
	start=$(now_ms)
	"$AYNI" publish --repo publisher --branch $BRANCH --key key --json "$@" "$tree" >published.json 2>publish.log ||
		die "publish failed: $(cat publish.log)"
	manifest=$(json_text manifest <published.json)
	bundle_bytes=$(sed -n '/"bundles"/,$p' published.json | json_number bytes)
	publish_ms=$(($(now_ms) - start))
}
# What the stick brings: the immutable files, and then the head, which says that they are all there.
carry() {
	local f
	while read -r f; do
		[ ! -e "school/$f" ] || [[ $f == */head ]] || continue
		mkdir -p "school/${f%/*}" && cp "publisher/$f" "school/$f.new" && mv "school/$f.new" "school/$f" ||
			die "cannot copy $f to the school"
	done < <(cd publisher && find ./ayni-repo roots releases manifests offers bundles -type f && find branches -name head)
}
"$AYNI" keygen -s key -p key.pub --no-password >setup.log 2>&1 &&
	"$AYNI" root new --fleet demo --key key.pub --sign key -o root.ayni >>setup.log 2>&1 ||
	die "cannot make the keys: $(cat setup.log)"
publish "$old" --root root.ayni --full --name 1
full_bytes=$bundle_bytes
say "signed in $(seconds "$publish_ms"); to install it from nothing takes a bundle of $(bytes "$full_bytes")"

carry
title_line "The classroom is switched on; every laptop is empty and installs release 1"
owner=()
[ "$(id -u)" = 0 ] || owner=(--owner-me)
for ((i = 1; i <= LAPTOPS; i++)); do
	"$AYNI" init --store "$work/$i" --root root.ayni --branch $BRANCH "${owner[@]}" >setup.log 2>&1 ||
		die "cannot make the store of laptop $i: $(cat setup.log)"
done
house_up || die "cannot make the network namespaces"
rate_mbit=$INSTALL_MBIT
if [ $house = netns ]; then
	house_rate $INSTALL_MBIT
	say "links: $INSTALL_MBIT Mbit/s each way, as over cable in the workshop"
else
	say "links: loopback, because $([ "$(id -u)" = 0 ] && echo "there are no network namespaces here" || echo "we are not root")"
fi
sent0=() received0=()
sent=() received=()
for ((i = 0; i <= LAPTOPS; i++)); do start_node $i; done
start_counting
began_ms=$(now_ms)
watch_until 1 240
install_ms=$((ended_ms - began_ms)) install_copies=$(copies "${sent[$SCHOOL]}")
say "all $(words "$LAPTOPS") have release 1 after $(seconds $install_ms); the school sent $install_copies copies of $(bytes "$full_bytes")"

title_line "The publisher signs release 2"
publish "$new" --no-full --name 2
say "signed in $(seconds "$publish_ms"): a bundle of $(bytes "$bundle_bytes") turns release 1 into release 2 ($(bytes "$new_bytes"))"

# One copy of the bundle through one link in about 20 s, so that there is something to see.
mbit=${AYNI_DEMO_RATE:-$((bundle_bytes * 8 / 20000000))}
[ "$mbit" -ge 1 ] || mbit=1
[ "$mbit" -le 80 ] || [ -n "${AYNI_DEMO_RATE:-}" ] || mbit=80
title_line "Everybody updates, while one laptop loses its power in the middle"
house_rate "$mbit"
if [ $house = netns ]; then
	say "links: now $mbit Mbit/s each way, as on a busy classroom radio"
else
	# On loopback a node limits itself, by an option that it reads at its start.
	for ((i = 0; i <= LAPTOPS; i++)); do stop_node $i; done
	for ((i = 0; i <= LAPTOPS; i++)); do start_node $i; done
	peers=() from_school=()
	say "links: each node now sends at most $mbit Mbit/s, by its own --rate"
fi
start_counting
began_ms=$(now_ms)
carry
say "a stick brings release 2 to the school"
echo
watch_until 2 240 power
update_ms=$((ended_ms - began_ms))
sleep 1
count_links

# ---- the proofs

parallel() { # FUNCTION: for each laptop, at once; its output in FUNCTION.N
	local i jobs=()
	for ((i = 1; i <= LAPTOPS; i++)); do
		"$1" "$i" >"$1.$i" 2>&1 &
		jobs+=($!)
	done
	wait "${jobs[@]}"
}
print_tree() { fingerprint "$work/$1"/branches/*/current/; }
verify_tree() { "$AYNI" verify $BRANCH --store "$work/$1"; }
current_manifest() { "$AYNI" list $BRANCH --store "$work/$1" --json | tr -d '\n' | sed 's/}/}\n/g' | grep '"current": true' | json_text manifest; }
count_same() { # FUNCTION WANTED: how many laptops answer that
	local i n=0
	for ((i = 1; i <= LAPTOPS; i++)); do [ "$(cat "$1.$i")" != "$2" ] || n=$((n + 1)); done
	echo $n
}
is() { [ "$1" = "$2" ]; echo $?; }

title_line "Proof 1: every laptop has what the publisher published"
parallel print_tree
n=$(count_same print_tree "$new_print")
proof "$(is "$n" "$LAPTOPS")" "$n of $LAPTOPS trees equal the publisher's directory: names, kinds, modes, links, SHA-256 of
          every file, read again now by Debian's find and sha256sum (${new_print:0:16}...)"
parallel verify_tree
n=$(grep -lE "^$BRANCH 2: every path is what its release says" verify_tree.* | wc -l)
proof "$(is "$n" "$LAPTOPS")" "$n of $LAPTOPS trees pass \`ayni verify\`, which reads all of them against the signed manifest"
parallel current_manifest
n=$(count_same current_manifest "$manifest")
proof "$(is "$n" "$LAPTOPS")" "$n of $LAPTOPS name the manifest that \`ayni publish\` printed (${manifest:0:16}...)"

if [ $house = netns ]; then
	counted_by="counted by the kernel on each link, headers and chatter included"
else
	counted_by="counted by the nodes themselves, since loopback has no counters for each"
fi
title_line "Proof 2: the school sent the update about once, not $(words "$LAPTOPS") times"
school_copies=$(copies "${sent[$SCHOOL]}")
at_most "$school_copies" $SCHOOL_COPIES_MAX
proof $? "its link carried $(bytes "${sent[$SCHOOL]}") = $school_copies copies of the bundle (at most $SCHOOL_COPIES_MAX);
          $counted_by"
from_others=0
for ((i = 1; i <= LAPTOPS; i++)); do from_others=$((from_others + sent[$i])); done
say "        the laptops gave each other $(bytes "$from_others") = $(copies "$from_others") copies"

title_line "Proof 3: the laptop that lost its power fetched nothing twice"
killed_copies=0
if [ -z "$cut_ms" ]; then
	proof 1 "no laptop was caught in the middle of its update: it was too quick (AYNI_DEMO_RATE to a lower one)"
else
	killed_copies=$(copies "${received[$victim]}")
	at_most "$killed_copies" $KILLED_COPIES_MAX
	proof $? "over both lives its link carried $(bytes "${received[$victim]}") = $killed_copies bundles (at most $KILLED_COPIES_MAX)"
	say "        when the power failed it had $(bytes "$cut_had") of $(bytes "$bundle_bytes"); before that its link had carried"
	say "        $(bytes "$cut_link"), afterwards $(bytes $((received[victim] - cut_link)))"
fi

title_line "Proof 4: a laptop goes back"
r=1
start=$(now_ms)
"$AYNI" rollback $BRANCH --store "$work/$r" --control "$work/$r.sock" >rollback.log 2>&1
ok=$?
rollback_ms=$(($(now_ms) - start))
proof $ok "\`ayni rollback\` on laptop $r took $(seconds $rollback_ms)$([ $ok = 0 ] || { echo ": "; cat rollback.log; })"
[ "$(print_tree $r)" = "$old_print" ]
proof $? "its tree equals release 1 of the publisher, again by find and sha256sum"
verify_tree $r >verify.log 2>&1 && grep -q "^$BRANCH 1: every path" verify.log
proof $? "and \`ayni verify\` says so too"
sleep $SETTLE_S
poll
[ "${have[r]}" = 1 ] && [ "${phase[r]}" = held ] && [ "$(print_tree $r)" = "$old_print" ]
proof $? "$SETTLE_S s later, among laptops that all have release 2, it still has release 1 (status: ${phase[r]})"
others=0
for ((i = 2; i <= LAPTOPS; i++)); do [ "${have[i]}" != 2 ] || others=$((others + 1)); done
[ $others = $((LAPTOPS - 1)) ]
proof $? "the others have stayed at release 2"
alive=0
for ((i = 0; i <= LAPTOPS; i++)); do kill -0 "${pids[i]}" 2>/dev/null && alive=$((alive + 1)); done
proof "$(is $alive $((LAPTOPS + 1)))" "all $((LAPTOPS + 1)) nodes are still running"

{
	echo "house=$house"
	echo "laptops=$LAPTOPS"
	echo "bundle_bytes=$bundle_bytes"
	echo "full_bytes=$full_bytes"
	echo "install_copies=$install_copies"
	echo "install_ms=$install_ms"
	echo "update_ms=$update_ms"
	echo "rate_mbit=$mbit"
	echo "school_bytes=${sent[$SCHOOL]}"
	echo "school_copies=$school_copies"
	echo "killed_bytes=${received[$victim]}"
	echo "killed_copies=$killed_copies"
	echo "killed_copies_max=$KILLED_COPIES_MAX"
	echo "rollback_ms=$rollback_ms"
	echo "counted_by=$counted_by"
	echo "failures=$failures"
} >"$RESULTS"

title_line "In short"
say "$(words "$LAPTOPS" | sed 's/./\u&/') laptops went from one release to the next, $(bytes "$new_bytes") in $(tree_entries "$new") entries, in $(seconds $update_ms)"
say "over links of $mbit Mbit/s. The update is $(bytes "$bundle_bytes"); the school sent $school_copies copies of it, the laptops each other"
say "the rest. One lost its power half-way and went on where it had stopped. $([ $failures = 0 ] && echo "All of them now hold exactly
  what the publisher signed, and one went back to the release before in $(seconds $rollback_ms).")"
say "The whole demo took $(seconds $(($(now_ms) - began_demo_ms)))."
if [ $failures != 0 ]; then
	echo
	echo "demo: $failures of its proofs failed." >&2
	exit 1
fi
