#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 400
# Files with packed ones inside: a release of them is small, small machines get a bundle of their own, and a library
# that packs differently than the publisher's costs bytes, not the update.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/cli_lib.sh
top=$PWD
cd "$T" || exit 1
me=() owner=()
[ "$(id -u)" = 0 ] || me=(--owner-me) owner=(--owner-root)
make_keys k
"$AYNI" root new --fleet t --key k.pub --sign k.key -o root >/dev/null || fail "root"
if ! ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -shared -fPIC -o other.so "$top/tests/e2e/otherxz.c" -ldl; then
	fail "otherxz.c cannot be built"
fi

# About 2 MB that no packer makes small, but that two versions have in common.
content() { # VERSION: of which the middle is
	perl -e 'srand 7; print join("", map { chr(97 + rand 20) } 1 .. 60), " $_\n" for 1 .. 20000'
	seq "$1" 3 "$(($1 + 9000))"
	perl -e 'srand 8; print join("", map { chr(97 + rand 20) } 1 .. 60), " $_\n" for 1 .. 10000'
}
# TREE VERSION: an image as kernels are, a document, archives in archives
make_tree() {
	rm -rf "$1"
	mkdir -p "$1/boot" "$1/doc"
	content "$2" >c
	{ head -c 15000 "$AYNI" && xz -c --check=crc32 --x86 --lzma2=dict=16MiB c && printf '\0\1\2\3'; } >"$1/boot/vmlinuz-$2"
	gzip -9n <c >"$1/doc/changelog.gz"
	perl -MIO::Compress::Zip=zip -e 'zip([@ARGV] => "out.zip", Name => "x", Time => 1e9) or die' c root && mv out.zip "$1/doc/book.odt"
	(mkdir -p pkg && cp c pkg/ && gzip -6n <c >pkg/inner.gz && tar --sort=name --mtime=@1000000000 --owner=0 --group=0 -cf - pkg | zstd -q -3 >"$1/doc/pkg.tar.zst")
	find "$1" -exec touch -h -d '2024-05-06 07:08:09' {} +
}
publish() { # TREE OPTION...
	local tree=$1
	shift
	ran "$AYNI" publish --repo repo --branch b --key k.key "${owner[@]}" --json "$@" "$tree"
	[ "$rc" = 0 ] && good || bad "publish $tree"
	cp "$T/out" published
}
# Of the bundles just made from release 1: the Nth's number KEY.
bundle() { # N KEY
	tr -d ' \n' <published | grep -o '{"from":1,[^}]*}' | sed -n "$1s/.*\"$2\":\([0-9]*\).*/\1/p"
}
laptop() { # STORE: at release 1
	rm -rf "$1"
	cp -a base "$1"
}
# The store is at release 2, and that is the tree.
arrived() { # STORE
	expect 0 "every path is what its release says" "$AYNI" verify b --store "$1"
	check "$1: the contents" diff -r --no-dereference tree2 "$1/branches/b/current/"
}
import=("$AYNI" import --control "$NODE" --json repo --store)

make_tree tree1 1
make_tree tree2 2
publish tree1 --root root
"$AYNI" init --store base --root root --branch b "${me[@]}" >/dev/null || fail "init"
expect 0 "" "${import[@]}" base

