#!/bin/bash
# SPDX-License-Identifier: MIT
# What keeping a tree costs: scan, apply, disk and memory. Called by bench.sh, or alone; prints rows like its table's. The
# trees are two complete Debian root trees (tests/corpus.sh root) when they can be had, else bench.sh's pair.
#
#   AYNI_BENCH_RUNS=3     how often each thing is timed; the median counts
#   AYNI_BENCH_MILLION=yes  also a tree of a million names: some minutes, 3 million inodes' and names' room
#   AYNI_BENCH_DIR        where to work (/var/tmp); AYNI_BENCH_FS   see tests/bench/workplace.sh
#
# What each row means (all with a warm page cache, so that processor and program are measured, not the disk's luck):
#   scan          all of `ayni publish --read-all` of a tree that is published already (it ends after the scan with exit
#                 code 3), against `sha256sum` of the same files, one process per core
#   second scan   the same without --read-all: only stat(2) and attributes
#   apply         `ayni import` of the bundle from the release before, durable, against writing the same changed bytes
#                 (`cp` of the new inodes' files into a directory) and syncing the file system
#   memory        the largest resident set of `ayni import`; with large files: 600 MB of random bytes, 6 GB with holes
#                 The row below adds what no way of making a tree of links can do without: its names (`cp -al`), synced.
#   disk          growth of the store, against the bytes of content that the tree before did not have
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/bench/lib.sh
TOP=$PWD

