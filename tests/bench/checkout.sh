#!/bin/bash
# SPDX-License-Identifier: MIT
# Checking out 50,000 files by hard links, durably, beside `ostree checkout -H` from a bare repository with the same files on the
# same disk. Called by bench.sh, or alone; prints rows like its table's. The two take turns, each into a new directory.
#
#   AYNI_BENCH_RUNS=3     how often each is timed; the median counts
#   AYNI_BENCH_FILES=50000
#   AYNI_BENCH_DIR        where to work (/var/tmp); AYNI_BENCH_FS   see tests/bench/workplace.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/measure.sh
. tests/bench/workplace.sh
AYNI=$(realpath "${AYNI:-$PWD/build/ayni}")
RUNS=${AYNI_BENCH_RUNS:-3}
FILES=${AYNI_BENCH_FILES:-50000}
work= bad=0
cleanup() { leave_workplace; }
trap cleanup EXIT
trap 'exit 143' INT TERM HUP
die() {
	echo "bench: $*" >&2
	exit 1
}
[ "$(id -u)" = 0 ] || die "checkouts by links are compared as root"
command -v ostree >/dev/null || die "no ostree"
workplace 4096 || exit 1
cd "$work" || exit 1
quietly() { "$@" >log 2>&1 </dev/null || { tail -n 5 log >&2; die "failed: $*"; }; }
timed() { # NAME COMMAND...: appends milliseconds to NAME.times
	local name=$1 start
	shift
	sync
	start=$(now_ms)
	quietly "$@"
	echo $(($(now_ms) - start)) >>"$name.times"
}
row() { # WHAT AYNI OSTREE GOAL
	local r
	r=$(ratio "$2" "$3")
	printf '%-42s %10s s %10s s %8s   %-12s %s\n' "$1" "$(ratio "$2" 1000)" "$(ratio "$3" 1000)" "$r" \
		"${4:+<= $4}" "${4:+$(at_most "$r" "$4" && echo met || echo MISSED)}"
}

echo "bench: $FILES files to check out" >&2
mkdir tree
awk -v n="$FILES" 'BEGIN { for (i = 0; i < n; i++) { d = sprintf("tree/%02d/%02d", i % 40, int(i / 40) % 25); if (!(d in made)) { system("mkdir -p " d); made[d] = 1 }; f = d "/file" i; print "content " i > f; close(f) } }'
quietly "$AYNI" keygen -s k -p k.pub --no-password
quietly "$AYNI" root new --fleet bench --key k.pub --sign k -o root
quietly "$AYNI" publish --repo repo --branch b --key k --root root tree
quietly "$AYNI" init --store store --root root --branch b
quietly "$AYNI" import repo --store store --control no.sock
quietly ostree init --repo=orepo --mode=bare
quietly ostree commit --repo=orepo -b b tree
for ((run = 0; run < RUNS; run++)); do
	timed ayni "$AYNI" checkout b "out$run" --hardlink --store store
	timed ostree ostree checkout --repo=orepo -H b "oout$run"
	timed nosync "$AYNI" checkout b "nout$run" --hardlink --no-sync --store store
	[ "$(find "out$run" -type f | wc -l)" = "$FILES" ] && [ "$(find "oout$run" -type f | wc -l)" = "$FILES" ] ||
		{ echo "bench: not all files are there" >&2; bad=1; }
	discard "oout$run" "nout$run"
	[ "$run" = 0 ] || discard "out$run"
done
diff -r tree out0 >&2 || bad=1
one() { median $(cat "$1.times"); }
row "checkout of $FILES files by links, durable" "$(one ayni)" "$(one ostree)" 1.00
row "  without waiting for the disk" "$(one nosync)" "$(one ostree)" ""
exit $bad
