# What closes a connection or refuses a request before anybody looks at it: a time without calls,
# pings that come too often, too much metadata.  See docs/limits.md.
#
# suites: beside others
use strict;
use warnings;

use IPC::Run;
use JSON::PP qw(decode_json);
use Sluice;
use Test::More;
use Visitor;

my $sluice  = Sluice->new('main', conf => "sluice.max_connection_idle = '1s'");
my $visitor = Visitor->new($sluice);
$sluice->sql('CREATE TABLE plain (a integer)');
$sluice->sql("SELECT sluice.create_stream('plain', 'plain')");

# What a peer of regress/hostile.py saw.
sub peer
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ $ENV{SLUICE_PYTHON} // '/usr/bin/python3', Sluice::regress_directory() . '/hostile.py', @_, '--address', $sluice->address ],
		'>', \$out, '2>', \$err) or diag($err);
	note("$_[0]: $out");
	return decode_json($out);
}

# The text of so many bytes is no authorization: whoever reads it says so.
sub with_metadata
{
	my ($bytes) = @_;
	return $visitor->step('attempt', visits => [ { target => $sluice->address, stream => 'plain', record => { a => 1 }, authorization => 'x' x $bytes } ])->[0];
}

my $quiet = peer('quiet');
cmp_ok($quiet->{seconds}, '>=', 0.9, 'a connection without calls is closed after sluice.max_connection_idle');
ok($quiet->{other}, 'one with a call that does nothing is not');

my $pings = peer('pings');
is($pings->{goaway}, '11 too_many_pings', 'a client that pings too often is disconnected');
is($pings->{answered}, 4, 'after the third one that comes too early; the first one does not');

is_deeply(with_metadata(7000), [ 'UNAUTHENTICATED', 'authorization must be Basic' ], 'metadata of 7 kB is read');
is(with_metadata(9000)->[0], 'RESOURCE_EXHAUSTED', 'more than 8 kB is refused');

done_testing();
