#!/bin/bash
# SPDX-License-Identifier: MIT
# Ayni beside what a distribution would use today: ostree with static deltas, on the same two trees, the same disk,
# in the same run. Prints a table of ratios with goals, also into $BUILD/bench.txt. Nothing fails by being slow: the
# exit code is 1 only when something did not work or a result was wrong.
#
#   AYNI_BENCH_RUNS=3     how often each thing is timed, once when it takes more than a minute; the median counts
#   AYNI_BENCH_DEMO=no    leave the seven nodes out
#   AYNI_BENCH_DIR        where to work (/var/tmp)       AYNI_CORPUS   see tests/corpus.sh
#   AYNI_BENCH_FS         on which file system, made for it: see tests/bench/workplace.sh
#
# What each row means:
#   publish   everything from a directory to a signed release and the bundle from the one before (`ayni publish
#             --no-full`), against `ostree commit` into an archive repository and `ostree static-delta generate
#             --max-bsdiff-size=300`. Both have the first release already.
#   size      the bundle, against all files of the delta: superblock, parts, and objects it leaves to be fetched.
#   apply     `ayni import`, which ends with the durable switch, against `ostree pull` of that delta over loopback
#             HTTP and `ostree checkout -H`. Both begin with the first release in a fresh store on a synced disk.
#             ostree also fetches loose objects while the delta is on its way; that is its way, and it is counted.
#             The same delta given as a file (`ostree static-delta apply-offline`) is shown below it.
#   adopt     tests/bench/adopt.sh.
#   fsck      `ayni fsck` against `ostree fsck`: tests/bench/fsck.sh.
#   gc        `ayni gc` of the older release against `ostree prune`: tests/bench/gc.sh.
#   bundles   of a few small pairs, beside ostree, bsdiff, xdelta3 and zstd: tests/bench/delta.sh (AYNI_BENCH_PAIRS)
#   memory    the largest resident set of any process (/usr/bin/time).
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/measure.sh
. tests/bench/workplace.sh
. tests/bench/fsck.sh
. tests/bench/gc.sh
ROOT=$PWD
BUILD=${BUILD:-$ROOT/build}
AYNI=${AYNI:-$BUILD/ayni}
RUNS=${AYNI_BENCH_RUNS:-3}
LIMIT_S=1800
REPEAT_BELOW_S=60 # what takes longer is timed once
DEMO_S=420        # what the seven nodes may need
BRANCH=classroom/stable
TIME=/usr/bin/time

