#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# A file beyond 2 and 4 GiB, changed, shifted and grown behind both: forward, backward, from nothing, as a tree and as a file.
# It is nearly all holes, which must stay holes.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/cli_lib.sh
go_to_disk() {
	cd "$T" && truncate -s 1G probe && [ "$(du -k probe | cut -f 1)" -lt 1000 ] && rm probe && [ "$(free_bytes .)" -gt 400000000 ]
}
go_to_disk || { echo "no sparse files here, or less than 400 MB of room"; exit 77; }
RAM=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
[ "$RAM" -ge 400 ] || { echo "less than 400 MiB of memory are free"; exit 77; }
delta=("$AYNI" delta) G=$((1 << 30))
RAN_S=120

put() { # FILE OFFSET <DATA
	dd of="$1" bs=65536 oflag=seek_bytes seek="$2" conv=notrunc status=none
}
noise() { perl -e 'srand $ARGV[0]; print pack("C*", map { int rand 256 } 1 .. $ARGV[1])' "$1" "$2"; }
mkdir 1 2
for v in 1 2; do
	shift=$(((v - 1) * 12345)) # what stands behind 2 GiB moves
	truncate -s $((4 * G + 40000000 + shift)) $v/disk.img
	noise 1 200000 | put $v/disk.img 1000
	noise 2 300000 | put $v/disk.img $((2 * G - 100000)) # across 2 GiB
	noise 3 200000 | put $v/disk.img $((2 * G + 5000000 + shift))
	noise 4 300000 | put $v/disk.img $((4 * G - 100000 + shift)) # across 4 GiB
	echo "version $v" | put $v/disk.img $((2 * G + 100000))
	echo "version $v" | put $v/disk.img $((4 * G + 39000000 + shift))
done

# Reads only where either has data, which is the kernel's word on it: whole, these files would push all else out of its cache.
same_bytes() { # FILE FILE
	perl -e 'my @f = map { open my $h, "<:raw", $_ or die; $h } @ARGV;
		exit 1 if -s $f[0] != -s $f[1];
		for my $h (@f) {
			for (my $at = 0; defined($at = sysseek($h, $at, 3)); ) {
				my ($from, $to) = ($at, sysseek($h, $at, 4));
				while ($from < $to) {
					my @b = map { sysseek($_, $from, 0); sysread($_, my $x, 65536); $x } @f;
					exit 1 if $b[0] ne $b[1];
					$from += 65536;
				}
				$at = $to;
			}
		}' "$1" "$2"
}
check "that would not see a byte" eval '! same_bytes 1/disk.img 2/disk.img'

say "forward, as a tree"
expect 0 "1 file as differences" "${delta[@]}" make 1 2 -o d --memory 64M
size=$(stat -c %s d)
expect 0 "" "${delta[@]}" apply 1 d -o got
check "another file" same_bytes got/disk.img 2/disk.img
check "$size bytes for what only moved" [ "$size" -lt 400000 ]
check "the holes were filled" [ "$(du -k got | cut -f 1)" -lt 40000 ]
rm -rf got
say "backward, as a file"
expect 0 "" "${delta[@]}" make 2/disk.img 1/disk.img -o d --force --memory 64M --fast
expect 0 "" "${delta[@]}" apply 2/disk.img d -o got
check "another file" same_bytes got 1/disk.img
rm got
say "from nothing"
expect 0 "1 whole" "${delta[@]}" make --from-nothing 2 -o d --force
expect 0 "" "${delta[@]}" apply --from-nothing d -o got
check "another file" same_bytes got/disk.img 2/disk.img
check "$(stat -c %s d) bytes" [ "$(stat -c %s d)" -lt 2000000 ]
finish_count