mapfile -t pair < <(tests/corpus.sh root 2>/dev/null)
[ ${#pair[@]} = 2 ] || mapfile -t pair < <(tests/corpus.sh pair)
[ ${#pair[@]} = 2 ] || die "no trees to measure with"
old=${pair[0]} new=${pair[1]}
workplace 16384 || exit 1
cd "$work" || exit 1
owner=()
[ "$(id -u)" = 0 ] || owner=(--owner-me)

quietly() { "$@" >log 2>&1 </dev/null || { tail -n 5 log >&2; die "failed: $*"; }; }
# timed NAME WANTED-EXIT-CODE COMMAND...: appends "seconds KiB" to NAME.times
timed() {
	local name=$1 want=$2 rc
	shift 2
	"$TIME" -q -f '%e %M' -o t "$@" >log 2>&1 </dev/null
	rc=$?
	[ $rc = "$want" ] || { tail -n 5 log >&2; die "exit code $rc: $*"; }
	tail -n 1 t >>"$name.times"
}
column() { median $(awk -v k="$2" '{ print $k }' "$1.times"); }
row() { # WHAT OURS THEIRS RATIO [GOAL VALUE]
	local verdict=
	if [ -n "${5:-}" ]; then
		at_most "$6" "$5" && verdict=met || verdict=MISSED
	fi
	printf '%-46s %10s %10s %8s   %-10s %s\n' "$1" "$2" "$3" "$4" "${5:+<= $5}" "$verdict"
}
publish() { "$AYNI" publish --repo "$1" --branch b --key key --root root.ayni "${@:2}"; }

# ---- releases

say "fidelity: $(tree_name "$old") -> $(tree_name "$new"), $(bytes "$(tree_bytes "$new")")"
quietly "$AYNI" keygen -s key -p key.pub --no-password
quietly "$AYNI" root new --fleet bench --key key.pub --sign key -o root.ayni
quietly publish repo "$old"
quietly "$AYNI" init --store store1 --root root.ayni --branch b "${owner[@]}"
quietly "$AYNI" import repo b --store store1
quietly publish repo --no-full "$new"

# ---- scan

# The longest first would help neither; -n is small enough that no core has much left at the end.
hash_all() { (cd "$1" && find . -type f -print0 | xargs -0 -P "$(nproc)" -n 32 sha256sum) >/dev/null; }
export -f hash_all
hash_all "$new"
for ((i = 1; i <= RUNS; i++)); do
	timed sha256 0 bash -c 'hash_all "$1"' - "$new"
	timed scan 3 "$AYNI" publish --repo repo --branch b --key key --read-all "$new"
	timed again 3 "$AYNI" publish --repo repo --branch b --key key "$new"
done

# ---- apply, disk

# The files that are new inodes in the second tree, and the contents that the first had not.
new_files() {
	find store/branches/b/1/root -type f -printf '%i\n' | sort -u >inodes
	find store/branches/b/2/root -type f -printf '%i %p\n' | sort -u -k 1,1 | join -v 1 - inodes | cut -d ' ' -f 2- >files
	find "$old" -type f -print0 | xargs -0 sha256sum | cut -c 1-64 | sort -u >sums
	tr '\n' '\0' <files | xargs -0 sha256sum | sort -u -k 1,1 | join -v 1 - sums | cut -c 66- | sed 's/^ *//' >contents
}
sizes() { tr '\n' '\0' <"$1" | xargs -0 stat -c %s | awk '{ n += $1 } END { print n + 0 }'; }
on_disk() { du -s --block-size=1 "$1" | cut -f 1; }
write_files() { mkdir "$2" && tr '\n' '\0' <"$1" | xargs -0 cp --reflink=never --backup=numbered -t "$2" && sync -f "$2"; }
export -f write_files
for ((i = 1; i <= RUNS; i++)); do
	discard store
	cp -a store1 store
	sync -f .
	before=$(on_disk store)
	timed apply 0 "$AYNI" import repo b --store store
	[ $i != 1 ] || { cost=$(($(on_disk store) - before)) && new_files; }
	discard copies
	sync -f .
	timed write 0 bash -c 'write_files "$1" "$2"' - files copies
	discard names
	sync -f .
	timed names 0 bash -c 'cp -al "$1" names && sync -f names' - store/branches/b/2/root
done
blocks() { tr '\n' '\0' <"$1" | xargs -0 stat -c %b | awk '{ n += $1 * 512 } END { print n + 0 }'; }
content=$(sizes contents) content_blocks=$(blocks contents) changed_blocks=$(blocks files)
bundle=$(find repo/bundles -type f -printf '%s\n' | sort -n | head -n 1)
dirs=$(find store/branches/b/2/root -type d -printf '%b\n' | awk '{ n += $1 * 512 } END { print n }')
discard store copies

# ---- memory with large files

say "fidelity: large files"
mkdir large
head -c 600000000 /dev/urandom >large/random
truncate -s 6G large/holes
printf x | dd of=large/holes bs=1 seek=5000000000 conv=notrunc status=none
quietly publish lrepo large
quietly "$AYNI" init --store lstore --root root.ayni --branch b "${owner[@]}"
timed large 0 "$AYNI" import lrepo b --store lstore
discard large lrepo lstore

# ---- a million names

if [ "${AYNI_BENCH_MILLION:-no}" = yes ]; then
	say "fidelity: a million names"
	perl -e 'mkdir "many"; for my $d (1 .. 1000) {
		mkdir "many/$d"; open(my $f, ">", "many/$d/1") or die; print $f "content $d\n"; close $f;
		link("many/$d/1", "many/$d/$_") or die $! for 2 .. 1000 }'
	quietly publish mrepo many
	quietly "$AYNI" init --store mstore --root root.ayni --branch b "${owner[@]}"
	timed first_million 0 "$AYNI" import mrepo b --store mstore
	echo changed >many/500/1
	quietly publish mrepo --no-full many
	timed million 0 "$AYNI" import mrepo b --store mstore
	discard many mrepo mstore
fi

# ---- rows

s() { printf '%.2f s' "$1"; }
versus() { # WHAT OURS THEIRS GOAL
	local r
	r=$(ratio "$(column "$2" 1)" "$(column "$3" 1)")
	row "$1" "$(s "$(column "$2" 1)")" "$(s "$(column "$3" 1)")" "$r" "$4" "$r"
}
memory() { row "$1" "$(($(column "$2" 2) / 1024)) MiB" "" "" "64 MiB" $(($(column "$2" 2) / 1024)); }
echo
echo "Keeping a tree: $(tree_name "$old") -> $(tree_name "$new"), $(tree_entries "$new") entries, $(bytes "$(tree_bytes "$new")")"
row "" ayni beside ratio
versus "scan, against sha256sum on all cores" scan sha256 1.30
versus "second scan" again sha256 ""
versus "apply, against writing what changed and syncfs" apply write 1.50
limit=$(ratio $(awk -v a="$(column write 1)" -v b="$(column names 1)" 'BEGIN { print (a + b) * 1000, 1000 }'))
row "  and the tree's names: cp -al, syncfs" "$(s "$(column apply 1)")" "$(s "$limit")" "$(ratio "$(column apply 1)" "$limit")"
memory "  peak memory" apply
memory "  peak memory, files of 600 MB and 6 GB" large
[ ! -e million.times ] || memory "  peak memory, a million names" million
[ ! -e first_million.times ] || memory "  the same, from nothing" first_million
r=$(ratio "$((cost - dirs))" "$content")
row "disk for new inodes, against new content" "$(bytes $((cost - dirs)))" "$(bytes "$content")" "$r" 1.05 "$r"
part() { row "  $1" "$(bytes "$2")" "" "$(ratio "$2" "$content")"; }
part "of it: new content, in whole blocks" "$content_blocks"
part "other variants of old content, in whole blocks" $((changed_blocks - content_blocks))
part "the bundle, kept for neighbours" "$bundle"
part "manifest, release, names in objects/ and all else" $((cost - dirs - changed_blocks - bundle))
echo "Variants: for the most part .py files whose byte code changed, which names their time; a reflink costs none on xfs and btrfs."
echo "Directories of the new tree, not counted: $(bytes "$dirs"). File system: $(stat -f -c %T .)."
exit $bad