say "two bundles: a small one, and one for small machines"
publish tree2
same "bundles from release 1" "$(tr -d ' \n' <published | grep -o '{"from":1,' | wc -l)" 2
small=$(bundle 1 bytes) plain=$(bundle 2 bytes)
check "$small bytes, $plain without filters" [ "$((small * 20))" -lt "$plain" ]
check "memory of the small one: $(bundle 1 memory)" [ "$(bundle 1 memory)" -gt $((128 << 20)) ]
check "memory of the other: $(bundle 2 memory)" [ "$(bundle 2 memory)" -le $((128 << 20)) ]
offers=$(for o in repo/offers/*/*; do "$AYNI" show "$o"; done)
check "no offer names lzma2-5.2" grep -q 'encoders:.*lzma2-5.2' <<<"$offers"
check "no offer is without encoders" grep -q 'encoders: -' <<<"$offers"
laptop s
expect_json 0 "\"bytes\": $small" "${import[@]}" s
arrived s

say "a library that packs differently"
laptop s
export AYNI_OTHER_DICT=1
expect_json 0 "\"bytes\": $plain" env LD_PRELOAD="$T/other.so" "${import[@]}" s
arrived s
say "only where no known answer looks: the digest tells"
laptop s
export AYNI_OTHER_DICT=$((16 << 20))
expect_json 0 "\"bytes\": $plain" env LD_PRELOAD="$T/other.so" "${import[@]}" s
arrived s
same "what was left in staging" "$(find s/tmp -mindepth 1 | wc -l)" 0
unset AYNI_OTHER_DICT

say "bounded by the publisher"
rm -rf repo && publish tree1 --root root
publish tree2 --apply-memory 64
same "bundles from release 1" "$(tr -d ' \n' <published | grep -o '{"from":1,' | wc -l)" 1
check "memory: $(bundle 1 memory)" [ "$(bundle 1 memory)" -le $((64 << 20)) ]
check "$(bundle 1 bytes) bytes" [ "$(bundle 1 bytes)" -lt "$plain" ]
laptop s
expect 0 "" "${import[@]}" s
arrived s

say "made fast: larger, and nothing has to be packed again"
rm -rf repo && publish tree1 --root root
publish tree2 --fast
same "bundles from release 1" "$(tr -d ' \n' <published | grep -o '{"from":1,' | wc -l)" 1
check "memory: $(bundle 1 memory)" [ "$(bundle 1 memory)" -le $((64 << 20)) ]
check "$(bundle 1 bytes) bytes, no more than $small" [ "$(bundle 1 bytes)" -gt "$small" ]
check "an offer names an encoder" [ "$(for o in repo/offers/*/*; do "$AYNI" show "$o"; done | grep -c 'encoders: -')" -gt 0 ]
fast=$(bundle 1 bytes)
laptop s
expect_json 0 "\"bytes\": $fast" "${import[@]}" s
arrived s

# One byte of memory for each of the old file's: 100 MB are too many for small machines, which get plain differences.
say "a large program"
mkdir -p big1 big2
openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c 100000000 >blob
for v in 1 2; do
	{
		[ $v = 1 ] || echo 'int added(int x) { return x * 7; }'
		echo 'asm(".section .rodata; .incbin \"blob\"; .text"); int f0(int x) { return x; }'
		perl -e 'for my $i (1 .. 900) { my ($a, $b) = (int($i / 2), int($i / 3)); print "int f$i(int x) { return f$a(x + $b) - f$b(x ^ $i); }\n" }'
	} >p.c
	${CC:-cc} -O1 -shared -fPIC -w -o big$v/lib.so p.c || fail "cannot compile"
	touch -d '2024-05-06 07:08:09' big$v/lib.so big$v
done
rm blob
rm -rf repo tree2 base s && mv big2 tree2
publish big1 --root root
"$AYNI" init --store base --root root --branch b "${me[@]}" >/dev/null || fail "init"
expect 0 "" "${import[@]}" base
publish tree2
same "bundles from release 1" "$(tr -d ' \n' <published | grep -o '{"from":1,' | wc -l)" 2
small=$(bundle 1 bytes) plain=$(bundle 2 bytes)
check "$small bytes, $plain plain" [ "$small" -lt "$plain" ]
check "memory of the small one: $(bundle 1 memory)" [ "$(bundle 1 memory)" -gt $((128 << 20)) ]
check "memory of the other: $(bundle 2 memory)" [ "$(bundle 2 memory)" -le $((128 << 20)) ]
way_of() { # BYTES: how the bundle of this size makes its file
	"$AYNI" show --json "$(find repo -type f -size "$1c")" | json_text way
}
same "way of the one" "$(way_of "$small")" elf
same "way of the other" "$(way_of "$plain")" bsdiff
laptop s
expect_json 0 "\"bytes\": $small" "${import[@]}" s
arrived s
# Where only the other one is: as for a machine that has not the memory.
rm "$(find repo -type f -size "${small}c")"
laptop s
expect_json 0 "\"bytes\": $plain" "${import[@]}" s
arrived s
finish_count
