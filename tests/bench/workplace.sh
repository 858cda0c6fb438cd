# SPDX-License-Identifier: MIT
# Where benches work; sourced after tests/measure.sh.

# A place to measure in. Root gets a new file system of its own, in an image, as a laptop has one: with a journal, nothing deleted
# in it a moment ago, no discards; whatever the machine's own disk is. AYNI_BENCH_FS: ext4 (default), xfs, btrfs, or "none" for
# a directory of AYNI_BENCH_DIR, as a plain user always has it. Sets $work; goes away by leave_workplace.
image=
workplace() { # MIB
	local dir=${AYNI_BENCH_DIR:-/var/tmp} fs=${AYNI_BENCH_FS:-ext4} mkfs=()
	work=$(mktemp -d "$dir/ayni-bench.XXXXXX") || return 1
	[ "$(id -u)" = 0 ] && [ "$fs" != none ] || return 0
	case $fs in
	ext4) mkfs=(mkfs.ext4 -q -F -E lazy_itable_init=0,assume_storage_prezeroed=1) ;;
	xfs) mkfs=(mkfs.xfs -q) ;;
	btrfs) mkfs=(mkfs.btrfs -q) ;;
	*) echo "AYNI_BENCH_FS=$fs: ext4, xfs, btrfs or none" >&2 && return 1 ;;
	esac
	# As far as the disk has room: a sparse file that cannot be filled would be an error of the disk's.
	if [ "$(free_bytes "$dir")" -le $(($1 * 1048576)) ]; then
		echo "bench: $dir has less than $1 MiB free for a file system of its own: measured as it is" >&2
		return 0
	fi
	image=$work.image # from now on leave_workplace looks for it, whenever a signal comes
	if truncate -s "$1M" "$image" && "${mkfs[@]}" "$image" >"$work.mkfs" 2>&1 &&
		mount -o loop "$image" "$work" 2>>"$work.mkfs"; then
		DISCARD_FREE=0
		rm -rf "$work.mkfs" "$work/lost+found"
		return 0
	fi
	echo "bench: no $fs of its own ($(tail -n 1 "$work.mkfs" 2>/dev/null)): measured in $dir" >&2
	rm -f "$image" "$work.mkfs"
	image=
}
leave_workplace() {
	[ -n "$work" ] || return 0
	trap '' INT TERM HUP
	cd /
	if mountpoint -q "$work"; then
		umount "$work" 2>/dev/null || umount -l "$work"
		rmdir "$work"
	else
		put_away "$work"
	fi
	[ -z "$image" ] || rm -f "$image" "$work.mkfs"
	image= work=
}
