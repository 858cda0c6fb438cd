#!/bin/bash
# SPDX-License-Identifier: MIT
# Each rule of lint.sh bites: a small clean house passes, and one violation at a time is refused with its name.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
passed=0 failed=0

house() { # a clean house of all rooms in $T/house
	local room
	rm -rf "$T/house"
	mkdir -p "$T/house/build"
	cp "$here/../../.clang-format" "$T/house/"
	for room in base manifest diff store proto node sim tests/unit/base; do
		mkdir -p "$T/house/$room"
	done
	cd "$T/house" || exit 1
	add base/one.h <<-'END'
		#ifndef AYNI_BASE_ONE_H
		#define AYNI_BASE_ONE_H

		int ay_one(int x);

		#endif
	END
	add base/one.c <<-'END'
		#include "base/one.h"

		/* strcpy(a, b) in a comment is no call. */
		int ay_one(int x)
		{
		    return x + (int)sizeof("sprintf(");
		}
	END
	add proto/two.c <<-'END'
		#include <string.h>
		#include "base/one.h"

		int ay_two(const char *s);

		int ay_two(const char *s)
		{
		    return ay_one((int)strlen(s));
		}
	END
}

add() { # FILE: the code on stdin under a proper head; four spaces are a tab (the shell takes tabs away)
	{
		printf '/* SPDX-License-Identifier: MIT */\n/*\n * %s - for a test.\n */\n' "$1"
		sed ':again; s/^\(\t*\)    /\1\t/; t again'
	} >"$1"
}

