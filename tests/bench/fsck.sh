# SPDX-License-Identifier: MIT
# Sourced by bench.sh: checking a whole store beside `ostree fsck`. Both hold the same two releases, which were read just
# before (warm cache): what is compared is the work of reading, hashing and comparing, on all cores where a program uses them.
#
# ayni also holds every path of every tree against its manifest, which ostree's fsck has no trees to do with.

bench_fsck() { # STORE REPO
	local i
	cat "$1"/objects/*/* >/dev/null
	find "$2/objects" -type f -exec cat {} + >/dev/null
	for ((i = 1; i <= RUNS; i++)); do
		say "fsck: ayni, ostree, $i of $RUNS"
		run fsck "$AYNI" fsck --store "$1" --config /dev/null
		run ofsck ostree fsck --repo="$2"
	done
}

bench_fsck_rows() {
	[ -s fsck.times ] || return 0
	versus "check the store (fsck)" fsck ofsck 0.33
	row "  processor time" "$(s "$(column fsck 2)")" "$(s "$(column ofsck 2)")" "$(ratio "$(column fsck 2)" "$(column ofsck 2)")"
	row "  peak memory" "$(mib "$(column fsck 3)")" "$(mib "$(column ofsck 3)")" "$(ratio "$(column fsck 3)" "$(column ofsck 3)")"
}
