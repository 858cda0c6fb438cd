#!/bin/bash
# SPDX-License-Identifier: MIT
# A classroom updates itself before your eyes: one school server and six laptops, each a process of its own, two
# real releases of a real tree. As root each has a network namespace of its own on one bridge, which lives in a
# namespace too, so that nothing touches this machine's network; otherwise all are on loopback. What is said in the
# end is proved with Debian's tools and the kernel's counters, not with our program's word. Exit code 1 when any
# proof fails.
#
#   AYNI_DEMO_LAPTOPS=6      from 2 to 30
#   AYNI_DEMO_RATE           Mbit/s of each link while the update runs (so that one copy takes about 20 s)
#   AYNI_DEMO_DIR            where to work (/var/tmp); a new directory in it, removed at the end
#   AYNI_DEMO_KEEP=yes       keep it
#   AYNI_DEMO_LIMIT=1200     seconds after which it gives up
#   AYNI_DEMO_RESULTS        a file for the numbers, as KEY=VALUE
#   AYNI_DEMO_PUBLISHED      take what was published before: 1/ 1.json 2/ 2.json root.ayni (the bench does)
#   AYNI_DEMO_SPOIL=yes      change a byte in the last laptop's tree, so that the proofs must fail (a test does)
#   AYNI_CORPUS              which trees: see tests/corpus.sh
#   AYNI_E2E_HOUSE=loopback  no namespaces, also as root
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-$PWD/build}
export AYNI=${AYNI:-$BUILD/ayni}
export TMPDIR=${AYNI_DEMO_DIR:-/var/tmp}
LAPTOPS=${AYNI_DEMO_LAPTOPS:-6}
LIMIT_S=${AYNI_DEMO_LIMIT:-1200}
RESULTS=${AYNI_DEMO_RESULTS:-/dev/null}
INSTALL_MBIT=200 # the first installation: in the workshop, over cable
INSTALL_S=240    # until everybody must have it
UPDATE_S=600 # all laptops pack a kernel image again on the cores of this one machine: two quiet ones need a minute
OUTAGE_S=3
SETTLE_S=6       # how long the laptop that went back is watched
# What the proofs allow.
SCHOOL_COPIES_MAX=2.00 # the issue's bound
# Headers around 1448 bytes are 4.6 %, acknowledgements of what a laptop gives to others 2.3 %, chatter 1 %; the rest
# is what TCP sends again when seven share a link.
LAPTOP_COPIES_MAX=1.15

began_demo_ms=$((${EPOCHREALTIME/./} / 1000))
die() {
	echo >&2
	echo "demo: $*" >&2
	exit 1
}
[[ $LAPTOPS =~ ^[0-9]+$ ]] && [ "$LAPTOPS" -ge 2 ] && [ "$LAPTOPS" -le 30 ] ||
	die "AYNI_DEMO_LAPTOPS is '$LAPTOPS', not a number from 2 to 30"
[ -x "$AYNI" ] || die "$AYNI is missing: make"
. tests/e2e/lib.sh
BRANCH=classroom/stable

# ---- words

title() { printf '\n%s\n' "$*"; }
say() { printf '  %s\n' "$*"; }
more() { printf '          %s\n' "$*"; } # below a proof
fail() { # lib.sh's: something does not work at all
	local n
	echo >&2
	echo "demo: $*" >&2
	for n in "${!pid[@]}"; do
		echo "$(name_of "$n"):"
		"$AYNI" status --control "$T/$n.sock" 2>&1 | sed 's/^/    /'
		tail -n 5 "$T/$n.log" 2>/dev/null | sed 's/^/    | /'
	done >&2
	exit 1
}
failures=0
proof() { # EXIT-CODE TEXT
	if [ "$1" = 0 ]; then
		printf '  [ ok ]  %s\n' "$2"
	else
		printf '  [FAIL]  %s\n' "$2"
		failures=$((failures + 1))
	fi
}
name_of() { if [ "$1" = 0 ]; then echo "the school"; else echo "laptop $1"; fi; }
words() { # 6 -> six
	local w=(no one two three four five six seven eight nine ten eleven twelve)
	echo "${w[$1]:-$1}"
}
capital() { sed 's/./\u&/' <<<"$1"; }
seconds() { awk -v ms="$1" 'BEGIN { if (ms < 95) printf "%d ms", ms; else printf ms < 9950 ? "%.1f s" : "%.0f s", ms / 1000 }'; }
elapsed() { awk -v ms=$(($(now_ms) - began_ms)) 'BEGIN { printf ms < 9950 ? "%.1f s" : "%.0f s", ms / 1000 }'; }
copies() { ratio "$1" "$bundle_bytes"; }
percent_of() { if [ "${2:-0}" -gt 0 ]; then echo $(($1 * 100 / $2)); else echo 0; fi; }