archive() { # ROOM...: what the build would have made
	local room source
	for room in "$@"; do
		for source in "$room"/*.c; do
			gcc -std=gnu11 -D_GNU_SOURCE -I. -O1 -fPIE -c "$source" -o "build/$(basename "$source" .c).o" 2>/dev/null || return 1
			ar rcs "build/lib$room.a" "build/$(basename "$source" .c).o"
		done
	done
}

lint() { BUILD=build JOBS=1 CC=gcc bash "$here/lint.sh" ${1:+"$1"} . >"$T/said" 2>&1; }

accepts() { # WHAT
	if lint --fast; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL: refused although right: $1"
		sed 's/^/    /' "$T/said"
	fi
}

refuses() { # PATTERN [--fast]: exactly one violation, and this one; then a clean house again
	if lint "${2---fast}" || ! grep -Eq "^$1" "$T/said" || [ "$(grep -vcE '^(lint|warning): ' "$T/said")" != 1 ]; then
		failed=$((failed + 1))
		echo "FAIL: expected one violation like: $1"
		sed 's/^/    /' "$T/said"
	else
		passed=$((passed + 1))
	fi
	house
}

says() { # PATTERN: the same where the violation breaks other rules too
	if ! lint --fast && grep -Eq "^$1" "$T/said"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL: expected among others: $1"
		sed 's/^/    /' "$T/said"
	fi
	house
}

lines() { # N: a body of that many lines
	local i
	for ((i = 0; i < $1; i++)); do printf '\tx += %d;\n' "$i"; done
}

house
archive base proto
accepts "the clean house"

# The head of a file
sed -i 1d base/one.c
says 'base/one.c:1: first-lines'
sed -i '2,4d' base/one.c
refuses 'base/one.c:2: first-lines'

# Layers, each arrow that must not be
for arrow in base:manifest base:proto manifest:diff manifest:proto diff:store store:proto proto:diff proto:store \
	proto:node node:sim sim:node; do
	from=${arrow%:*} to=${arrow#*:}
	printf '#ifndef AYNI_THREE_H\n#define AYNI_THREE_H\n\n#endif\n' | add "$to/three.h"
	printf '#include "%s/three.h"\n\nextern const int ay_x;\nconst int ay_x = 1;\n' "$to" | add "$from/three.c"
	refuses "$from/three.c:5: layers: $from/ may not include $to/three.h"
done
printf '#include "one.h"\n\nextern const int ay_x;\nconst int ay_x = 1;\n' | add base/three.c
says 'base/three.c:5: layers: "one.h" is not a path from the top'
for header in uv.h time.h sys/time.h sys/socket.h netinet/in.h unistd.h fcntl.h sys/random.h pthread.h; do
	printf '#include <%s>\n\nextern const int ay_x;\nconst int ay_x = 1;\n' "$header" | add proto/three.c
	refuses "proto/three.c:5: layers: proto/ includes <$header>"
done

# Headers that include each other
printf '#ifndef AYNI_A_H\n#define AYNI_A_H\n\n#include "base/b.h"\n\n#endif\n' | add base/a.h
printf '#ifndef AYNI_B_H\n#define AYNI_B_H\n\n#include "base/a.h"\n\n#endif\n' | add base/b.h
refuses 'base/[ab].h: cycles: headers include each other: base/[ab].h base/[ab].h$'

# Banned functions
for call in 'strcpy(b, a)' 'strcat(b, a)' 'sprintf(b, "%s", a)' 'strncpy(b, a, 2)' 'strtok(b, a)' 'atoi(a)' 'atol(a)' \
	'system(a)' 'popen(a, "r")' 'alloca(3)' 'rand()' 'srand(1)' 'mktemp(b)' 'tmpnam(b)'; do
	add base/three.c <<-END
		#include <alloca.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>

		void ay_three(const char *a, char *b);

		void ay_three(const char *a, char *b)
		{
		    (void)a;
		    (void)b;
		    (void)$call;
		}
	END
	# clang warns of some of them too.
	says "base/three.c:16: banned: ${call%%(*}\(\)"
done
add base/three.c <<-'END'
	struct ay_table {
	    int (*system)(int);
	};

	int ay_three(const struct ay_table *t);

	int ay_three(const struct ay_table *t)
	{
	    return t->system(1);
	}
END
accepts "a member with a banned name"
house

# Sizes
body() { printf 'int ay_long(int x);\n\nint ay_long(int x)\n{\n%s\n\treturn x;\n}\n' "$(lines "$1")"; }
body 60 | add base/three.c
accepts "a function of 63 lines"
body 90 | add base/three.c
accepts "a function of 93 lines, with a warning"
grep -q '^warning: base/three.c:8: sizes: function ay_long has 93 lines' "$T/said" || { failed=$((failed + 1)); echo "FAIL: no warning"; }
body 120 | add base/three.c
refuses 'base/three.c:8: sizes: function ay_long has 123 lines'
functions() { # N: seven lines each, the last six
	local i
	for ((i = 0; i < $1; i++)); do
		printf 'int ay_f%d(int x);\n\nint ay_f%d(int x)\n{\n\treturn x;\n}\n\n' "$i" "$i"
	done | sed '$d'
}
functions 95 | add base/three.c
accepts "a file of 668 lines, with a warning"
grep -q '^warning: base/three.c: sizes: the file has 668 lines' "$T/said" || { failed=$((failed + 1)); echo "FAIL: no warning"; }
functions 110 | add base/three.c
refuses 'base/three.c: sizes: the file has 773 lines'

# Format
printf 'extern const int   ay_x;\nconst int ay_x = 1;\n' | add base/three.c
refuses 'base/three.c:5: format'

# Headers alone and twice
printf '#ifndef AYNI_H_H\n#define AYNI_H_H\n\nsize_t ay_h(void);\n\n#endif\n' | add base/h.h
refuses 'base/h.h: headers'
printf 'struct ay_h {\n\tint x;\n};\n' | add base/h.h
refuses 'base/h.h: headers'

# A warning of clang
printf 'int ay_h(int x);\n\nint ay_h(int x)\n{\n\tint y;\n\treturn x;\n}\n' | add base/three.c
refuses 'base/three.c:9: clang: unused variable'

# What proto may call, in whichever way it got the declaration
for call in 'int time(void *)' 'int clock_gettime(int)' 'int gettimeofday(void *)' 'int random(void)' 'int getrandom(void *)' \
	'int arc4random(void)' 'int randombytes_buf(void *)' 'int open(const char *)' 'int read(int)' 'int write(int)' \
	'int socket(int)' 'int send(int)' 'int recv(int)' 'int fopen(const char *)' 'int getenv(const char *)' \
	'int printf(const char *)' 'int ay_digest_fd(int)' 'int crypto_sign_keypair(void *)' 'int pthread_create(void *)' \
	'int crypto_secretstream_xchacha20poly1305_init_push(void *)'; do
	name=${call#int }
	name=${name%%(*}
	add proto/three.c <<-END
		extern ${call/(*/(int x);}
		int ay_three(int x);

		int ay_three(int x)
		{
		    return $name(x);
		}
	END
	gcc -std=gnu11 -fno-builtin -w -I. -O1 -c proto/three.c -o build/three.o && ar rcs build/libproto.a build/three.o
	# The source is put away: the rule looks at the objects.
	rm proto/three.c
	refuses "proto/three.c: pure: calls $name,"
done

# Variables that can change
add base/three.c <<-'END'
	int ay_three(void);

	int ay_three(void)
	{
	    static int count;
	    return ++count;
	}
END
archive base
refuses 'base/three.c: globals: count'
add base/three.c <<-'END'
	extern const char *const ay_names[];
	const char *const ay_names[] = {"a", "b"};
END
archive base
accepts "a table of constants"
house
cp base/one.c node/main.c
printf 'int ay_count;\n' >>node/main.c
archive node
lint --fast
if grep -q globals: "$T/said"; then
	failed=$((failed + 1))
	echo "FAIL: node/ may have variables"
else
	passed=$((passed + 1))
fi
house

# clang-tidy sees what a compiler does not
add base/three.c <<-'END'
	#include <stdlib.h>

	int ay_three(int x);

	int ay_three(int x)
	{
	    int *p = malloc(sizeof(*p));
	    if (!p)
	        return 0;
	    free(p);
	    return *p + x;
	}
END
accepts "the fast part does not look so deep"
refuses 'base/three.c:15: tidy: Use of memory after it is freed' ""

[ $failed = 0 ] || echo "some rules do not bite" >&2
echo "$passed passed, $failed failed"
[ $failed = 0 ]
