#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 120
# `ayni delta`: directories and files there and back; the classic format with Debian's own bsdiff and bspatch, in both
# directions; hostile patches; nothing is written over unasked and nothing half-made stays.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/cli_lib.sh
cd "$T" || exit 1
delta=("$AYNI" delta)

tree_of() { (cd "$1" && find . -printf '%p %y %m %U %G %T@ %s %l\n' | sed 's/^\(\S* d .*\) [0-9]* $/\1/' | sort && find . -type f -print0 | sort -z | xargs -0 -r sha256sum) | sha256sum; }
nothing_stays() { # of what was made beside its place
	same "what stays of $1" "$(find . -name '.tmp-*')" ""
}

say "directories"
mkdir -p old/bin old/deep/er
head -c 300000 "$AYNI" >old/bin/tool
head -c 50000 "$AYNI" >old/gone
seq 1 3000 >old/deep/er/numbers
: >old/empty
ln -s bin/tool old/link
cp -a old new
{ head -c 100000 new/bin/tool && echo changed && tail -c +100400 new/bin/tool; } >x && cat x >new/bin/tool && rm x
rm new/gone new/link
seq 2 3001 >new/deep/er/numbers
cp new/deep/er/numbers new/copy1
cp new/deep/er/numbers new/copy2
cp old/deep/er/numbers new/moved
ln -s empty new/link2
mkfifo new/fifo
printf 'odd' >"new/odd name
%"
chmod 4711 new/bin/tool
chmod 555 new/deep
touch -d '2001-02-03 04:05:06.789' new/empty
expect 0 "as differences" "${delta[@]}" make old new -o d
expect 0 "manifest" "${delta[@]}" apply old d -o got
[ "$(id -u)" != 0 ] || same "the new directory" "$(tree_of got)" "$(tree_of new)"
same "a copied content" "$(stat -c %h got/copy1)" 1
expect 0 "ayni-bundle" "$AYNI" show d
expect 0 "" "${delta[@]}" make new old -o back
expect 0 "" "${delta[@]}" apply new back -o old2
same "and back" "$(tree_of old2)" "$(tree_of old)"
expect_json 0 '"differences"' "${delta[@]}" make old new -o d --force --json --fast --threads 1 --memory 64
expect_json 0 '"checked": true' "${delta[@]}" apply old d -o got2 --json
expect 0 "" "${delta[@]}" make --from-nothing new -o whole
expect 0 "" "${delta[@]}" apply --from-nothing whole -o got3
[ "$(id -u)" != 0 ] || same "from nothing" "$(tree_of got3)" "$(tree_of new)"
expect 0 "nothing differs (old has " "${delta[@]}" make old old -o same
expect 0 "" "${delta[@]}" apply old same -o got4
same "no difference" "$(tree_of got4)" "$(tree_of old)"
rm -rf got2 got3 got4
# Not what it starts from.
expect 1 "new is not what it starts from" "${delta[@]}" apply new d -o no
expect 1 "say --from-nothing" "${delta[@]}" apply old whole -o no
expect 1 "not from nothing" "${delta[@]}" apply --from-nothing d -o no
cp -a old touched
touch touched/empty
expect 1 "touched is not what it starts from" "${delta[@]}" apply touched d -o no
[ "$(id -u)" != 0 ] || {
	cp -a old others && chown -R 1234:1234 others
	expect 1 "others is not what it starts from" "${delta[@]}" apply others d -o no
	expect 0 "" "${delta[@]}" make old new -o d0 --owner-root
	expect 0 "" "${delta[@]}" apply others d0 -o got5 --owner-root
	same "owners" "$(find got5 -printf '%U:%G\n' | sort -u)" 0:0
}
check "a failure left a directory" [ ! -e no ]
nothing_stays failures

