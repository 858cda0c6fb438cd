#!/bin/bash
# SPDX-License-Identifier: MIT
# Sourced by bench.sh, or called alone (then for the two root trees of tests/corpus.sh, or its pair): collecting the older of two releases beside ostree. Each is given a copy of a store with both, synced
# before. ayni is told that it is too large by all, so that it gives up what a rollback would need and its bundles.
#
# ayni removes the release: its tree, moved out of the way durably first, and what only that tree used. `ostree prune` removes
# objects, and nothing is synced; the tree stays where it was checked out, and its files keep their blocks there, until
# somebody removes it. So the first row is the same work on both sides: `prune`, and `rm -rf` of a `checkout -H`, as `ostree
# admin cleanup` does both. The second row is prune alone, as the goal says.
#
#   AYNI_BENCH_RUNS=3     how often each is timed; the median counts
#   AYNI_BENCH_DIR        where to work (/var/tmp); AYNI_BENCH_FS   see tests/bench/workplace.sh

bench_gc() { # STORE REPO
	local i before after
	for ((i = 1; i <= RUNS; i++)); do
		say "gc: ayni, ostree, $i of $RUNS"
		discard gcstore gcrepo gctree
		cp -a "$1" gcstore
		cp -a "$2" gcrepo
		ostree checkout --repo=gcrepo -H "$first" gctree >/dev/null || die "gc: no checkout"
		sync -f .
		before=$(ls gcstore/branches/*/ | grep -c '^[0-9]')
		run gc "$AYNI" gc --keep 1 --max-size 1K --store gcstore --config /dev/null
		after=$(ls gcstore/branches/*/ | grep -c '^[0-9]')
		[ "$before" = 2 ] && [ "$after" = 1 ] || die "gc: $before releases became $after: $(cat gc.log)"
		before=$(find gcrepo/objects -type f | wc -l)
		run ogc ostree prune --repo=gcrepo --refs-only --depth=0
		[ "$(find gcrepo/objects -type f | wc -l)" -lt "$before" ] || die "ostree prune removed nothing: $(cat ogc.log)"
		run orm rm -rf gctree
		sum_times ogcrm ogc orm
	done
	discard gcstore gcrepo
}

bench_gc_rows() {
	[ -s gc.times ] || return 0
	versus "collect a release (gc; prune, rm checkout)" gc ogcrm 0.33
	row "  processor time" "$(s "$(column gc 2)")" "$(s "$(column ogcrm 2)")" "$(ratio "$(column gc 2)" "$(column ogcrm 2)")"
	versus "  beside prune alone, which leaves the tree" gc ogc 0.33
}

[ "${BASH_SOURCE[0]}" = "$0" ] || return 0

# ---- alone

set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/bench/lib.sh
[ "$(id -u)" = 0 ] || die "a bare repository with all owners is root's"
mapfile -t pair < <(tests/corpus.sh root 2>/dev/null)
[ ${#pair[@]} = 2 ] || mapfile -t pair < <(tests/corpus.sh pair)
[ ${#pair[@]} = 2 ] || die "no trees to measure with"
workplace 8192 || exit 1
cd "$work" || exit 1

run() { # NAME COMMAND...: appends "wall-seconds cpu-seconds" to NAME.times
	local name=$1
	shift
	"$TIME" -f '%e %U %S' -o t "$@" >"$name.log" 2>&1 </dev/null || { tail -n 5 "$name.log" >&2; die "failed: $*"; }
	tail -n 1 t | awk '{ print $1, $2 + $3 }' >>"$name.times"
}
sum_times() { # NAME PART...
	local name=$1
	shift
	for part in "$@"; do tail -n 1 "$part.times"; done | awk '{ w += $1; c += $2 } END { print w, c }' >>"$name.times"
}
column() { median $(awk -v k="$2" '{ print $k }' "$1.times"); }
s() { printf '%.2f s' "$1"; }
row() { # WHAT OURS THEIRS RATIO [GOAL]
	printf '%-46s %10s %10s %8s   %-10s %s\n' "$1" "$2" "$3" "$4" "${5:+<= $5}" \
		"${5:+$(at_most "$4" "$5" && echo met || echo MISSED)}"
}
versus() { # WHAT NAME OTHER [GOAL]
	row "$1" "$(s "$(column "$2" 1)")" "$(s "$(column "$3" 1)")" "$(ratio "$(column "$2" 1)" "$(column "$3" 1)")" "${4:-}"
}
quietly() { "$@" >log 2>&1 </dev/null || { tail -n 5 log >&2; die "failed: $*"; }; }

say "gc: $(tree_name "${pair[0]}") -> $(tree_name "${pair[1]}")"
quietly "$AYNI" keygen -s key -p key.pub --no-password
quietly "$AYNI" root new --fleet bench --key key.pub --sign key -o root.ayni
quietly "$AYNI" init --store store --root root.ayni --branch b
quietly ostree init --repo=orepo --mode=bare
first=
for tree in "${pair[@]}"; do
	cp -a "$tree" src
	find src ! -type f ! -type d ! -type l -delete # devices, which ostree does not take
	quietly "$AYNI" publish --repo repo --branch b --key key --root root.ayni src
	quietly "$AYNI" import repo b --store store
	quietly ostree commit --repo=orepo -b b --tree=dir=src
	first=${first:-$(ostree rev-parse --repo=orepo b)}
	discard src
done
bench_gc store orepo
row "" ayni ostree ratio
bench_gc_rows
