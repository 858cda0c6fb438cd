# SPDX-License-Identifier: MIT
# Writers for tests of `ayni dedupe` and `ayni adopt`. Each runs until its standard input ends, then says what it saw.
#
#   racer.pl blocks FILE       writes at random places of FILE, keeping in memory what it must hold; at the end FILE must
#                              hold exactly that: "good WRITES" or "wrong AT"
#   racer.pl names FILE...     opens one after the other, writes a line at its beginning, closes it, opens it again and reads:
#                              "good WRITES", or "lost FILE"
#   racer.pl touch FILE...     rewrites one after the other, so that it is never the same for long
use strict;
use warnings;
use Fcntl qw(O_RDWR SEEK_SET);

my ($how, @files) = @ARGV;
my ($rin, $writes) = ('', 0);
vec($rin, 0, 1) = 1;
sub done { my $r = $rin; return select($r, undef, undef, 0) > 0; }
sub slurp { my $f = shift; open(my $h, '<:raw', $f) or die "$f: $!"; local $/; return scalar <$h>; }
$SIG{ALRM} = sub { print "took too long\n"; exit 1 };
alarm(120);
$| = 1;
print "ready\n";

if ($how eq 'blocks') {
	my $want = slurp($files[0]);
	sysopen(my $h, $files[0], O_RDWR) or die "$files[0]: $!";
	until (done()) {
		my $at = int(rand(length($want) - 64));
		my $text = sprintf("%063d\n", $writes++);
		sysseek($h, $at, SEEK_SET);
		syswrite($h, $text) == 64 or die "write: $!";
		substr($want, $at, 64) = $text;
		# Each is read back at once, too: what is shared meanwhile must be the same bytes.
		sysseek($h, $at, SEEK_SET);
		sysread($h, my $got, 64);
		if ($got ne $text) { print "wrong $at\n"; exit 1; }
	}
	close($h);
	print slurp($files[0]) eq $want ? "good $writes\n" : "wrong at the end\n";
} elsif ($how eq 'names') {
	until (done()) {
		my $f = $files[int(rand(@files))];
		sysopen(my $h, $f, O_RDWR) or die "$f: $!";
		my $text = sprintf("%015d\n", ++$writes);
		syswrite($h, $text) == 16 or die "write: $!";
		close($h);
		open(my $again, '<:raw', $f) or die "$f: $!";
		sysread($again, my $got, 16);
		if ($got ne $text) { print "lost $f\n"; exit 1; }
	}
	print "good $writes\n";
} else {
	until (done()) {
		my $f = $files[$writes++ % @files];
		open(my $h, '+<:raw', $f) or next;
		syswrite($h, sprintf("%015d\n", $writes));
		close($h);
	}
	print "good $writes\n";
}