# ---- the end, however it comes (after this lib.sh's cleanup: processes, namespaces, directory)

watchdog=
tty=
if [ -t 1 ] && read -r rows columns < <(stty size 2>/dev/null </dev/tty) && [ "$rows" -gt $((LAPTOPS + 4)) ] && [ "$columns" -gt 80 ]; then
	tty=yes
fi
demo_end() {
	local rc=$?
	[ -z "$tty" ] || printf '\033[?25h'
	[ -z "$watchdog" ] || kill "$watchdog" 2>/dev/null
	if [ -n "${AYNI_DEMO_KEEP:-}" ]; then
		echo "kept: $T" >&2
		T=/nonexistent
	fi
	(exit $rc)
	cleanup
}
trap 'die "not done after $LIMIT_S s, given up"' TERM
watch_over() {
	(
		trap 'kill "$s" 2>/dev/null; exit' TERM
		sleep "$LIMIT_S" &
		s=$!
		wait $s
		kill -TERM $$
	) >/dev/null 2>&1 &
	disown $!
	watchdog=$!
}
trap demo_end EXIT

# ---- the links

set_rate() { # MBIT
	local n
	for ((n = 0; n <= LAPTOPS; n++)); do limit_link "$n" "$1"; done
}
# Frames as on a real wire, each with its headers, so that the counters mean what they say.
small_frames() {
	local n
	[ "$house" = netns ] || return 0
	for ((n = 0; n <= LAPTOPS; n++)); do ip -n "$net-$n" link set eth0 gso_max_segs 1; done
}
# sent[n] and received[n]: bytes on each node's link since start_counting. In namespaces the kernel's counters of the
# bridge's ports; on loopback, which has none per process, what the nodes themselves count on their sockets.
sent=() received=() sent0=() received0=()
count_links() {
	local n in out json
	if [ "$house" = netns ]; then
		while read -r n in out; do
			sent[n]=$((in - sent0[n])) received[n]=$((out - received0[n]))
		done < <(ip -n "$net-air" -s -o link show | sed -nE \
			's/^[0-9]+: p([0-9]+)@.*RX: *bytes [^\\]*\\ *([0-9]+) .*TX: *bytes [^\\]*\\ *([0-9]+) .*/\1 \2 \3/p')
		return
	fi
	for n in "${!pid[@]}"; do
		json=$(status_of "$n") || continue
		in=$(json_number socket_bytes_in <<<"$json") out=$(json_number socket_bytes_out <<<"$json")
		sent[n]=$((out - sent0[n])) received[n]=$((in - received0[n]))
	done
}
start_counting() {
	local n
	for ((n = 0; n <= LAPTOPS; n++)); do sent0[n]=0 received0[n]=0 sent[n]=0 received[n]=0; done
	count_links
	for ((n = 0; n <= LAPTOPS; n++)); do sent0[n]=${sent[n]} received0[n]=${received[n]}; done
	count_links
}
# A node's own counters begin again at zero when it is started again.
count_on() { # N
	[ "$house" = netns ] || sent0[$1]=-${sent[$1]} received0[$1]=-${received[$1]}
}

# ---- watching

