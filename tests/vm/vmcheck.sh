#!/bin/bash
# SPDX-License-Identifier: MIT
# What the kernel of this machine may lack (fs-verity, user namespaces for plain users): boots the distribution's kernel
# in qemu with an initramfs of our own, runs the tests there, and counts what they say. Emulation is enough; /dev/kvm is
# used when it works. Ends with the usual count line; skips are named.
#
#   VM_KERNEL=FILE VM_MODULES=DIR    another kernel and its modules (lib/modules/VERSION)
#   VM_SECONDS=3600                  how long all of it may take
#   VM_ACCEL=tcg                     never /dev/kvm
#
# The kernel is not installed: its package is fetched and unpacked below $BUILD/vm.
set -u
cd "$(dirname "$0")/../.." || exit 1
export LC_ALL=C
BUILD=${BUILD:-$PWD/build}
VM=$BUILD/vm
LIMIT=${VM_SECONDS:-3600}
TESTS="test_verity test_object test_apply test_adopt test_gc test_fsck"
MODULES="virtio_pci loop crc32c_generic ext4 btrfs xfs overlay"
die() {
	echo "vmcheck: $*" >&2
	exit 1
}
work=$(mktemp -d "${TMPDIR:-/tmp}/ayni-vm.XXXXXX") || exit 1
qemu=
# timeout passes TERM on to the machine; it itself may be shot only after that
trap '[ -z "$qemu" ] || { kill -TERM $qemu; wait $qemu; } 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# ---- the kernel
has_verity() { grep -qx 'CONFIG_FS_VERITY=y' "$1" 2>/dev/null; }
find_kernel() {
	local config version package
	[ -z "${VM_KERNEL:-}" ] || { kernel=$VM_KERNEL modules=${VM_MODULES:?}; return; }
	for config in "$VM"/root/boot/config-* /boot/config-*; do
		version=${config##*/config-}
		local top=${config%/boot/*}
		if has_verity "$config" && [ -r "$top/boot/vmlinuz-$version" ] && [ -d "$top/lib/modules/$version" ]; then
			kernel=$top/boot/vmlinuz-$version modules=$top/lib/modules/$version
			return
		fi
	done
	package=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
	[ -n "$package" ] || die "no kernel with fs-verity here, and apt knows no linux-image-amd64 (apt-get update?)"
	echo "vmcheck: fetching $package"
	mkdir -p "$VM" && (cd "$VM" && rm -f -- *.deb && apt-get -q download "$package" >fetch.log 2>&1) || die "cannot fetch $package: $(tail -n 1 "$VM/fetch.log")"
	rm -rf "$VM/root" && mkdir "$VM/root" && dpkg-deb -x "$VM"/*.deb "$VM/root" && rm -f "$VM"/*.deb || die "cannot unpack $package"
	find_kernel_again=${find_kernel_again:-}x
	[ "$find_kernel_again" = x ] || die "$package has no fs-verity"
	find_kernel
}
find_kernel
echo "vmcheck: ${kernel##*/}"

# ---- the initramfs
root=$work/root
mkdir -p "$root"/{bin,sbin,proc,sys,dev,tmp,run,mnt,etc,modules,tests,var/tmp,dev/shm}
ln -s . "$root/usr"
add() { # PROGRAM...: with the libraries that it asks for, at the places where it looks for them
	local p real
	for p in "$@"; do
		real=$(type -P "$p") || die "no $p here"
		cp -L "$real" "$root/bin/${p##*/}" || exit 1
		ldd "$real" 2>/dev/null | grep -o '/[^ ]*' | while read -r lib; do
			[ -e "$root${lib/#\/usr/}" ] || cp -L --parents "$lib" "$root" 2>/dev/null || cp -L "$lib" "$root/lib/"
		done
	done
}
mkdir -p "$root/lib" "$root/lib64" "$root/lib/x86_64-linux-gnu"
for t in $TESTS; do add "$BUILD/tests/unit/store/$t"; done
add "$BUILD/ayni" bash mount umount mkfs.ext4 mkfs.btrfs mkfs.xfs fsverity setpriv unshare timeout cat cp mv rm ls mkdir \
	rmdir ln touch chmod chown sleep id stat find grep awk sed sort sha256sum cksum cmp diff dd truncate head tail wc cut tr paste \
	mktemp date true false pwd env df setsid pgrep ps losetup kill xargs realpath readlink ldd test uname nproc printf dirname basename insmod sync seq
ln -sf bash "$root/bin/sh"
for p in mkfs.ext4 mkfs.btrfs mkfs.xfs; do ln -sf "../bin/$p" "$root/sbin/$p"; done
mkdir -p "$root/ayni/build" && cp -r tests "$root/ayni/tests" && rm -rf "$root/ayni/tests/fuzz" && ln -s /bin/ayni "$root/ayni/build/ayni"
cp tests/vm/guest.sh "$root/init" && chmod 755 "$root/init"
cp "$BUILD"/../tests/golden/* "$root/tests/" 2>/dev/null
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
cp /etc/mke2fs.conf "$root/etc/" 2>/dev/null
# Each module after those that it needs.
for m in $MODULES; do
	modprobe -d "${modules%/lib/modules/*}/" -S "${modules##*/}" --show-depends "$m" 2>/dev/null
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/modules"
if [ ! -s "$work/modules" ]; then # the package was unpacked, not configured: nobody has made its index
	depmod -b "${modules%/lib/modules/*}" "${modules##*/}" || die "cannot order the kernel's modules"
	for m in $MODULES; do
		modprobe -d "${modules%/lib/modules/*}/" -S "${modules##*/}" --show-depends "$m" 2>/dev/null
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/modules"
fi
n=10
while read -r m; do
	cp "$m" "$root/modules/$n-${m##*/}" && n=$((n + 1))
done <"$work/modules"
[ $n -gt 15 ] || die "the kernel's modules are not all there: $(tr '\n' ' ' <"$work/modules")"
(cd "$root" && find . -print0 | cpio --quiet -0 -o -H newc) >"$work/initramfs" || die "cannot pack the initramfs"
echo "vmcheck: initramfs of $(du -m "$work/initramfs" | cut -f 1) MiB"

# ---- the machine
boot() { # ACCELERATOR...
	timeout -k 5 "$LIMIT" qemu-system-x86_64 "$@" -smp 2 -m 1536 -nodefaults -no-reboot -display none -serial stdio \
		-kernel "$kernel" -initrd "$work/initramfs" -append "console=ttyS0 panic=-1 quiet loglevel=3" \
		>"$work/console" 2>"$work/qemu.log" </dev/null &
	qemu=$!
	wait $qemu
	rc=$?
	qemu=
}
# A kvm that is there may still not work, or die early: then emulation.
kvm_works() {
	[ "${VM_ACCEL:-}" != tcg ] && [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
	(timeout -k 1 20 qemu-system-x86_64 -accel kvm -cpu host -m 64 -nodefaults -display none -no-reboot -S -monitor stdio <<<quit; exit $?) >/dev/null 2>&1
}
start=$SECONDS
accel=
if kvm_works; then
	accel=kvm
	boot -accel kvm -cpu host
	grep -qa '^VMCHECK begin' "$work/console" || { echo "vmcheck: /dev/kvm is there but does not work; emulating"; accel=; }
fi
if [ -z "$accel" ]; then
	accel=emulation
	boot -accel tcg,thread=multi -cpu max
fi
mkdir -p "$VM" && tr -d '\r' <"$work/console" >"$VM/console.log"
echo "vmcheck: $accel, $((SECONDS - start)) s"

# ---- what it said
passed=$(grep -ac '^VMCHECK ok ' "$VM/console.log")
awk '/^VMCHECK (ok|FAIL|skip) / { sub(/^VMCHECK /, ""); print } /^ *\| /' "$VM/console.log"
sums=$(awk '/^VMCHECK (ok|FAIL|skip) / { for (i = 1; i < NF; i++) { if ($(i + 1) ~ /^passed/) p += $i; if ($(i + 1) ~ /^failed/) f += $i; if ($(i + 1) ~ /^skipped/) s += $i } }
	END { print p + 0, f + 0, s + 0 }' "$VM/console.log")
read -r passed failed skipped <<<"$sums"
if ! grep -qa '^VMCHECK end' "$VM/console.log"; then
	echo "vmcheck: the machine did not get to the end (exit code $rc; 124: not done after $LIMIT s). Its last words:"
	tail -n 25 "$VM/console.log" "$work/qemu.log" | sed 's/^/    | /'
	failed=$((failed + 1))
fi
[ "$passed" != 0 ] || failed=$((failed + 1))
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ "$failed" = 0 ]
