# Publish: records of a producer are stored in their order, in whatever order they become due.
#
# suites: beside others
use strict;
use warnings;

use Publisher;
use Sluice qw(wait_until);
use Test::More;
use Time::HiRes ();

my $sluice = Sluice->new('main');
my $client = Publisher->new($sluice);

Publisher::create_items($sluice, 'items');
$client->open_call('p', producer => 'p', stream => 'items');
$client->publish('p', from => 1, to => 1);

sub session
{
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe($_) foreach 'BEGIN', @_;
	return $session;
}

sub retries { return $sluice->sql("SELECT retries FROM sluice.stat_streams WHERE name = 'items'") }

# Wait until what is parked has been tried so often more: it is then tried once a second.
sub wait_tries
{
	my ($more) = @_;
	my $wanted = retries() + $more;
	ok(wait_until("$more more tries", sub { retries() >= $wanted }), "$more more tries");
}

# Two batches are parked, as a transaction has the producer's row, each with a time of its own to come back.
my $row = session('SELECT FROM sluice.producers FOR UPDATE');
$client->batch('p', from => 2, to => 3);
wait_tries(16);
$client->batch('p', from => 4, to => 4);
wait_tries(12);

# Right after a try of the second one, which has a single record, the first one is the next to be due.
my $before = retries();
ok(wait_until('the second one was tried alone', sub {
	my $now = retries();
	my $alone = $now == $before + 1;
	$before = $now;
	return $alone;
}), 'the second one was tried alone');

# It finds the target locked and goes to the front of its stream; when the other one is due, too, it goes there before it.
my $target = session('LOCK TABLE items');
ok(wait_until('held', sub { $sluice->sql("SELECT hold FROM sluice.stat_streams WHERE name = 'items'") eq 'locked' }), 'the stream is held');
my $held_at = Time::HiRes::time();
wait_until('both are due', sub { Time::HiRes::time() > $held_at + 2.1 });
$row->query_safe('COMMIT');
$target->query_safe('COMMIT');
$row->quit;
$target->quit;
is_deeply($client->settled('p', 4), {}, 'both are stored when all is free');
is($sluice->sql('SELECT string_agg(sequence::text, \' \' ORDER BY id) FROM items'), '1 2 3 4', 'in the order of their sequences');
Publisher::balance_ok($sluice, 'items', 'the account balances');
done_testing();