say "what it costs"
expect 0 "/bin/tool <- " "$AYNI" show d
says "/copy1 (and 2 more)" "/bin/tool" "literal" "bsdiff" "manifest delta"
# The shares of the files, the manifest delta, and heads and checks are the bundle: each is rounded by itself.
if awk '$1 ~ /^[0-9]+$/ && $3 ~ /%$/ { sum += $1; n++ } / files of / { sum += $(NF - 5) + $NF } /^document:/ { size = $3 }
	END { exit !(n >= 2 && sum > size - n - 2 && sum < size + n + 2) }' "$T/out"; then
	good
else
	bad "the costs do not add up to the bundle"
fi
expect 0 "/bin/tool <- /bin/tool" "$AYNI" show --from old d
expect 1 "not what the bundle starts from" "$AYNI" show --from new d
expect 0 "column" "$AYNI" show --stats d
says "way " "ending " "literal " "bsdiff " "(none)"
expect_json 0 '"path": "/bin/tool"' "$AYNI" show --json d
says '"cost":' '"way": "bsdiff"' '"way": "literal"'
expect_json 0 '"endings"' "$AYNI" show --json --stats --from old d
printf "untrusted comment: x\nRWQ\n" >key
expect 2 "are for bundles" "$AYNI" show --stats key

say "what may come out, and what reading may take"
# Nothing but a name or two is in the delta: all that comes out is copied from the old tree.
mkdir few many_copies
head -c 3000000 /dev/urandom >few/a
for i in 1 2 3; do cp few/a many_copies/$i; done
expect 0 "" "${delta[@]}" make few many_copies -o copies
check "the delta is not small" [ "$(stat -c %s copies)" -lt 2000 ]
expect 1 "more than the 8388608 bytes that are allowed" "${delta[@]}" apply few copies -o no --max-size 8
expect 0 "" "${delta[@]}" apply few copies -o got6 --max-size 9M
expect 2 "--max-size must be a size from 1M" "${delta[@]}" apply few copies -o no --max-size 0
check "it was applied" [ ! -e no ]
rm -rf got6 few many_copies copies
# By default no more memory than half of the machine's: a header that asks for a TiB is refused at once.
resign() { { cat head && sha256sum head | head -c 16 | sed 's/../\\x&/g' | xargs -0 printf %b && tail -c +145 d; } >"$1"; }
{ head -c 104 d && printf '\0\0\0\0\0\001\0\0' && tail -c +113 d | head -c 24; } >head && resign hungry
expect 1 "bytes of memory besides" "${delta[@]}" apply old hungry -o no
check "it was applied" [ ! -e no ]

# One that needs an encoder which is not here can be looked at, and not applied.
{ head -c 120 d && printf '\040\0\0\0' && tail -c +125 d | head -c 12; } >head
resign later
expect 0 "encoder: ?" "$AYNI" show later
expect 1 "encoder" "${delta[@]}" apply old later -o no
check "it was applied" [ ! -e no ]

say "words and places"
expect 2 "make or apply" "${delta[@]}"
expect 2 "make or apply" "${delta[@]}" mkae old new -o x
expect 2 "OLD and NEW" "${delta[@]}" make old -o x
expect 2 "OLD and DELTA" "${delta[@]}" apply old -o x
expect 2 "where the result goes" "${delta[@]}" make old new
expect 2 "bundle or bsdiff40" "${delta[@]}" make old new -o x --format=xdelta
expect 2 "is for files" "${delta[@]}" make old new -o x --format=bsdiff40
expect 2 "is a directory and" "${delta[@]}" make old new/empty -o x
expect 2 "is a directory and" "${delta[@]}" make old/empty new -o x
expect 2 "are for make" "${delta[@]}" apply old d -o x --fast
expect 2 "NEW alone" "${delta[@]}" make --from-nothing old new -o x
expect 2 "DELTA alone" "${delta[@]}" apply --from-nothing old d -o x
expect 2 "from 4M to 1024G" "${delta[@]}" make old new -o x --apply-memory 3
expect 2 "at least 64M" "${delta[@]}" make old new -o x --memory 63M
expect 2 "a bare number: MiB" "${delta[@]}" make old new -o x --memory 1Q
expect 0 "" "${delta[@]}" make old new -o sized --memory 64M --apply-memory 1g
rm sized
for option in --fast --no-filters --owner-root --threads=1 --apply-memory=8; do
	expect 2 "not for the bsdiff40 format" "${delta[@]}" make old/empty new/empty -o x --format=bsdiff40 $option
