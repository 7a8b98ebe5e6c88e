# Rules of pg_hba.conf with names of hosts, and a resolver that takes its time: an address
# is looked up once for all who wait for its name, they are so many at most, and neither
# others nor who has left nor the end of a worker wait for the answer.
#
# suites: beside others
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Sluice qw(wait_until process_is_gone slurp_lines);
use Test::More;
use Visitor;

die "the drivers could not be built\n" unless $ENV{SLUICE_NAMES};

my $files = PostgreSQL::Test::Utils::tempdir_short();
my ($slow, $asked) = ("$files/slow", "$files/asked");
my $sluice = Sluice->new('main', start => 0, conf => "sluice.drain_timeout = '60s'");
my $hba = $sluice->node->data_dir . '/pg_hba.conf';
my $rules = slurp_file($hba);
unlink $hba;
append_to_file($hba, "host all by_name localhost trust\nhost all by_name all reject\n$rules");
{
	local @ENV{qw(LD_PRELOAD SLUICE_NAMES_SLOW SLUICE_NAMES_ASKED)} = ($ENV{SLUICE_NAMES}, $slow, $asked);
	$sluice->start;
}
$sluice->sql(<<'END');
CREATE EXTENSION pg_sluice;
CREATE ROLE by_name LOGIN;
CREATE ROLE anna LOGIN;
CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a integer);
GRANT INSERT, SELECT ON plain TO by_name, anna;
SELECT sluice.create_stream('plain', 'plain', offset_column => 'id');
END
$sluice->wait_serving;

my $visitor = Visitor->new($sluice);
my %by_name = (stream => 'plain', user => 'by_name');

sub be_slow { append_to_file($slow, '') }
sub be_quick { unlink $slow }
sub questions { my @lines = slurp_lines($asked); return scalar @lines }
sub enters { my ($user) = @_; return $visitor->step('attempt', visits => [ { stream => 'plain', user => $user, target => $sluice->address, record => { a => 1 } } ])->[0] }
sub calls { return $sluice->sql('SELECT sum(calls) FROM sluice.stat_workers') }

is_deeply(enters('by_name'), [ 'in', '' ], 'a rule with the name of a host');
is(questions(), 1, 'for which the address is looked up');

be_slow();
{
	my $crowd = Visitor->new($sluice);

	$crowd->step('open', call => $_, %by_name) foreach 1 .. 300;
	ok(wait_until('44 are turned away', sub {
			44 == grep { $_->[0] eq 'RESOURCE_EXHAUSTED' && $_->[1] eq 'too many clients of this address are logging in: try again later' } @{ $crowd->step('ended') };
		}), 'of 300 clients 256 wait');
	is_deeply(enters('anna'), [ 'in', '' ], 'a client beside them whose name does not matter is served');
	$crowd->leave;
}
ok(wait_until('they are gone', sub { calls() eq '0' }, 20), 'who has left is not kept by the look-up');

my $before = questions();
$visitor->step('open', call => "a$_", %by_name) foreach 1 .. 5;
$sluice->wait_sql('SELECT sum(calls) FROM sluice.stat_workers', 5);
# Who comes now is judged after them.
is(enters('anna')->[0], 'in', 'five wait');
be_quick();
is($visitor->step('put', call => "a$_", record => { a => 1 })->[0], 'in', "when it ends, number $_ is let in") foreach 1 .. 5;
cmp_ok(questions() - $before, '<=', 1, 'they share one look-up');
$visitor->step('close', call => "a$_") foreach 1 .. 5;

be_slow();
$visitor->step('open', call => 'b', %by_name);
$sluice->wait_sql('SELECT sum(calls) FROM sluice.stat_workers', 1);
my ($worker) = $sluice->workers;
kill 'TERM', $worker;
is_deeply($visitor->step('end', call => 'b'), [ 'UNAVAILABLE', 'the server is shutting down or restarting its worker, connect again' ], 'a worker that ends tells who waits');
ok(wait_until('it is gone', sub { process_is_gone($worker) }, 20), 'and does not wait for the look-up');
be_quick();
$sluice->wait_serving;
is_deeply(enters('by_name'), [ 'in', '' ], 'the next worker looks up again');

($worker) = $sluice->workers;
$sluice->sql("ALTER SYSTEM SET authentication_timeout = '2s'");
$sluice->sql('SELECT pg_reload_conf()');
ok(wait_until('the worker is replaced', sub { process_is_gone($worker) }), 'a reload');
$sluice->wait_serving;
be_slow();
$visitor->step('open', call => 'c', %by_name);
is_deeply($visitor->step('end', call => 'c'), [ 'UNAVAILABLE', "looking up the name of the client's address takes too long: try again later" ], 'nobody waits for ever');
be_quick();

done_testing();
