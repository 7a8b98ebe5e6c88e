# sluice.audit: the target against the ledger, while records come in, and after
# what administrators do to tables.
#
# suites: beside others
use strict;
use warnings;

use Publisher;
use Sluice;
use Test::More;

my $sluice = Sluice->new('main');
my $publisher = Publisher->new($sluice);

Publisher::create_items($sluice, 'items');

sub audit
{
	return $sluice->sql("SELECT concat_ws(' ', rows, doubled, beyond, redriven, missing) FROM sluice.audit('items') ORDER BY rows");
}

subtest 'while records come in' => sub {
	my ($audits, $moments, $wrong, $through) = (0, {}, 0, 0);
	$publisher->open_call('busy', producer => 'busy', stream => 'items');
	while ($through < 40_000)
	{
		# So many batches of 10 are under way when it looks that it looks between commits.
		$publisher->batch('busy', from => $through + 1, to => $through + 4000, by => 10);
		$through += 4000;
		foreach (1 .. 3)
		{
			my ($rows, @errors) = split ' ', audit();
			$audits++;
			$moments->{$rows // 0} = 1;
			$wrong++ if grep { $_ != 0 } @errors;
		}
	}
	$publisher->settled('busy', $through);
	is($wrong, 0, "$audits audits at " . keys(%$moments) . ' moments: target and ledger always agree');
	cmp_ok(scalar keys %$moments, '>', 3, 'the target grew meanwhile');
	is(audit(), "$through 0 0 0 0", 'all is there in the end');
};

subtest 'redriven dead letters' => sub {
	$publisher->open_call('some', producer => 'some', stream => 'items');
	$publisher->publish('some', records => [ [ 1, '{"n": 1}' ], [ 2, '{"n": -2}' ], [ 3, '{"n": -3}' ] ]);
	is((split /\n/, audit())[0], '1 0 0 0 0', 'dead letters are not missing');
	$sluice->sql("SELECT sluice.redrive(ids => ARRAY(SELECT id FROM sluice.dead_letters WHERE sequence = 2), payload => '{\"n\": 2}'::bytea)");
	is((split /\n/, audit())[0], '2 0 0 1 0', 'one that was redriven is a row');
};

subtest 'what is done to the table is told' => sub {
	$sluice->sql("DELETE FROM items WHERE producer = '" . Publisher::id('some') . "' AND sequence = 1");
	is((split /\n/, audit())[0], '1 0 0 1 1', 'a deleted row is missing');
	$sluice->sql("INSERT INTO items (producer, sequence, n) SELECT producer, sequence, n FROM items WHERE producer = '" . Publisher::id('some') . "'");
	is((split /\n/, audit())[0], '2 1 0 1 1', 'a copied one is doubled');
};

done_testing();