done
expect 2 "lie in new itself" "${delta[@]}" make old new -o new/x
expect 2 "lie in old itself" "${delta[@]}" make old new -o old/deep/x
expect 2 "neither a file nor a directory" "${delta[@]}" make old new/fifo -o x
expect 2 "no name for something new" "${delta[@]}" make old new -o .
expect 1 "No such file" "${delta[@]}" make old none -o x
expect 1 "is there already (--force" "${delta[@]}" make old new -o d
expect 1 "only files are replaced" "${delta[@]}" apply old d -o got --force
expect 1 "only files are replaced" "${delta[@]}" make old new -o old2 --force
expect 1 "only files are replaced" "${delta[@]}" make old new -o /dev/null --force
expect 1 "neither a bundle nor a bsdiff40 patch" "${delta[@]}" apply old new/copy1 -o x
check "something was written" [ ! -e x ]
check "/dev/null is gone" [ -c /dev/null ]

say "files: our own format, and Debian's bsdiff and bspatch"
: >f0
printf x >f1
head -c 400000 "$AYNI" >f2
{ head -c 130000 f2 && seq 1 500 && tail -c +140000 f2; } >f3
{ tail -c 200000 f2 && head -c 200000 f2; } >f4
head -c 20000 /dev/urandom >f5
head -c 3000000 /dev/zero >f6
for pair in "f2 f3" "f3 f2" "f2 f4" "f5 f2" "f1 f2" "f2 f1" "f0 f2" "f2 f0" "f0 f0" "f1 f1" "f2 f2" "f6 f2" "f2 f6"; do
	read -r a b <<<"$pair"
	expect 0 "" "${delta[@]}" make $a $b -o p --force
	expect 0 "digest" "${delta[@]}" apply $a p -o q --force
	check "$pair: not the same" cmp -s $b q
	expect 0 "" "${delta[@]}" make $a $b -o p --force --format=bsdiff40
	expect 0 "none to compare it with" "${delta[@]}" apply $a p -o q --force
	check "$pair, bsdiff40: not the same" cmp -s $b q
	check "$pair: bspatch does not take it" bspatch $a q p
	check "$pair: bspatch makes something else of it" cmp -s $b q
	# bsdiff(1) maps the files, which the kernel refuses for empty ones: then there is no patch of its own to read.
	if [ -s $a ] && [ -s $b ]; then
		check "$pair: bsdiff" bsdiff $a $b p
		expect 0 "" "${delta[@]}" apply $a p -o q --force --format=bsdiff40
		check "$pair: of bsdiff's patch another file" cmp -s $b q
	fi
done
chmod 600 q
expect 0 "" "${delta[@]}" make f2 f3 -o p --force
(umask 027 && "${delta[@]}" apply f2 p -o q2 >/dev/null)
same "the new file's mode" "$(stat -c %a q2)" 640
expect 0 "" "${delta[@]}" apply f2 p -o f2 --force # in place
check "in place: not the same" cmp -s f2 f3
expect 1 "f2 is not what it starts from" "${delta[@]}" apply f2 p -o x
expect 1 "is not of the format bsdiff40" "${delta[@]}" apply f2 p -o x --format=bsdiff40
expect 1 "is not what it starts from" "${delta[@]}" apply f2 d -o x
bsdiff f4 f3 p
expect 2 "is for a file" "${delta[@]}" apply old p -o x
expect 2 "not for a bsdiff40 patch" "${delta[@]}" apply f4 p -o x --owner-root
expect 1 "is not of the format bundle" "${delta[@]}" apply f4 p -o x --format=bundle
# Too large for the memory allowed: said beforehand.
truncate -s 3G huge
expect 1 "MiB of memory, 64 are allowed" "${delta[@]}" make huge f3 -o x --format=bsdiff40 --memory 64
rm huge

