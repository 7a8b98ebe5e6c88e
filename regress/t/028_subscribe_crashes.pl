# Rows that were handed out are there after a crash, and the positions that came with them hold.
#
# The log is written only by those who wait for it, so that a crash loses all that nobody waited for.
#
# suites: beside others
use strict;
use warnings;

use Sluice qw(wait_until);
use Subscriber;
use Test::More;

my $sluice = Sluice->new('main', conf => "wal_writer_delay = '10s'\nwal_writer_flush_after = '1GB'\nautovacuum = off\n");
my $client = Subscriber->new($sluice);

sub insert
{
	my ($session, $stream) = @_;
	$session->query_safe("INSERT INTO $stream (received_at, payload) VALUES (now(), '{}')");
}

sub crash
{
	my ($session) = @_;
	$sluice->kill_server;
	# It has nobody to talk to any more.
	eval { $session->quit };
	$sluice->start;
	$sluice->wait_serving;
}

sub flushed { return $sluice->sql('SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()') }

subtest 'a commit that did not wait for the disk' => sub {
	$sluice->sql("SELECT sluice.create_stream('lazy', payload_format => 'json')");
	my $session = $sluice->node->background_psql('postgres');
	$client->open_call('a', stream => 'lazy');
	is_deeply([ sort keys %{ $client->event('a') } ], ['caught_up'], 'live');
	$session->query_safe('SET synchronous_commit = off');
	insert($session, 'lazy');
	is_deeply($client->collect('a', 1)->{offsets}, [1], 'the row is handed out');
	crash($session);
	is($sluice->sql('SELECT count(*) FROM lazy'), 1, '... and is there after the crash');
	is($client->ending('a'), 'UNAVAILABLE', 'the call has ended');
};

subtest 'a position that was handed out while others were writing' => sub {
	$sluice->sql("SELECT sluice.create_stream('busy', payload_format => 'json'); CREATE TABLE other (t text)");
	my $session = $sluice->node->background_psql('postgres');
	insert($session, 'busy');
	my $active = $client->open_call('a', stream => 'busy', wants_start => 1);
	$session->query_safe('BEGIN');
	$session->query_safe(q{INSERT INTO other SELECT repeat('x', 100) FROM generate_series(1, 2000)});
	is(flushed(), 'f', 'the log is not on disk');
	$client->step('start', 'a', epoch => $active->{epoch});
	my $rows = $client->collect('a', 1);
	is_deeply($rows->{offsets}, [1], 'the row is handed out');
	is(flushed(), 'f', 'the log is still not on disk');
	crash($session);
	$client->ending('a');
	$active = $client->open_call('b', stream => 'busy', wants_start => 1);
	$client->step('start', 'b', epoch => $active->{epoch}, token => $rows->{token});
	$sluice->sql("INSERT INTO busy (received_at, payload) VALUES (now(), '{}')");
	my $more = $client->collect('b', 2);
	is($more->{offsets}[0] // "$more->{status} $more->{reason}", $sluice->sql('SELECT max(id) FROM busy'), 'the position is good after the crash');
	$client->step('cancel', 'b');
};

done_testing();