have=() phase=() had=() total=() apply_done=() apply_total=() peers=() school=() done_ms=() peers0=() school0=()
poll() {
	local n json i
	for ((n = 1; n <= LAPTOPS; n++)); do
		[ -n "${pid[$n]:-}" ] || continue
		json=$(timeout 3 "$AYNI" status --control "$T/$n.sock" --json 2>/dev/null) && echo "$n ${json//$'\n'/ }"
	done | awk '
		function value(key) {
			if (!match($0, "\"" key "\": *\"?[0-9a-z]+")) return 0
			key = substr($0, RSTART, RLENGTH)
			sub(/.*[^0-9a-z]/, "", key)
			return key
		}
		{ print $1, value("have"), value("phase"), value("bytes_had"), value("bytes_total"), value("apply_done"),
			value("apply_total"), value("bytes_from_peers"), value("bytes_from_school") }' >"$T/poll"
	while read -r n json; do
		i=($json)
		have[n]=${i[0]} phase[n]=${i[1]} had[n]=${i[2]} total[n]=${i[3]} apply_done[n]=${i[4]}
		apply_total[n]=${i[5]} peers[n]=${i[6]} school[n]=${i[7]}
		[ "${have[n]}" != "$goal" ] || [ -n "${done_ms[n]:-}" ] || done_ms[n]=$(now_ms)
	done <"$T/poll"
}

# What laptop N does: doing (for the table), cell (for the line), percent.
look_at() {
	local n=$1
	percent=0
	if [ -z "${pid[$n]:-}" ]; then
		percent=$(percent_of "${had[n]}" "${total[n]}") doing="NO POWER" cell=OFF
	elif [ "${have[n]:-0}" = "$goal" ]; then
		percent=100 doing="done, $(seconds $((done_ms[n] - began_ms)))" cell=done
	elif [ "${phase[n]:-}" = collecting ]; then
		percent=$(percent_of "${had[n]}" "${total[n]}")
		doing=collects cell="$percent %"
	elif [ "${phase[n]:-}" = applying ]; then
		percent=100 doing="installs $(percent_of "${apply_done[n]}" "${apply_total[n]}") %"
		cell="i ${doing#installs }"
	elif [ "${phase[n]:-}" = learning ] || [ "${phase[n]:-}" = searching ]; then
		doing="has heard" cell=heard
	else
		doing=waits cell=-
	fi
}
school_line() {
	printf 'school sent %s = %s copies' "$(bytes "${sent[0]}")" "$(copies "${sent[0]}")"
}

table_lines=0
draw_table() {
	local n bar text
	printf -v text '  %-10s %7s  %-25s %-14s %9s %9s' "" release "collected" "" "of peers" "of school"
	for ((n = 1; n <= LAPTOPS; n++)); do
		look_at "$n"
		printf -v bar '%*s' $((percent * 16 / 100)) ''
		printf -v bar '%-16s' "${bar// /#}"
		printf -v text '%s\n  %-10s %7s  [%s] %3d %%  %-14s %9s %9s' "$text" "laptop $n" "${have[n]:-0}" "${bar// /.}" \
			"$percent" "$doing" "$(bytes $((peers[n] - peers0[n])))" "$(bytes $((school[n] - school0[n])))"
	done
	printf -v text '%s\n  after %s: %s' "$text" "$(elapsed)" "$(school_line)"
	[ $table_lines = 0 ] || printf '\033[%dA' $table_lines
	printf '%s\n' "$text" | sed $'s/$/\033[K/'
	table_lines=$((LAPTOPS + 2))
}
line_header() {
	local n
	printf '  %8s' ""
	for ((n = 1; n <= LAPTOPS; n++)); do printf ' %7s' "no. $n"; done
	printf '     (46 %%: collected, i 46 %%: installing)\n'
}
draw_line() {
	local n
	printf '  %8s' "$(elapsed)"
	for ((n = 1; n <= LAPTOPS; n++)); do
		look_at "$n"
		printf ' %7s' "$cell"
	done
	printf '     %s\n' "$(school_line)"
}
show() { # [now]: the table in place on a terminal, else a line every three seconds
	if [ -n "$tty" ]; then
		draw_table
	elif [ $(($(now_ms) - shown_ms)) -ge 3000 ] || [ -n "${1:-}" ]; then
		draw_line
		shown_ms=$(now_ms)
	fi
}
remark() { # stays, above the table
	[ $table_lines = 0 ] || printf '\033[%dA\033[J' $table_lines
	table_lines=0
	printf '  %8s  %s\n' "$(elapsed)" "$*"
}

