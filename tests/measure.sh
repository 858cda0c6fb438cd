# SPDX-License-Identifier: MIT
# What demo and bench have in common; sourced. Looks at trees and numbers with Debian's own tools, so that nothing
# is believed because our program says it. bash, coreutils, findutils, awk.
export LC_ALL=C

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# 15414789 -> 15.4 MB
bytes() {
	awk -v n="$1" 'BEGIN {
		split("B kB MB GB TB", unit, " ")
		for (i = 1; n >= 999.5 && i < 5; i++) n /= 1000
		printf(i == 1 ? "%d %s" : "%.1f %s", n, unit[i])
	}'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "0" }'; }
at_most() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 <= b + 0) }'; }
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }

# The first number, or the first text, that stands under KEY in the JSON on stdin.
json_number() { grep -oE "\"$1\": *-?[0-9]+" | head -n 1 | grep -oE -- "-?[0-9]+$"; }
json_text() { grep -oE "\"$1\": *\"[^\"]*\"" | head -n 1 | sed -E 's/^"[^"]*": *"(.*)"$/\1/'; }

# One number for a whole tree: kinds, modes, owners, link targets and the SHA-256 of each file. A plain user's store
# keeps neither owners nor setuid bits, so his trees are looked at without. Times are left out: a publisher carries
# those of unchanged files over.
fingerprint() { # DIR
	local owner=' %U:%G' without=()
	[ "$(id -u)" = 0 ] || owner= without=(-E 's/^([a-z]) [0-7]+([0-7]{3}) /\1 \2 /')
	(
		cd "$1" || exit 1
		find . -mindepth 1 \( -type l -printf "l$owner %p -> %l\n" -o -type f -printf "f %m$owner %s %p\n" \
			-o -printf "%y %m$owner %p\n" \) | sed "${without[@]:-}" | sort
		find . -type f -print0 | sort -z | xargs -0 -r sha256sum
	) | sha256sum | cut -c 1-64
}

tree_bytes() { du -s --apparent-size -B1 "$1" | cut -f 1; }
tree_entries() { find "$1" -mindepth 1 | wc -l; }
free_bytes() { df -PB1 "$1" | awk 'NR == 2 { print $4 }'; }

# A tree's last two names say what it is: kernel/linux-image-..., usr/1
tree_name() { echo "$1" | awk -F/ '{ if (NF > 2) print $(NF - 1) "/" $NF; else print }'; }

# Directories that we may not write are made so; not files, which may be linked from a tree that stays.
remove_all() {
	[ "$(id -u)" = 0 ] || find "$@" -type d ! -perm -700 -exec chmod u+rwx {} + 2>/dev/null
	rm -rf "$@"
}

# Out of the way, but deleted only at the end. Inodes that were deleted a moment ago are passed over one by one whenever ext4
# without a journal makes new ones (for 60 s, or 300), and each deletion may wait for the disk to discard blocks: what is
# measured next would be that. Without much room they are deleted all the same.
DISCARD_FREE=20000000000 # 0 where deleting hurts nobody who is measured later
discarded=0
discard() { # NAME... in the working directory
	local name
	for name in "$@"; do
		[ -e "$name" ] || continue
		if [ $DISCARD_FREE = 0 ] || [ "$(free_bytes .)" -lt $DISCARD_FREE ]; then
			remove_all "$name"
		else
			mkdir -p .gone
			mv "$name" ".gone/$((++discarded))"
		fi
	done
}
# What a bench leaves: for whoever called it to delete at the very end (AYNI_BENCH_LATER), if somebody did.
put_away() { # DIR
	if [ -n "${AYNI_BENCH_LATER:-}" ] && mv "$1" "$AYNI_BENCH_LATER/" 2>/dev/null; then return; fi
	remove_all "$1"
}