say "hostile patches"
number() { # VALUE: as the header has it
	local v=$1 i
	for i in 0 1 2 3 4 5 6 7; do printf "\\x$(printf %02x $((v >> 8 * i & 255)))"; done
}
for value in $((3 << 30)) $((1 << 62)) -1 $((1 << 31)); do
	for at in 8 16; do
		{ head -c $at p && number $value && tail -c +$((at + 9)) p; } >bad
		expect 1 "offset $at: " "${delta[@]}" apply f4 bad -o x
	done
done
{ head -c 24 p && number $((3 << 30)) && tail -c +33 p; } >bad
expect 1 "too few bytes" "${delta[@]}" apply f4 bad -o x --max-size 4096
expect 1 "it gives 3221225472 bytes, at most" "${delta[@]}" apply f4 bad -o x --max-size 100
{ head -c 24 p && number $((1 << 60)) && tail -c +33 p; } >bad
expect 1 "there is room for" "${delta[@]}" apply f4 bad -o x
head -c -20 p >bad
expect 1 "bad: " "${delta[@]}" apply f4 bad -o x
{ cat p && echo; } >bad
expect 1 "bytes stand behind" "${delta[@]}" apply f4 bad -o x
head -c 100 f4 >short
expect 1 "outside the old file's 100" "${delta[@]}" apply short p -o x
{ head -c 2000 d && printf '\377' && tail -c +2002 d; } >bad
expect 1 "bad: " "${delta[@]}" apply old bad -o x
check "a bad patch gave something" [ ! -e x ]
nothing_stays "hostile patches"

say "interrupted: nothing stays"
mkdir many
for i in $(seq 60); do head -c 200000 /dev/urandom >many/$i; done
"${delta[@]}" make --from-nothing many -o i --threads 1 >/dev/null 2>err2 &
for _ in $(seq 100); do [ -z "$(find . -name '.tmp-*')" ] || break; sleep 0.01; done
kill -TERM $!
wait $!
rc=$?
if [ $rc = 1 ]; then
	check "not told why" grep -q stopped err2
	check "an interrupted delta was made" [ ! -e i ]
else
	same "exit code of what was too fast to be interrupted" $rc 0
fi
nothing_stays "an interruption"
# The classic format too, though not while it sorts.
head -c 12000000 /dev/urandom >n1
head -c 12000000 /dev/urandom >n2
"${delta[@]}" make n1 n2 -o i --format=bsdiff40 >/dev/null 2>err2 &
for _ in $(seq 100); do [ -z "$(find . -name '.tmp-*')" ] || break; sleep 0.01; done
kill -TERM $!
wait $!
same "exit code of an interrupted bsdiff40" $? 1
check "not told why" grep -q stopped err2
check "an interrupted patch was made" [ ! -e i ]
nothing_stays "an interrupted bsdiff40"
rm n1 n2

say "killed while it works: nothing of that name, or all of it"
expect 0 "" "${delta[@]}" make --from-nothing new -o whole --force
for delay in 0.000 0.002 0.004 0.006 0.008 0.01 0.015 0.02 0.03; do
	"${delta[@]}" apply --from-nothing whole -o k >/dev/null 2>&1 &
	sleep $delay
	kill -9 $! 2>/dev/null
	wait $! 2>/dev/null
	[ ! -e k ] || [ "$(id -u)" != 0 ] || same "killed after $delay s" "$(tree_of k)" "$(tree_of new)"
	chmod -R u+w k .tmp-* 2>/dev/null
	rm -rf k .tmp-*
done

finish_count
