#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 900
# What a tree is, is kept: on ext4, xfs and btrfs (loop images), for a tree of everything that is odd, and for a
# complete Debian root tree when the archive is within reach. Scan, publish, apply, scan again: the same manifest to the
# last byte; and the same to find, getfattr and sha256sum, which know nothing of us. Equal content in other clothes
# shares its blocks where the file system can; a file that has as many links as it may have goes on in a second one.
cd "$(dirname "$0")/../.." || exit 77
[ "$(id -u)" = 0 ] || { echo "only root can make loop devices, owners and device nodes"; exit 77; }
for tool in losetup mkfs.ext4 mkfs.xfs mkfs.btrfs setfattr getfattr setfacl setcap chattr filefrag perl; do
	command -v $tool >/dev/null || { echo "$tool is not here (make deps)"; exit 77; }
done
# In a mount namespace of its own, so that the mounts (and with them the loop devices) go even if this shell is killed.
if [ -z "${AYNI_FIDELITY_SPACE:-}" ]; then
	AYNI_FIDELITY_SPACE=1 exec unshare --mount --propagation private bash tests/e2e/test_fidelity.sh || { echo "no mount namespace can be made here"; exit 77; }
fi
. tests/e2e/cli_lib.sh
RAN_S=400
AYNI=$(realpath "$AYNI")
repo_top=$PWD
cd "$T" || exit 1
T=$PWD
fss=()

