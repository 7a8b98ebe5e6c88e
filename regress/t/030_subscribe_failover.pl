# A standby takes over: positions are there, tokens of what it has are taken, and
# those of what it lost are refused.
#
# suites: beside others
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use Sluice;
use Subscriber;
use Test::More;

my $sluice = Sluice->new('primary', streaming => 1);
my $client = Subscriber->new($sluice);
my $standby = PostgreSQL::Test::Cluster->new('standby');
my $port = PostgreSQL::Test::Cluster::get_free_port();

$sluice->sql("SELECT sluice.create_stream('items', payload_format => 'json')");
$sluice->node->backup('base');
$standby->init_from_backup($sluice->node, 'base', has_streaming => 1);
# The copy would listen on the same port after a promotion.
$standby->append_conf('postgresql.conf', "sluice.port = $port\n");
$standby->start;

sub insert
{
	my ($node, $first, $last) = @_;
	$node->safe_psql('postgres', "INSERT INTO items (received_at, payload) SELECT now(), jsonb_build_object('n', n) FROM generate_series($first, $last) n");
}

insert($sluice->node, 1, 10);
my $active = $client->open_call('a', stream => 'items', subscription => 'reader', create => 1);
my $kept = $client->collect('a', 10);
$client->step('ack', 'a', epoch => $active->{epoch}, offset => 6);
ok($sluice->wait_sql("SELECT position FROM sluice.subscriptions WHERE name = 'reader'", 6), 'a position on the primary');
$sluice->node->wait_for_catchup($standby);
$standby->stop('fast');
insert($sluice->node, 11, 12);
my $lost = $client->collect('a', 12);
is_deeply($lost->{offsets}, [ 11, 12 ], 'rows that the standby does not get');
$sluice->node->stop('immediate');

$standby->start;
$standby->promote;
my $address = "127.0.0.1:$port";
is($client->open_call('b', subscription => 'reader', address => $address)->{position}, 6, 'promoted, it serves from that position');
is_deeply([ @{ $client->collect('b', 10)->{offsets} } ], [ 7 .. 10 ], 'with the rows that follow');
is($client->finish('b'), 'OK', 'it leaves');

$active = $client->open_call('c', subscription => 'reader', address => $address, wants_start => 1);
$client->step('start', 'c', epoch => $active->{epoch}, token => $kept->{token});
insert($standby, 101, 103);
my $rows = $client->collect('c', 11);
cmp_ok($rows->{offsets}[0] // 0, '>', 10, 'a token of what it has is taken');
is($client->finish('c'), 'OK', 'it leaves');

$active = $client->open_call('d', subscription => 'reader', address => $address, wants_start => 1);
$client->step('start', 'd', epoch => $active->{epoch}, token => $lost->{token});
is($client->ending('d'), 'FAILED_PRECONDITION FORKED', 'one of what it lost is refused');
$active = $client->open_call('e', subscription => 'reader', address => $address, wants_start => 1);
is($active->{position}, 10, 'that has not moved the position');
$client->step('start', 'e', epoch => $active->{epoch}, token => $kept->{token}, accept_fork => JSON::PP::true());
is_deeply($client->collect('e', $rows->{offsets}[-1])->{offsets}, $rows->{offsets}, 'another one goes on behind that position');
is($client->finish('e'), 'OK', 'it leaves');
$standby->stop('fast');
done_testing();
