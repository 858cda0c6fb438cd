#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the Debian 12 packages that are missing, and say which:
#
#   deps.sh [--check] SET...      sets: build lint check demo bench powercut vm
#
# --check only answers (exit 1: something is missing, its names on stdout). As root missing packages are
# installed; otherwise the command to type is printed and the exit code is 1. On a system without dpkg the
# headers and tools are looked for, and what is missing is named.
set -eu

# libc6-dev: gcc only recommends it, and recommendations are not installed.
BUILD="gcc libc6-dev pkg-config libcmocka-dev libuv1-dev libsodium-dev libdivsufsort-dev libzstd-dev
	liblzma-dev libbz2-dev libssl-dev libinih-dev libjansson-dev
	libsqlite3-dev"
LINT="clang clang-format clang-tidy libclang-rt-14-dev llvm-14 libfuse3-dev"
DEMO="iproute2 procps util-linux"
CHECK="git minisign fsverity bsdiff rpm xz-utils zstd e2fsprogs xfsprogs btrfs-progs mount attr acl libcap2-bin mmdebstrap time"
POWERCUT="libfuse3-dev pkg-config e2fsprogs xfsprogs btrfs-progs"
VM="qemu-system-x86 cpio kmod fsverity e2fsprogs xfsprogs btrfs-progs util-linux procps"
BENCH="ostree busybox time bsdiff bzip2 xz-utils xdelta3 zstd"

check_only=
if [ "${1:-}" = --check ]; then
	check_only=1
	shift
fi
want=
for set in "$@"; do
	case $set in
	build) want="$want $BUILD" ;;
	lint) want="$want $LINT" ;;
	demo) want="$want $DEMO" ;;
	check) want="$want $LINT $DEMO $CHECK $POWERCUT" ;;
	bench) want="$want $BENCH" ;;
	powercut) want="$want $POWERCUT" ;;
	vm) want="$want $VM" ;;
	*) echo "deps.sh: unknown set '$set' (build lint check demo bench powercut vm)" >&2; exit 2 ;;
	esac
done
want=$(printf '%s\n' $want | sort -u)

# Elsewhere than on Debian a package is there when what we need of it is.
present_elsewhere() {
	case $1 in
	gcc | clang | clang-format | clang-tidy | git | minisign | fsverity | bsdiff | bzip2 | xdelta3 | zstd | ostree | busybox | time | pkg-config)
		command -v "$1" ;;
	libc6-dev) echo '#include <stdio.h>' | ${CC:-cc} -E -x c - ;;
	libdivsufsort-dev) echo '#include <divsufsort64.h>' | ${CC:-cc} -E -x c - ;;
	libbz2-dev) echo '#include <bzlib.h>' | ${CC:-cc} -E -x c - ;;
	libcmocka-dev) pkg-config cmocka ;;
	libuv1-dev) pkg-config libuv ;;
	libssl-dev) pkg-config libcrypto ;;
	libinih-dev) pkg-config inih ;;
	libjansson-dev) pkg-config jansson ;;
	libsqlite3-dev) pkg-config sqlite3 ;;
	libfuse3-dev) pkg-config fuse3 ;;
	e2fsprogs) command -v mkfs.ext4 ;;
	xfsprogs) command -v mkfs.xfs ;;
	btrfs-progs) command -v mkfs.btrfs ;;
	lib*-dev) pkg-config "${1%-dev}" ;;
	iproute2) command -v ip ;;
	procps) command -v ps ;;
	xz-utils) command -v xz ;;
	util-linux) command -v unshare ;;
	*) true ;;
	esac >/dev/null 2>&1
}

missing=
if command -v dpkg-query >/dev/null 2>&1; then
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $want 2>/dev/null | sed -n 's/^installed //p')
	for p in $want; do
		case "
$have
" in
		*"
$p
"*) ;;
		*) missing="$missing $p" ;;
		esac
	done
else
	for p in $want; do
		present_elsewhere "$p" || missing="$missing $p"
	done
fi
missing=${missing# }
[ -n "$missing" ] || exit 0
if [ -n "$check_only" ]; then
	echo "$missing"
	exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "This is not Debian, so install yourself what these Debian 12 packages contain: $missing" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "Packages are missing. As root, type:" >&2
	echo "  apt-get update && apt-get install -y --no-install-recommends $missing" >&2
	exit 1
fi

echo "Installing packages: $missing"
export DEBIAN_FRONTEND=noninteractive
opts="-q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# An archive out of reach is not yet a failure: the packages may be in apt's cache.
apt-get $opts update >"$log" 2>&1 </dev/null || cat "$log" >&2
if ! apt-get $opts install -y --no-install-recommends $missing >"$log" 2>&1 </dev/null; then
	tail -n 30 "$log" >&2
	echo "Could not install: $missing. Is the package archive within reach (apt-get update)?" >&2
	exit 1
fi
