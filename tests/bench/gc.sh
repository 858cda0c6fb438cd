# SPDX-License-Identifier: MIT
# Sourced by bench.sh: collecting the older of two releases beside ostree. Each is given a copy of a store with both, synced
# before. ayni is told that it is too large by all, so that it gives up what a rollback would need and its bundles.
#
# ayni removes the release: its tree, moved out of the way durably first, and what only that tree used. `ostree prune` removes
# objects, and nothing is synced; the tree stays where it was checked out, and its files keep their blocks there, until
# somebody removes it. So the first row is the same work on both sides: `prune`, and `rm -rf` of a `checkout -H`, as `ostree
# admin cleanup` does both. The second row is prune alone, as the goal says.

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