# A loop device goes with its mount (-o loop sets autoclear), whoever is killed when.
mount_fs() { # FS MKFS-COMMAND...
	local fs=$1
	shift
	truncate -s 8G "$T/$fs.img"
	mkdir "$T/$fs"
	if "$@" "$T/$fs.img" >"$T/mkfs.log" 2>&1 && mount -o loop "$T/$fs.img" "$T/$fs" 2>>"$T/mkfs.log"; then
		fss+=("$fs") mounts+=("$T/$fs")
	else
		say "SKIPPED $fs: $(tail -n 1 "$T/mkfs.log")"
	fi
}
mount_fs ext4 mkfs.ext4 -q -F
mount_fs xfs mkfs.xfs -q
mount_fs btrfs mkfs.btrfs -q -m single
[ ${#fss[@]} -gt 0 ] || { echo "no file system can be loop-mounted here: $(tail -n 1 "$T/mkfs.log")"; exit 77; }

# ---- a tree of everything that is odd

make_odd() { # DIR
	mkdir "$1" && cd "$1" || exit 1
	# holes: behind 4 GiB, all of it, many, none though full of zeros
	truncate -s 4300M far && printf behind | dd of=far bs=1 seek=4400000000 conv=notrunc status=none
	truncate -s 5000000001 nothing
	truncate -s 3M many && for i in 5 90 1000 2900; do
		printf x | dd of=many bs=1024 seek=$i conv=notrunc status=none
	done
	head -c 300000 /dev/zero >zeros
	head -c 1000000 /dev/urandom >random
	cp random random-too
	# kinds
	ln -s 'no where/%20' link
	# xfs has at most 1024
	ln -s "$(printf 'x%.0s' {1..1000})" long-link
	mkfifo -m 0640 fifo
	mknod -m 0660 char c 5 250
	mknod -m 0600 block b 259 131071 # as large as xfs can say
	mkdir empty
	# modes and owners
	cp /bin/true su && chown 33:7 su && chmod 6751 su
	mkdir -m 1777 sticky && mkdir setgid && chown 0:50 setgid && chmod 2775 setgid
	echo closed >closed && chmod 0000 closed
	mkdir shut && echo x >shut/x && chmod 0000 shut
	echo far-owner >far-owner && chown 4294967294:65536 far-owner
	chown -h 12:34 link
	# times
	echo old >old && touch -d '1969-12-31 23:59:58.5 UTC' old
	echo ns >ns && touch -d '2001-02-03 04:05:06.123456789 UTC' ns
	echo later >later && touch -d '2037-12-31 00:00:00.000000001 UTC' later
	touch -h -d '2002-02-02 02:02:02.000000002 UTC' link fifo char empty
	# attributes
	cp /bin/true ping && setcap cap_net_raw,cap_net_admin=ep ping
	setfattr -n user.empty random && setfattr -n user.'odd =name' -v 0x000a3d20ff random
	setfattr -n trusted.mine -v secret random
	setfattr -n user.large -v "0x$(printf 'ab%.0s' {1..3000})" empty
	setfattr -h -n trusted.link -v 1 link
	echo acl >acl && setfacl -m u:1000:rw,g:50:r,m::rw acl
	mkdir dacl && setfacl -m u:7:rx,d:u:7:rwx,d:g:9:-,d:m::rwx dacl && echo in >dacl/inherits
	# inode flags, which are not of the tree
	echo fixed >fixed && echo grows >grows
	chattr +i fixed 2>/dev/null && chattr +a grows
	# names
	perl -e '
		use Fcntl;
		sub touch { open(my $f, ">", $_[0]) or die "$_[0]: $!"; print $f $_[1]; close $f }
		for my $b (1 .. 255) { touch(chr($b) . "b", $b) unless chr($b) eq "/" }
		touch("\n", 1); touch(" ", 2); touch("-rf", 3); touch("...", 4); touch("\xff" x 255, 5); touch("%41", 6);
		mkdir "deep"; chdir "deep";
		# 15 * 256 + 250 = 4090 bytes and "/deep": 4095
		for (1 .. 15) { mkdir "d" x 255 or die $!; chdir "d" x 255 or die $! }
		touch("e" x 249, "deepest");
		chdir $ARGV[0] or die; mkdir "narrow"; chdir "narrow";
		for (1 .. 1000) { mkdir "n" or die; chdir "n" or die }
		touch("bottom", "b");' "$PWD"
	# hard links; more names than ext4 and btrfs give to one inode, in one directory
	ln random hard && ln su su-too
	perl -e '
		mkdir "links"; chdir "links"; my $n = 0;
		for my $first ("a", "b") {
			open(my $f, ">", $first) or die; print $f "linked often " x 1000; close $f;
			utime(1600000000, 1600000000, $first);
			for (1 .. 33000) { link($first, sprintf("%s-%05d-with-a-name-of-some-length", $first, $_)) or die $! }
		}'
	cd "$T" || exit 1
}

# The tree as others see it. Directory sizes are the file system's own; the deepest path is too long for sha256sum.
seen() { # DIR
	(
		cd "$1" || exit 1
		find . \( -type d -printf '%y %m %U:%G %T@ %p\0' \) -o \
			\( -type l -printf '%y %U:%G %T@ %p %l\0' \) -o -printf '%y %m %U:%G %T@ %s %p\0' | sort -z | tr '\0' '\n'
		find . \( -type c -o -type b \) -exec stat -c '%n %t:%T' {} + | sort
		getfattr -R -P -h -d -e hex -m - . 2>/dev/null | grep -av '^trusted.SGI_ACL_' | tr '\n' '\1' |
			sed 's/\x01\x01/\n/g' | sort
		find . -path ./links -prune -o -path ./deep -prune -o -type f -size -4000M -print0 | sort -z | xargs -0 sha256sum
	) | sha256sum
}
disk_of() { du -s --block-size=1 "$1" | cut -f 1; } # of a file or a tree

release_tree() { # FS BRANCH SERIAL
	echo "$T/$1/store/branches/$2/$3/root"
}
# The scan of what was applied is the manifest that was published: "to the last byte".
is_release() { # REPO BRANCH DIR
	expect 3 "to the last byte (" "$AYNI" publish --repo "$1" --branch "$2" --key "$T/k.key" --exact-mtimes "$3"
}
used() { # FS: bytes, synced
	sync -f "$T/$1"
	df --output=used -B1 "$T/$1" | tail -n 1
}
# Where the first file's blocks are: physical offsets.
extents() { filefrag -v "$1" 2>/dev/null | awk '$1 ~ /^[0-9]+:$/ { print $4 }'; }

make_keys k
expect 0 "" "$AYNI" root new --fleet f --key "$T/k.pub" --sign "$T/k.key" -o "$T/root.ayni"

home=${fss[-1]} # btrfs when it is there: publishing takes files in by reflink
say "a tree of everything that is odd, published on $home"
make_odd "$T/$home/odd"
sync -f "$T/$home" # btrfs takes minutes for the first fsync beside a new directory of so many links
want=$(seen "$T/$home/odd")
expect 0 "" "$AYNI" publish --repo "$T/$home/repo" --branch odd --key k.key --root root.ayni "$T/$home/odd"
check "the repository is as small as what is in the files" [ "$(disk_of "$T/$home/repo")" -lt 60000000 ]
[ "$failed" = 0 ] || finish_count # nothing to go on with
for fs in "${fss[@]}"; do
	say "odd on $fs"
	expect 0 "" "$AYNI" init --store "$T/$fs/store" --root root.ayni --branch odd
	expect 0 "" "$AYNI" import "$T/$home/repo" odd --store "$T/$fs/store" --control "$NODE"
	tree=$(release_tree "$fs" odd 1)
	is_release "$T/$home/repo" odd "$tree"
	same "$fs: seen by others" "$(seen "$tree")" "$want"
	for f in far nothing many; do
		same "$fs: blocks of $f" "$(stat -c %b "$tree/$f")" "$(stat -c %b "$T/$home/odd/$f")"
	done
	same "$fs: blocks of zeros" "$(stat -c %b "$tree/zeros")" 0
	same "$fs: links are inodes" "$(stat -c %i "$tree/random")" "$(stat -c %i "$tree/hard")"
	inodes=$(find "$tree/links" -type f -printf '%i\n' | sort -u | wc -l)
	case $fs in
	xfs) same "$fs: inodes of 66,002 names" "$inodes" 1 ;;
	*) same "$fs: inodes of 66,002 names" "$inodes" 2 ;;
	esac
	if [ "$fs" = btrfs ]; then
		mapfile -t two < <(find "$tree/links" -type f -printf '%i %p\n' | sort -u -k 1,1 | cut -d ' ' -f 2-)
		same "$fs: the second inode shares its blocks" "$(extents "${two[0]}")" "$(extents "${two[1]}")"
	fi