# Until all laptops are at release GOAL; EACH is called after every look.
watch_until() { # GOAL SECONDS [EACH]
	local each=${3:-true} n count until
	goal=$1 shown_ms=0 table_lines=0
	until=$(($(now_ms) + $2 * 1000))
	for ((n = 1; n <= LAPTOPS; n++)); do
		done_ms[n]='' had[n]=0 total[n]=0 peers0[n]=${peers[n]:-0} school0[n]=${school[n]:-0}
		peers[n]=${peers0[n]} school[n]=${school0[n]}
	done
	[ -z "$tty" ] || printf '\033[?25l'
	[ -n "$tty" ] || line_header
	while :; do
		poll
		"$each"
		count_links
		count=0
		for ((n = 1; n <= LAPTOPS; n++)); do [ -z "${done_ms[n]}" ] || count=$((count + 1)); done
		[ $count -lt "$LAPTOPS" ] || break
		show
		if [ "$(now_ms)" -ge $until ]; then
			show now
			fail "not all laptops are at release $goal after $2 s"
		fi
		sleep 0.2
	done
	ended_ms=$(now_ms)
	show now
	[ -z "$tty" ] || printf '\033[?25h'
}

# The power of one laptop fails when it has about half, and comes back.
victim=$((LAPTOPS / 2))
cut_ms='' cut_had='' cut_link='' back_ms=''
power() {
	local v=$victim
	if [ -z "$cut_ms" ] && [ "${phase[v]}" = collecting ] && [ "$(percent_of "${had[v]}" "${total[v]}")" -ge 45 ]; then
		[ "$house" = netns ] || count_links
		kill -KILL "${pid[$v]}"
		stop_node $v KILL
		count_links
		cut_ms=$(now_ms) cut_had=${had[v]} cut_link=${received[v]}
		remark "The power of laptop $v fails (kill -9): it had $(percent_of "$cut_had" "${total[v]}") % of the bundle."
	elif [ -n "$cut_ms" ] && [ -z "$back_ms" ] && [ $(($(now_ms) - cut_ms)) -ge $((OUTAGE_S * 1000)) ]; then
		count_on $v
		start_node $v "${rate[@]}"
		back_ms=$(now_ms)
		peers0[v]=$((peers0[v] - peers[v])) school0[v]=$((school0[v] - school[v])) peers[v]=0 school[v]=0
		remark "The power is back; laptop $v starts again."
	fi
}

# ---- the trees

