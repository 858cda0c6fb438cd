#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# A bad neighbour, for tests/e2e/test_garbage_peer.sh. Perl, because every Debian has it.
#
#   rogue.pl lies LISTEN:PORT SCHOOL:PORT WHAT   a peer that passes on what a real school says under a name of its own,
#                                                but spoils it. WHAT: blocks, hashes, index, cut, garbage
#   rogue.pl noise TARGET:PORT FROM              connections full of nonsense, one after the other, some of them left open
#   rogue.pl air GROUP NEWSPORT CHATPORT FROM    datagrams full of nonsense
#
# What it spoiled it tells on standard output, one line each.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Socket qw(inet_aton pack_sockaddr_in IPPROTO_IP);

$| = 1;
$SIG{PIPE} = 'IGNORE';
srand(42);
my $mode = shift;

sub junk { join '', map { chr int rand 256 } 1 .. $_[0] }

# Frames are: u32 length of what follows, u8 type, payload.
sub spoil {
	my ($type, $payload, $what) = @_;
	if ($type == 1) {    # HELLO: another session id, no school
		substr($payload, 8, 8) = junk(8);
		substr($payload, 6, 1) = "\0";
		return ($type, $payload);
	}
	if ($type == 9 && $what ne 'hashes') {
		print "spoiled a block ($what)\n";
		return ($type, substr($payload, 0, 36) . junk(length($payload) - 36)) if $what eq 'blocks';
		return ($type, substr($payload, 0, 32) . pack('V', 0xfffffff0) . substr($payload, 36)) if $what eq 'index';
		return ($type, substr($payload, 0, 36 + (length($payload) - 36) / 2)) if $what eq 'cut';
		return (undef, junk(5000));
	}
	if ($type == 11 && $what eq 'hashes') {
		print "spoiled a hash block\n";
		return ($type, substr($payload, 0, 37) . junk(4096));
	}
	return ($type, $payload);
}

sub serve_lies {
	my ($client, $school_at, $what) = @_;
	my $school = IO::Socket::INET->new(PeerAddr => $school_at, Timeout => 5) or return;
	my $select = IO::Select->new($client, $school);
	my $buf = '';
	while (my @ready = $select->can_read(60)) {
		for my $s (@ready) {
			sysread($s, my $data, 65536) or return;
			if ($s == $client) {
				print {$school} $data or return;
				$school->flush;
				next;
			}
			$buf .= $data;
			while (length($buf) >= 5) {
				my ($len, $type) = unpack('VC', $buf);
				last if length($buf) < 4 + $len;
				my $payload = substr($buf, 5, $len - 1);
				substr($buf, 0, 4 + $len) = '';
				my ($t, $p) = spoil($type, $payload, $what);
				print {$client} defined $t ? pack('VC', length($p) + 1, $t) . $p : $p or return;
				$client->flush;
			}
		}
	}
}

if ($mode eq 'lies') {
	my ($listen, $school_at, $what) = @ARGV;
	my $server = IO::Socket::INET->new(LocalAddr => $listen, Listen => 16, ReuseAddr => 1) or die "listen $listen: $!\n";
	print "listening\n";
	$SIG{CHLD} = 'IGNORE';
	while (1) {
		my $client = $server->accept or next;
		print "somebody came\n";
		next if fork;
		close $server;
		serve_lies($client, $school_at, $what);
		exit 0;
	}
} elsif ($mode eq 'noise') {
	my ($target, $from) = @ARGV;
	my @open;
	for my $round (1 .. 300) {
		my $s = IO::Socket::INET->new(PeerAddr => $target, LocalAddr => $from, Timeout => 2);
		if ($s) {
			my @say = (
				junk(1 + int rand 3000),
				pack('VC', 0xffffffff, 9) . junk(100),
				pack('VC', 65573, 9),    # a block is announced, and never comes
				pack('VC', 33, 1) . "Ayni" . pack('v', 1) . junk(26),    # nearly a HELLO
				pack('VC', 1, 14) x 500,
				"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			);
			print {$s} $say[$round % @say];
			$s->flush;
			if ($round % 5 == 0 && @open < 40) { push @open, $s }
			else { close $s }
			print "noise $round\n" if $round % 50 == 0;
		}
		select undef, undef, undef, 0.02;
	}
	sleep 60;    # those left open stay so
} elsif ($mode eq 'air') {
	my ($group, $news, $chat, $from) = @ARGV;
	my $s = IO::Socket::INET->new(Proto => 'udp', LocalAddr => $from) or die "udp: $!\n";
	# IP_MULTICAST_IF is 32 on Linux; Socket.pm of perl-base may not name it.
	setsockopt($s, IPPROTO_IP, 32, inet_aton($from)) or die "multicast interface: $!\n";
	for my $round (1 .. 3000) {
		my $type = 1 + $round % 3;
		my $good_start = "Ay" . chr(1) . chr($type) . junk(8);
		my $data = $round % 4 ? $good_start . junk(int rand 388) : junk(int rand 1400);
		send $s, $data, 0, pack_sockaddr_in($round % 2 ? $news : $chat, inet_aton($group));
		select undef, undef, undef, 0.002;
	}
	print "said nonsense\n";
} else {
	die "rogue.pl lies|noise|air ...\n";
}