exec 5>&2 # for what is said while a log takes the rest
work= httpd= child= bad=0
cleanup() {
	trap '' INT TERM
	[ -z "$httpd" ] || kill "$httpd" 2>/dev/null
	[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null
	leave_workplace
}
die() {
	echo "bench: $*" >&5
	exit 1
}
say() { echo "bench: $*" >&2; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
left_s() { echo $((LIMIT_S - SECONDS)); }
# In the background and waited for, so that a signal is heard at once; TERM ends a whole group of timeout's.
within_limit() { # COMMAND...
	timeout -k 10 "$(left_s)" "$@" &
	child=$!
	wait $child
	local rc=$?
	child=
	[ $rc != 124 ] || die "not done after $LIMIT_S s, given up"
	return $rc
}

# run NAME COMMAND...: appends "wall-seconds cpu-seconds peak-KiB" to NAME.times; output in NAME.log.
run() {
	local name=$1 rc
	shift
	within_limit "$TIME" -f '%e %U %S %M' -o t "$@" >>"$name.log" 2>&1 </dev/null
	rc=$?
	if [ $rc != 0 ]; then
		tail -n 20 "$name.log" >&2
		die "$name failed ($rc): $*"
	fi
	tail -n 1 t | awk '{ print $1, $2 + $3, $4 }' >>"$name.times"
}
# Several commands as one measured thing: their times add up, the largest memory counts.
sum_times() { # NAME PART...: one line from each part's last line
	local name=$1
	shift
	for part in "$@"; do tail -n 1 "$part.times"; done |
		awk '{ w += $1; c += $2; if ($3 > m) m = $3 } END { print w, c, m }' >>"$name.times"
}
column() { median $(awk -v k="$2" '{ print $k }' "$1.times"); }

check_tree() { # DIR WHOSE
	[ "$(fingerprint "$1")" = "$want" ] && return
	echo "bench: $2 does not equal the tree that was published: $1" >&2
	bad=1
}

# ---- what there is

for tool in ostree busybox "$TIME"; do
	command -v "$tool" >/dev/null || die "$tool is missing: make deps"
done
[ -x "$AYNI" ] || die "$AYNI is missing: make"
mapfile -t pair < <(tests/corpus.sh pair)
[ ${#pair[@]} = 2 ] || die "no trees to measure with"
old=${pair[0]} new=${pair[1]}
dir=${AYNI_BENCH_DIR:-/var/tmp}
# Each side: its repository, a store at the first release, a copy of that to work on, a checkout.
need=$((12 * $(tree_bytes "$new")))
[ "$(free_bytes "$dir")" -ge $need ] ||
	die "$dir has $(bytes "$(free_bytes "$dir")") free, $(bytes $need) are needed (AYNI_BENCH_DIR)"
workplace 24576 || exit 1
cd "$work" || exit 1
mkdir later && export AYNI_BENCH_LATER=$work/later
want=$(fingerprint "$new")
say "$(tree_name "$old") -> $(tree_name "$new"), $(tree_entries "$new") entries, $(bytes "$(tree_bytes "$new")")"

# ---- publish

say "first releases, not timed"
mode=bare
owner=() canonical=()
if [ "$(id -u)" != 0 ]; then
	mode=bare-user-only canonical=(--canonical-permissions)
	owner=(--owner-me)
fi
{
	"$AYNI" keygen -s key -p key.pub --no-password &&
		"$AYNI" root new --fleet bench --key key.pub --sign key -o root.ayni &&
		"$AYNI" publish --repo repo1 --branch $BRANCH --key key --root root.ayni --full --json "$old" >1.json
} >setup.log 2>&1 || { cat setup.log >&2; die "the first release could not be published"; }
{
	ostree init --repo=orepo1 --mode=archive &&
		ostree commit --repo=orepo1 -b bench "${canonical[@]}" --tree=dir="$old"
} >setup.log 2>&1 || { cat setup.log >&2; die "ostree: the first commit failed"; }
first=$(ostree rev-parse --repo=orepo1 bench)

for ((i = 1; i <= RUNS; i++)); do
	discard repo
	cp -a repo1 repo
	sync -f .
	say "ayni publish, $i of $RUNS"
	run publish "$AYNI" publish --repo repo --branch $BRANCH --key key --no-full --json "$new"
	[ "$(tail -n 1 publish.times | cut -d . -f 1)" -lt $REPEAT_BELOW_S ] || break
done
for ((i = 1; i <= RUNS; i++)); do
	discard orepo
	cp -a orepo1 orepo
	sync -f .
	say "ostree commit, static-delta generate, $i of $RUNS (minutes)"
	run ocommit ostree commit --repo=orepo -b bench "${canonical[@]}" --tree=dir="$new"
	run odelta ostree static-delta generate --repo=orepo --max-bsdiff-size=300 --from="$first" --to=bench
	sum_times opublish ocommit odelta
	[ "$(tail -n 1 opublish.times | cut -d . -f 1)" -lt $REPEAT_BELOW_S ] || break
done
ostree summary --repo=orepo -u
second=$(ostree rev-parse --repo=orepo bench)
sed -n '/^{/h; /^{/!H; ${g;p}' publish.log >2.json # the last one
bundle_bytes=$(sed -n '/"bundles"/,$p' 2.json | json_number bytes)
fallback=$(ostree static-delta show --repo=orepo "$first-$second" |
	sed -nE 's/^Total Fallback Size: ([0-9]+).*/\1/p')
delta_bytes=$(($(find orepo/deltas -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }') + ${fallback:-0}))

# ---- apply

"$AYNI" init --store store1 --root root.ayni --branch $BRANCH "${owner[@]}" >setup.log 2>&1 &&
	"$AYNI" import repo1 --store store1 >>setup.log 2>&1 || { cat setup.log >&2; die "the first import failed"; }
port=$((20000 + RANDOM % 10000))
{
	ostree init --repo=client1 --mode=$mode &&
		ostree remote add --repo=client1 --no-gpg-verify origin http://127.0.0.1:$port &&
		ostree pull-local --repo=client1 orepo1 "$first" &&
		ostree refs --repo=client1 --create=origin:bench "$first"
} >setup.log 2>&1 || { cat setup.log >&2; die "ostree: the first pull failed"; }
busybox httpd -f -p 127.0.0.1:$port -h orepo &
httpd=$!
for ((i = 0; i < 50; i++)); do
	(exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break
	sleep 0.1
done

# In turns, so that a disk that becomes slower meets all of them.
for ((i = 1; i <= RUNS; i++)); do
	say "apply: ayni, ostree, ostree from a file, $i of $RUNS"
	discard store client tree
	cp -a store1 store
	cp -a store1 store0
	sync -f .
	run one_core taskset -c 0 "$AYNI" import repo --store store0
	discard store0
	sync -f .
	run import "$AYNI" import repo --store store
	[ $i != 1 ] || check_tree store/branches/*/current/ "what ayni import made"
	cp -a client1 client
	sync -f .
	run pull ostree pull --repo=client --require-static-deltas origin bench
	run checkout ostree checkout --repo=client -H origin:bench tree
	sum_times oapply pull checkout
	[ $i != 1 ] || check_tree tree "what ostree pulled"
	# It cannot take a delta that leaves objects to be fetched.
	[ "${fallback:-0}" = 0 ] || continue
	discard client tree
	cp -a client1 client
	sync -f .
	run offline ostree static-delta apply-offline --repo=client "$(dirname "$(find "$PWD/orepo/deltas" -name superblock)")"
	run checkout ostree checkout --repo=client -H "$second" tree
	sum_times ooffline offline checkout
	[ $i != 1 ] || check_tree tree "what ostree made of the delta's files"
done
fetched=$(grep -oE '[0-9]+ delta parts, .*[0-9]+ KiB transferred' pull.log | tail -n 1)

bench_fsck store client

# ---- the others, before anything here is deleted (see discard)

: >more.txt
more() { # SCRIPT SECONDS-IT-MAY-NEED
	if [ "$(left_s)" -gt "$2" ]; then
		within_limit "$ROOT/tests/bench/$1.sh" >>more.txt || bad=1
	else
		say "no time is left: tests/bench/$1.sh"
		echo "no time was left: tests/bench/$1.sh" >>more.txt
	fi
}
more fidelity 240
more adopt 180
[ "$(id -u)" != 0 ] || more checkout 120
bench_gc store client

# ---- seven nodes

: >demo.results
if [ "$(left_s)" -lt $DEMO_S ]; then
	say "no time is left for the seven nodes: make demo"
elif [ "${AYNI_BENCH_DEMO:-yes}" = yes ]; then
	say "seven nodes (make demo, its words in demo.log)"
	discard store store1 client client1 tree orepo1
	ln -s repo1 1 && ln -s repo 2
	AYNI_DEMO_PUBLISHED=$work AYNI_DEMO_RESULTS=$work/demo.results AYNI_DEMO_DIR=$dir AYNI=$AYNI BUILD=$BUILD \
		within_limit "$ROOT/tests/demo.sh" >demo.log 2>&1 </dev/null ||
		{ tail -n 40 demo.log >&2; say "the demo failed"; bad=1; }
fi
result() { sed -n "s/^$1=//p" demo.results; }

# ---- the table

row() { # WHAT AYNI OSTREE RATIO [GOAL VALUE]
	local verdict=
	if [ -n "${5:-}" ]; then
		at_most "$6" "$5" && verdict=met || verdict=MISSED
	fi
	printf '%-42s %12s %12s %8s   %-12s %s\n' "$1" "$2" "$3" "$4" "${5:+<= $5}" "$verdict"
}
s() { printf '%.2f s' "$1"; }
mib() { echo "$(($1 / 1024)) MiB"; }
versus() { # WHAT NAME OSTREE-NAME [GOAL]: time
	local a o r
	a=$(column "$2" 1) o=$(column "$3" 1)
	r=$(ratio "$a" "$o")
	row "$1" "$(s "$a")" "$(s "$o")" "$r" "${4:-}" "$r"
}
table() {
	echo "Ayni $("$AYNI" --version | cut -d ' ' -f 2) beside $(ostree --version | sed -n "s/.*Version: '\(.*\)'/ostree \1/p")"
	echo "trees:   $(tree_name "$old") -> $(tree_name "$new"), $(tree_entries "$new") entries, $(bytes "$(tree_bytes "$new")")"
	echo "machine: $(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), load $(cut -d ' ' -f 1 /proc/loadavg), $(date -u '+%Y-%m-%d %H:%M') UTC"
	echo
	row "" ayni ostree ratio
	versus "publish the second release" publish opublish 0.33
	row "  processor time" "$(s "$(column publish 2)")" "$(s "$(column opublish 2)")" "$(ratio "$(column publish 2)" "$(column opublish 2)")"
	row "  peak memory" "$(mib "$(column publish 3)")" "$(mib "$(column opublish 3)")" "$(ratio "$(column publish 3)" "$(column opublish 3)")"
	row "size of bundle and delta" "$(bytes "$bundle_bytes")" "$(bytes "$delta_bytes")" \
		"$(ratio "$bundle_bytes" "$delta_bytes")" 1.00 "$(awk -v a="$bundle_bytes" -v b="$delta_bytes" 'BEGIN { print a / b }')"
	versus "apply it, durable" import oapply 0.50
	[ "$(nproc)" -lt 2 ] ||
		row "  against one core (2 cores: goal 1/1.6)" "$(s "$(column import 1)")" "$(s "$(column one_core 1)")" \
			"$(ratio "$(column import 1)" "$(column one_core 1)")" 0.63 "$(ratio "$(column import 1)" "$(column one_core 1)")"
	row "  processor time" "$(s "$(column import 2)")" "$(s "$(column oapply 2)")" "$(ratio "$(column import 2)" "$(column oapply 2)")"
	[ ! -e ooffline.times ] || versus "  beside apply-offline and checkout -H" import ooffline
	row "  peak memory" "$(mib "$(column import 3)")" "$(mib "$(column oapply 3)")" \
		"$(ratio "$(column import 3)" "$(column oapply 3)")" "128 MiB" $(($(column import 3) / 1024))
	bench_fsck_rows
	bench_gc_rows
	if [ -s demo.results ]; then
		row "copies sent by the school to $(result laptops) laptops" "$(result school_copies)" "" "" 2.00 "$(result school_copies)"
		row "bundles received by the one that was killed" "$(result killed_copies)" "" "" "$(result killed_copies_max)" "$(result killed_copies)"
	fi
	echo
	echo "Medians of $(wc -l <import.times) runs; of publish $(wc -l <publish.times) and $(wc -l <opublish.times). ostree pull fetched ${fetched:-?}."
	[ -s demo.results ] && echo "School's and laptop's bytes: $(result counted_by)."
	[ $bad = 0 ] && echo "Every result was compared with the published tree: equal."
}
echo
table | tee bench.txt
cat more.txt
cat more.txt >>bench.txt
if [ "$(left_s)" -gt 120 ]; then
	within_limit "$ROOT/tests/bench/delta.sh" >delta.txt || bad=1
	cat delta.txt
	cat delta.txt >>bench.txt
else
	say "no time is left to measure bundles beside the peers: tests/bench/delta.sh"
fi
mkdir -p "$BUILD" && cp bench.txt "$BUILD/bench.txt" && say "also in $BUILD/bench.txt"
exit $bad