get_pair() {
	tests/corpus.sh pair 2>&1 >"$T/pair" | sed 's/^corpus: /  /'
	mapfile -t pair <"$T/pair"
	[ ${#pair[@]} = 2 ] || die "there are no trees to show"
	old=${pair[0]} new=${pair[1]}
	old_bytes=$(tree_bytes "$old") new_bytes=$(tree_bytes "$new")
	# Two trees a laptop, half a one for bundles, and the same for who publishes.
	need=$(((LAPTOPS + 1) * (old_bytes + new_bytes) * 5 / 4))
}

echo "Ayni: a classroom updates itself"
echo
may_netns && [ "${AYNI_E2E_HOUSE:-}" != loopback ] && own=" in a network of its own"
say "One school server and $(words "$LAPTOPS") laptops, each a real process${own:-}."
say "A release comes into the school once; the laptops pass it on to each other."

title "Two releases of a real tree"
get_pair
if [ "$(free_bytes "$TMPDIR")" -lt $need ] && [ -z "${AYNI_CORPUS:-}" ]; then
	say "$TMPDIR has $(bytes "$(free_bytes "$TMPDIR")") free, these trees need $(bytes $need): so smaller ones."
	export AYNI_CORPUS=usr
	get_pair
fi
[ "$(free_bytes "$TMPDIR")" -ge $need ] || die "$TMPDIR has $(bytes "$(free_bytes "$TMPDIR")") free, but $(words "$LAPTOPS") \
laptops with two releases need $(bytes $need). Set AYNI_DEMO_DIR to a directory with more, or AYNI_DEMO_LAPTOPS to fewer."
watch_over
old_print=$(fingerprint "$old") new_print=$(fingerprint "$new")
say "release 1: $(tree_name "$old"): $(tree_entries "$old") entries, $(bytes "$old_bytes")"
say "release 2: $(tree_name "$new"): $(tree_entries "$new") entries, $(bytes "$new_bytes")"

publish() { # SERIAL TREE OPTION...: sets repo, manifest, bundle_bytes, signed
	local serial=$1 tree=$2 start
	shift 2
	start=$(now_ms)
	if [ -n "${AYNI_DEMO_PUBLISHED:-}" ]; then
		repo=$AYNI_DEMO_PUBLISHED/$serial
		cp "$repo.json" "$T/published.json" || die "AYNI_DEMO_PUBLISHED: cannot read $repo.json"
		signed="signed before"
	else
		repo=$T/publisher
		"$AYNI" publish --repo "$repo" --branch $BRANCH --key "$T/secret.key" --json --name "$serial" "$@" "$tree" \
			>"$T/published.json" 2>"$T/publish.log" &
		extra_pids+=($!) # waited for, so that a signal is heard at once
		wait $! || die "publish: $(cat "$T/publish.log")"
		extra_pids=()
		signed="signed in $(seconds $(($(now_ms) - start)))"
	fi
	manifest=$(json_text manifest <"$T/published.json")
	bundle_bytes=$(sed -n '/"bundles"/,$p' "$T/published.json" | json_number bytes)
	[ -n "$manifest" ] && [ "${bundle_bytes:-0}" -gt 0 ] || die "publish made no bundle: $(cat "$T/published.json")"
}
# What the stick brings: the immutable files, and then the head, which says that they are all there.
carry() {
	local f
	while read -r f; do
		[ ! -e "$T/repo/$f" ] || [[ $f == */head ]] || continue
		mkdir -p "$T/repo/${f%/*}" && cp "$repo/$f" "$T/repo/$f.new" && mv "$T/repo/$f.new" "$T/repo/$f" ||
			die "cannot copy $f to the school"
	done < <(cd "$repo" && find ./ayni-repo roots releases manifests offers bundles -type f && find branches -name head)
}

# ---- here we go

title "The publisher signs release 1"
exec 3>&1 >/dev/null # lib.sh's own words
make_house $((LAPTOPS + 1))
exec >&3 3>&-
small_frames
root=$T/root.ayni
if [ -n "${AYNI_DEMO_PUBLISHED:-}" ]; then cp "$AYNI_DEMO_PUBLISHED/root.ayni" "$root" || exit 1; fi
publish 1 "$old" --root "$root" --full
full_bytes=$bundle_bytes
say "$signed; to install it from nothing takes a bundle of $(bytes "$full_bytes")"
carry

title "The classroom is switched on; every laptop is empty and installs release 1"
if [ "$house" = netns ]; then
	say "links: $INSTALL_MBIT Mbit/s each way, as over cable in the workshop"
else
	say "links: loopback, without a limit"
fi
echo
set_rate $INSTALL_MBIT
for ((n = 1; n <= LAPTOPS; n++)); do init_laptop $n; done
start_counting
began_ms=$(now_ms)
for ((n = 0; n <= LAPTOPS; n++)); do start_node $n; done
watch_until 1 $INSTALL_S
install_ms=$((ended_ms - began_ms)) install_copies=$(copies "${sent[0]}")
echo
say "All $(words "$LAPTOPS") have release 1 after $(seconds $install_ms)."

title "The publisher signs release 2"
publish 2 "$new" --no-full
say "$signed: a bundle of $(bytes "$bundle_bytes") turns release 1 into release 2 ($(bytes "$new_bytes"))"

# One copy of the bundle through one link in about 20 s, so that there is something to see.
mbit=${AYNI_DEMO_RATE:-$((bundle_bytes * 8 / 20000000))}
[ "$mbit" -ge 1 ] || mbit=1
[ "$mbit" -le 80 ] || [ -n "${AYNI_DEMO_RATE:-}" ] || mbit=80
rate=()
title "Everybody updates, and one laptop loses its power in the middle"
if [ "$house" = netns ]; then
	say "links: now $mbit Mbit/s each way, as on a busy classroom radio"
else
	# On loopback a node limits itself, by an option that it reads at its start.
	rate=(--rate "$((mbit * 125))K")
	for ((n = 0; n <= LAPTOPS; n++)); do stop_node $n; done
	for ((n = 0; n <= LAPTOPS; n++)); do start_node $n "${rate[@]}"; done
	peers=() school=()
	say "links: each node now sends at most $mbit Mbit/s, by its own --rate"
fi
set_rate "$mbit"
start_counting
began_ms=$(now_ms)
carry
say "A stick brings release 2 to the school; nobody does anything else."
echo
watch_until 2 $UPDATE_S power
update_ms=$((ended_ms - began_ms))
sleep 1
count_links

# ---- the proofs

parallel() { # FUNCTION: for each laptop, at once; its output in FUNCTION.N
	local n jobs=()
	for ((n = 1; n <= LAPTOPS; n++)); do
		"$1" "$n" >"$T/$1.$n" 2>&1 &
		jobs+=($!)
	done
	wait "${jobs[@]}"
}
print_tree() { fingerprint "$(tree_of "$1")/"; }
verify_tree() { "$AYNI" verify $BRANCH --store "$T/$1"; }
current_manifest() {
	"$AYNI" list $BRANCH --store "$T/$1" --json | tr -d '\n' | sed 's/}/}\n/g' | grep '"current": true' | json_text manifest
}
count_same() { # FUNCTION WANTED: on how many laptops it says that
	local n count=0
	for ((n = 1; n <= LAPTOPS; n++)); do [ "$(cat "$T/$1.$n")" != "$2" ] || count=$((count + 1)); done
	echo $count
}
all() { # N: an exit code
	[ "$1" = "$LAPTOPS" ]
}

if [ -n "${AYNI_DEMO_SPOIL:-}" ]; then
	file=$(find "$(tree_of $LAPTOPS)/" -type f -size +0 | sort | head -n 1)
	chmod u+w "$file" && echo >>"$file"
fi
owners=
[ "$(id -u)" != 0 ] || owners=" owners,"
title "Proof 1: every laptop has what the publisher published"
parallel print_tree
n=$(count_same print_tree "$new_print")
all "$n"
proof $? "$n of $LAPTOPS trees equal the publisher's directory: names, kinds, modes,$owners"
more "link targets, and SHA-256 of each file, read now by Debian's find and"
more "sha256sum: ${new_print:0:32}..."
parallel verify_tree
n=$(count_same verify_tree "$BRANCH 2: every path is what its release says")
all "$n"
proof $? "$n of $LAPTOPS trees pass \`ayni verify\`, which reads all against the signed manifest"
parallel current_manifest
n=$(count_same current_manifest "$manifest")
all "$n"
proof $? "$n of $LAPTOPS name the manifest that \`ayni publish\` printed: ${manifest:0:16}..."

title "Proof 2: the school sent the update about once, not $(words "$LAPTOPS") times"
if [ "$house" = netns ]; then
	counted_by="counted by the kernel on the links, with all headers and chatter"
else
	counted_by="counted by the nodes on their sockets, as loopback has no counter for each"
fi
school_copies=$(copies "${sent[0]}")
at_most "$school_copies" $SCHOOL_COPIES_MAX
proof $? "it sent $(bytes "${sent[0]}") = $school_copies copies of the bundle (at most $SCHOOL_COPIES_MAX),"
more "$counted_by"
given=0
for ((n = 1; n <= LAPTOPS; n++)); do given=$((given + sent[n])); done
more "the laptops sent each other $(bytes $given) = $(copies $given) copies"

title "Proof 3: nobody fetched anything twice, not even the laptop whose power failed"
others=()
for ((n = 1; n <= LAPTOPS; n++)); do [ $n = $victim ] || others+=("${received[n]}"); done
usual=$(median "${others[@]}")
most=$(printf '%s\n' "${others[@]}" | sort -n | tail -n 1)
# Lost with the power: a part of a block from each node, what was on its way, and hashes and news told again.
lost_max=$(((LAPTOPS + 1) * 65536 * 11 / 10 + mbit * 125000 / 4 + bundle_bytes * 3 / 100))
# A small bundle's share of news and chatter is larger.
most_max=$(awk -v b="$bundle_bytes" -v f=$LAPTOP_COPIES_MAX 'BEGIN { printf "%.0f", b * f + 200000 }')
least=$(printf '%s\n' "${others[@]}" | sort -n | head -n 1)
[ "$most" -le "$most_max" ]
proof $? "over the links of those that kept their power came $(copies "$least") to $(copies "$most") bundles"
more "each (at most $(copies "$most_max"), with all headers and chatter)"
if [ -z "$cut_ms" ]; then
	proof 1 "the update was too quick to cut a laptop's power in its middle: set AYNI_DEMO_RATE"
else
	[ "${received[victim]}" -le $((usual + lost_max)) ]
	proof $? "over laptop $victim's link came $(copies "${received[victim]}") in both lives; it had $(bytes "$cut_had") when the power failed."
	more "That is $(bytes $((received[victim] > usual ? received[victim] - usual : 0))) more than its neighbours, for what \
was on its way (at most $(bytes $lost_max))"
fi

title "Proof 4: a laptop goes back"
r=$((victim == 1 ? LAPTOPS : 1))
start=$(now_ms)
"$AYNI" rollback $BRANCH --store "$T/$r" --control "$T/$r.sock" >"$T/rollback.log" 2>&1
ok=$?
rollback_ms=$(($(now_ms) - start))
proof $ok "\`ayni rollback\` on laptop $r, in $(seconds $rollback_ms)"
[ $ok = 0 ] || more "$(cat "$T/rollback.log")"
[ "$(print_tree $r)" = "$old_print" ]
proof $? "its tree equals release 1 of the publisher, read by find and sha256sum"
[ "$(verify_tree $r 2>&1)" = "$BRANCH 1: every path is what its release says" ]
proof $? "\`ayni verify\` says so too"
sleep $SETTLE_S
goal=2
poll
[ "${have[r]}" = 1 ] && [[ ${phase[r]} == held || ${phase[r]} == idle ]] && [ "$(print_tree $r)" = "$old_print" ]
proof $? "$SETTLE_S s later, among laptops that all have release 2, it still has release 1 and wants no other"
n=1
for ((i = 1; i <= LAPTOPS; i++)); do [ "${have[i]}" != 2 ] || n=$((n + 1)); done
all $n
proof $? "the others have stayed at release 2"
n=-1
for i in "${!pid[@]}"; do kill -0 "${pid[$i]}" 2>/dev/null && n=$((n + 1)); done
all $n
proof $? "all $(words $((LAPTOPS + 1))) nodes are still running"

{
	echo "house=$house"
	echo "laptops=$LAPTOPS"
	echo "rate_mbit=$mbit"
	echo "full_bytes=$full_bytes"
	echo "install_ms=$install_ms"
	echo "install_copies=$install_copies"
	echo "bundle_bytes=$bundle_bytes"
	echo "update_ms=$update_ms"
	echo "school_bytes=${sent[0]}"
	echo "school_copies=$school_copies"
	echo "laptop_copies=$(copies "$usual")"
	echo "killed_copies=$(copies "${received[victim]}")"
	echo "killed_copies_max=$(copies $((usual + lost_max)))"
	echo "rollback_ms=$rollback_ms"
	echo "counted_by=$counted_by"
	echo "failures=$failures"
} >"$RESULTS"

if [ $failures != 0 ]; then
	echo
	echo "demo: $failures of the proofs failed" >&2
	exit 1
fi
title "In short"
say "$(capital "$(words "$LAPTOPS")") laptops went from one release of $(bytes "$new_bytes") to the next in $(seconds $update_ms), over links of"
say "$mbit Mbit/s. The update is $(bytes "$bundle_bytes"), and the school sent $school_copies copies of it, not $LAPTOPS: the"
say "laptops gave it to each other. One lost its power half-way and went on where it had stopped."
say "Now each holds exactly what the publisher signed, but for one that went back to the release"
say "before, in $(seconds $rollback_ms). The whole demo took $(seconds $(($(now_ms) - began_demo_ms)))."