done

say "other clothes"
chattr -i "$T/$home/odd/fixed"
chattr -a "$T/$home/odd/grows"
chmod 0600 "$T/$home/odd/random"                     # and so its other names but random-too
setfattr -n user.new -v 1 "$T/$home/odd/many"
touch -d 2005-05-05 "$T/$home/odd/random-too" "$T/$home/odd/zeros"
expect 0 "" "$AYNI" publish --repo "$T/$home/repo" --branch odd --key k.key --exact-mtimes --json "$T/$home/odd"
# What has a new ctime: random, many, random-too, zeros, fixed, grows.
same "files read again" "$(sed -n '/"read"/,/}/p' "$T/out" | json_number files)" 6
for fs in "${fss[@]}"; do
	expect 0 "" "$AYNI" import "$T/$home/repo" odd --store "$T/$fs/store" --control "$NODE"
	tree=$(release_tree "$fs" odd 2)
	is_release "$T/$home/repo" odd "$tree"
	old=$(release_tree "$fs" odd 1)
	check "$fs: another inode" [ "$(stat -c %i "$tree/random")" != "$(stat -c %i "$old/random")" ]
	case $fs in
	ext4) check "$fs: a copy" [ "$(extents "$tree/random")" != "$(extents "$old/random")" ] ;;
	*)
		same "$fs: variants share their blocks" "$(extents "$tree/random")" "$(extents "$old/random")"
		same "$fs: and these" "$(extents "$tree/random-too")" "$(extents "$old/random")"
		;;
	esac
done

# ---- times carried over

