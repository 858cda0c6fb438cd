#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 400
# Pairs forward and backward, bit-exact: documents and archives made here, and a bounded selection of tests/corpus.sh's, of
# what it fetched earlier (nothing is fetched here; `make roundtrips` does all pairs). What is not there is skipped, and said.
cd "$(dirname "$0")/../.." || exit 1
. tests/e2e/lib.sh
. tests/roundtrips_lib.sh
cd "$T" || exit 1
AYNI=$(realpath "$AYNI")
CACHE=${AYNI_CACHE:-${XDG_CACHE_HOME:-${HOME:-/var}/.cache}/ayni-corpus}
skipped=0 missing=
[ -x /usr/bin/time ] || { echo "no /usr/bin/time here"; exit 77; }

skip() { # WHAT
	echo "SKIPPED $1: not fetched"
	skipped=$((skipped + 1))
	missing="$missing $1"
}
# kept NAME PATTERN: the two oldest directories of the corpus that match, into "pair".
kept() {
	mapfile -t pair < <(compgen -G "$CACHE/$2" | sort -V)
	[ ${#pair[@]} -ge 2 ] || { skip "$1"; return 1; }
	pair=("${pair[@]:0:2}")
}
# part OUT FIND-ARGS...: of both of the pair's trees only such files, at their paths
part() {
	local i out=$1
	shift
	for i in 0 1; do
		mkdir -p "$out/$i"
		(cd "${pair[i]}" && find . -type f "$@" -print0 | sort -z) | tar -C "${pair[i]}" --null -T - -cf - | tar -C "$out/$i" -xpf -
	done
	pair=("$out/0" "$out/1")
}

say "documents and archives"
words() { # SEED VERSION
	perl -e 'my ($seed, $v) = @ARGV; srand $seed; my @w = map { join "", map { chr(97 + rand 26) } 1 .. 3 + rand 6 } 1 .. 800;
		for my $i (1 .. 1500) { print join(" ", map { $w[rand @w] } 1 .. 9), $i % 300 == $v * 7 ? " (edition $v)" : "", "\n" }' "$1" "$2"
}
zip_of() { # OUT FILE...
	perl -MIO::Compress::Zip=zip,:zip_method -e 'my $out = shift; my $z = IO::Compress::Zip->new($out, Name => "mimetype", Method => ZIP_CM_STORE, Time => 1e9) or die;
		$z->print("application/x"); for my $f (@ARGV) { $z->newStream(Name => $f, Method => ZIP_CM_DEFLATE, Time => 1e9); open my $h, "<:raw", $f or die; local $/; $z->print(scalar <$h>); }
		$z->close' "$@" || fail "no zip"
}
for v in 1 2; do
	mkdir -p docs/$v/texts-$v in && cd in || fail "cannot make"
	for n in content.xml activity.py styles.xml; do words ${#n} $v >$n; done
	zip_of ../docs/$v/book.odt content.xml styles.xml
	zip_of ../docs/$v/Paint-$v.xo activity.py content.xml
	zip_of ../docs/$v/inner.zip styles.xml
	cp ../docs/$v/inner.zip .
	zip_of ../docs/$v/outer.jar inner.zip activity.py
	gzip -9n <content.xml >../docs/$v/changelog.gz
	tar --sort=name --mtime=@1000000000 --owner=0 --group=0 -cf - content.xml changelog 2>/dev/null | xz -6 --lzma2=dict=1MiB >../docs/$v/src.tar.xz
	tar --sort=name --mtime=@1000000000 --owner=0 --group=0 -cf - activity.py inner.zip | zstd -q -5 >../docs/$v/src.tar.zst
	for n in $(seq 20); do words $((100 + n)) $v >../docs/$v/texts-$v/chapter-$n.txt; done
	head -c 200000 /dev/zero >../docs/$v/zeros && : >../docs/$v/empty
	cd ..
	rm -rf in
done
there_and_back docs/1 docs/2
there_and_back docs/1 docs/2 --fast
there_and_back docs/1 docs/2 --apply-memory=8M

say "of the corpus"
for p in "libcrypto deb/amd64/libssl3_*" "libpython3.11 deb/amd64/libpython3.11_*" "libexpat1 deb/amd64/libexpat1_*" \
	"libgs10 deb/amd64/libgs10_*" "arm64-libcrypto deb/arm64/libssl3_*" "arm64-libperl deb/arm64/libperl5.36_*"; do
	kept "${p% *}" "${p#* }" && part "${p% *}" -name '*.so*' && there_and_back "${pair[@]}"
done
kept esbuild 'npm/@esbuild+linux-x64/*' && there_and_back "${pair[@]}"
kept tzdata 'deb/amd64/tzdata_*' && there_and_back "${pair[@]}"
kept django 'deb/amd64/python3-django_*' && part django -path '*/contrib/admin/*' && there_and_back "${pair[@]}"
kept tomcat 'deb/amd64/libtomcat10-java_*' && part tomcat -name '*-a*.jar' && there_and_back "${pair[@]}"
kept templates 'deb/amd64/libreoffice-common_*' && part templates -name '*.ott' -path '*wizard*' && there_and_back "${pair[@]}"
kept modules-arm64 'kernel-arm64/linux-image-*' && part modules-arm64 -path '*/net/dsa/*.ko' && there_and_back "${pair[@]}"
if kept modules 'kernel/linux-image-*'; then
	part modules -path '*/net/sched/*.ko'
	there_and_back "${pair[@]}"
	# Kernel modules are what the map of type numbers is for.
	trip "${pair[@]}" && with=$(sed 's/ .*//' <<<"$costs")
	trip "${pair[@]}" --without=btf && without=$(sed 's/ .*//' <<<"$costs")
	if [ "${without:-0}" -gt "${with:-0}" ]; then
		echo "same    modules: $with bytes, $without without the map of type numbers"
		trips_good=$((trips_good + 1))
	else
		echo "FAILED  modules: ${with:-?} bytes, ${without:-?} without the map of type numbers"
		trips_bad=$((trips_bad + 1))
	fi
fi

say "a tree that is not the same is found"
cp -a docs/2 other && touch -d '2001-01-01' other/empty
[ "$(state_of other)" != "$(state_of docs/2)" ] || fail "a time does not count"
cp -a docs/2/empty other/empty && printf 'x' | dd of=other/book.odt bs=1 seek=40 conv=notrunc status=none && touch -r docs/2/book.odt other/book.odt
[ "$(state_of other)" != "$(state_of docs/2)" ] || fail "a byte does not count"
[ "$skipped" = 0 ] || echo "not fetched (tests/corpus.sh does):$missing"
echo "$trips_good passed, $trips_bad failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ "$trips_bad" = 0 ]
exit
