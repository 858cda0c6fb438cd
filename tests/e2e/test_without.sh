#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 120
# `ayni delta make --without`: whatever is left out, the delta gives the same tree; and where a technique is made for the pair,
# the delta is larger without it. (The map of type numbers needs kernel modules: tests/roundtrips.sh has them.)
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/cli_lib.sh
cd "$T" || exit 1
delta=("$AYNI" delta)

# N bytes that nothing can pack, the same for the same SEED.
noise() { # SEED N
	perl -e 'srand $ARGV[0]; print pack("C*", map { int rand 256 } 1 .. $ARGV[1])' "$1" "$2"
}
# A program of so many small functions that call each other and read tables; of version 2 there is something at the front.
program() { # VERSION: C
	echo 'int table[900]; int f0(int x) { return x; }'
	[ "$1" = 1 ] || echo 'int added(int x) { for (int i = 0; i < x; i++) table[i] += x * i; return x; }'
	perl -e 'srand 5; for my $i (1 .. 800) {
		my ($a, $b, $c) = (int rand $i, int rand $i, int rand 900);
		print "int f$i(int x) { return x > $c ? f$a(x + $b) - table[$c] : f$b(x ^ $a) + table[$b]; }\n" }'
}
words() { # VERSION
	perl -e 'srand 7; print join("", map { chr(97 + rand 20) } 1 .. 60), " $_\n" for 1 .. 2000'
	seq "$1" 3 900
	perl -e 'srand 8; print join("", map { chr(97 + rand 20) } 1 .. 60), " $_\n" for 1 .. 1000'
}

say "pairs"
mkdir -p {rename,sketch,several,elf,deflate,xz,zstd,pack-xz}/{1,2}
# Too small for sketches, so that the names alone say what came from where.
mkdir -p rename/1/lib-1.0.1/data rename/2/lib-1.0.2/data
for i in $(seq 40); do
	noise "$i" 240 >rename/1/lib-1.0.1/data/item-$i
	{ cat rename/1/lib-1.0.1/data/item-$i && echo 2; } >rename/2/lib-1.0.2/data/item-$i
done
noise 50 60000 >sketch/1/before
{ head -c 30000 sketch/1/before && echo changed && tail -c +30001 sketch/1/before; } >sketch/2/quite-another
# Of the file of the same path two thirds are the same, of the one whose number differs all is.
noise 51 60000 >several/1/part-1.bin
{ head -c 40000 several/1/part-1.bin && noise 52 20000; } >several/1/part-2.bin
{ echo 2 && cat several/1/part-1.bin; } >several/2/part-2.bin
for v in 1 2; do
	program $v >p.c
	${CC:-cc} -O1 -shared -fPIC -w -o elf/$v/lib.so p.c || fail "cannot compile"
	words $v >w
	gzip -9n <w >deflate/$v/w.gz
	xz <w >xz/$v/w.xz
	zstd -q -3 <w >zstd/$v/w.zst
	seq $((v * 1000)) 7 400000 >pack-xz/$v/numbers
done
cp -a elf mask

# there_and_back PAIR NAME [WITHOUT]: sets size
there_and_back() {
	local d=$2.delta
	expect 0 "" "${delta[@]}" make "$1/1" "$1/2" -o "$d" ${3:+--without=$3}
	rm -rf got
	expect 0 "" "${delta[@]}" apply "$1/1" "$d" -o got
	check "$1 without ${3:-nothing}: another tree" diff -r --no-dereference got "$1/2"
	size=$(stat -c %s "$d")
	rm -f "$d"
}

say "each technique where it matters"
for t in rename sketch several elf mask deflate xz zstd pack-xz; do
	there_and_back $t with
	with=$size
	there_and_back $t without $t
	check "$t: $with bytes with it, $size without" [ "$size" -gt $((with + with / 100)) ]
done

say "anything left out"
mkdir all
for v in 1 2; do
	mkdir all/$v
	for t in rename sketch several elf deflate xz zstd pack-xz; do cp -a $t/$v all/$v/$t; done
done
there_and_back all with
with=$size
for t in btf elf,mask,btf rename,sketch deflate,xz,zstd \
	rename,sketch,several,elf,mask,btf,deflate,xz,zstd,pack-xz,threshold; do
	there_and_back all without $t
	check "$t: $with bytes with them, $size without" [ "$size" -ge "$with" ]
done
expect 0 "" "${delta[@]}" make all/1 all/2 -o a --without=deflate,xz,zstd
expect 0 "" "${delta[@]}" make all/1 all/2 -o b --no-filters
check "--no-filters is another thing" cmp -s a b
expect 0 "" "${delta[@]}" make all/1 all/2 -o c --without deflate --without xz --without zstd
check "said one by one it is another thing" cmp -s a c

say "--fast predicts addresses in large programs only (from 16 MiB on)"
noise 9 4096 >n
for i in $(seq 4100); do cat n; done >noise # what is in it does not matter
printf '.section .rodata\nlarge: .incbin "noise"\n.section .note.GNU-stack,"",@progbits\n' >large.s
mkdir -p fast-small/{1,2} fast-large/{1,2}
for v in 1 2; do
	program $v >p.c
	cp elf/$v/lib.so fast-small/$v/
	${CC:-cc} -O1 -shared -fPIC -w -o fast-large/$v/lib.so p.c large.s || fail "cannot compile"
done
for size in small:bsdiff large:elf; do
	expect 0 "" "${delta[@]}" make fast-${size%:*}/1 fast-${size%:*}/2 -o d --fast
	"$AYNI" show d >shown
	check "${size%:*}: not by ${size#*:}: $(grep lib.so shown)" grep -q "% ${size#*:} .*/lib.so" shown
	rm -rf got
	expect 0 "" "${delta[@]}" apply fast-${size%:*}/1 d -o got
	check "${size%:*}, --fast: another tree" diff -r --no-dereference got fast-${size%:*}/2
	rm -f d
done

say "words"
names="rename, sketch, several, elf, mask, btf, deflate, xz, zstd, pack-xz, threshold"
expect 2 "\"gzip\" is no technique; there are $names" "${delta[@]}" make all/1 all/2 -o x --without=elf,gzip
expect 2 "\"\" is no technique" "${delta[@]}" make all/1 all/2 -o x --without=elf,
expect 2 "are for make" "${delta[@]}" apply all/1 a -o x --without=elf
expect 2 "not for the bsdiff40 format" "${delta[@]}" make p.c w -o x --format=bsdiff40 --without=elf
check "something was made" [ ! -e x ]
"${delta[@]}" --help >help
for t in ${names//,/}; do check "--help does not name $t" grep -qw -- "$t" help; done
finish_count