say "unpacked anew, nothing changed but the times"
find "$T/$home/odd" -xdev -path "*/deep/*" -prune -o -path "*/links/*" -prune -o -exec touch -h {} +
expect 3 "but for times" "$AYNI" publish --repo "$T/$home/repo" --branch odd --key k.key "$T/$home/odd"
rm -rf "$T/$home/odd"

# ---- a complete system

mapfile -t pair < <("$repo_top"/tests/corpus.sh root 2>"$T/corpus.log")
if [ ${#pair[@]} != 2 ]; then
	say "SKIPPED the Debian root trees: $(tail -n 1 "$T/corpus.log")"
	finish_count
fi
say "two Debian root trees"
R=$T/rrepo
want=$(seen "${pair[0]}")
expect 0 "" "$AYNI" publish --repo "$R" --branch deb --key k.key --root root.ayni "${pair[0]}"
for fs in "${fss[@]}"; do
	expect 0 "" "$AYNI" init --store "$T/$fs/store" --root root.ayni --branch deb
	expect 0 "" "$AYNI" import "$R" deb --store "$T/$fs/store" --control "$NODE"
	tree=$(release_tree "$fs" deb 1)
	is_release "$R" deb "$tree"
	same "$fs: seen by others" "$(seen "$tree")" "$want"
done
expect 0 "times carried over" "$AYNI" publish --repo "$R" --branch deb --key k.key "${pair[1]}"

# What the second tree costs: new inodes. A file whose content was there is one only if it differs in more than its
# time, or is a .py whose byte code is new.
for fs in "${fss[@]}"; do
	before=$(used "$fs")
	expect 0 "" "$AYNI" import "$R" deb --store "$T/$fs/store" --control "$NODE"
	cost=$(($(used "$fs") - before))
	expect 0 "every path is" "$AYNI" verify deb 2 --store "$T/$fs/store"
	a=$(release_tree "$fs" deb 1) b=$(release_tree "$fs" deb 2)
	(cd "$a" && find . -type f -printf '%i\n') | sort -u >old.inodes
	(cd "$a" && find . -type f -print0 | xargs -0 sha256sum) | cut -c 1-64 | sort -u >old.sums
	(cd "$b" && find . -type f -printf '%i %p\n') | sort -k 1,1 | join -v 1 - old.inodes | cut -d ' ' -f 2- |
		(cd "$b" && tr '\n' '\0' | xargs -0 sha256sum) | sort | join -v 1 - old.sums >really.new
	(cd "$b" && find . -type f -printf '%i %p\n') | sort -k 1,1 | join -v 1 - old.inodes | cut -d ' ' -f 2- |
		(cd "$b" && tr '\n' '\0' | xargs -0 sha256sum) | sort | join - old.sums | cut -c 66- | sed 's/^ *//' >second.copies
	new_bytes=$(sort -u -k 1,1 really.new | cut -c 66- | (cd "$b" && tr '\n' '\0' | xargs -0 stat -c %s) | awk '{ n += $1 } END { print n }')
	say "$fs: $(bytes "$cost") for $(bytes "$new_bytes") of new content, $(wc -l <second.copies) second inodes of old content"
	# Each second copy must have its reason.
	while read -r path; do
		case $path in
		*.py) continue ;;
		esac
		[ -e "$a/$path" ] || continue # another path than the content had
		[ "$(stat -c '%a %u:%g' "$a/$path")" != "$(stat -c '%a %u:%g' "$b/$path")" ] ||
			[ "$(sha256sum <"$a/$path")" != "$(sha256sum <"$b/$path")" ] ||
			bad "$fs: $path has a second copy for its time only"
	done <second.copies
	good
	# Inodes, directories and the manifest cost too, so that only what shares blocks can come near the content itself.
	case $fs in
	ext4) ;;
	*) check "$fs: $(ratio "$cost" "$new_bytes") of the new content" at_most "$(ratio "$cost" "$new_bytes")" 1.25 ;;
	esac
done
finish_count
