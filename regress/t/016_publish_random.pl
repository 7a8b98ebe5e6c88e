# Publish: whatever comes in whatever order, each sequence ends in one place and its producer is told the truth.
#
# Several producers take random steps: a batch, a new call, an old call that goes
# on, a cut; around them rows, tables and streams are locked and held, and workers
# end.  What a record is follows from its sequence, so the outcome is known.
#
# SLUICE_SEED replays the choices, SLUICE_ROUNDS makes more of them.
#
# suites: beside others
use strict;
use warnings;

use Publisher;
use Sluice qw(wait_until process_is_gone);
use Test::More;

my $rounds = $ENV{SLUICE_ROUNDS} // 2;
my $seed   = $ENV{SLUICE_SEED}   // int(time) % 1_000_000;
my $steps  = 300 * $rounds;
my @names  = map { "p$_" } 1 .. 5;
my %producer = map { $_ => { name => $_, sent => 0, acked => 0, calls => [], run => 1 } } @names;
my ($number_of_calls, $wrong) = (0, 0);
my %count;

note("SLUICE_SEED=$seed SLUICE_ROUNDS=$rounds");
srand($seed);
my $sluice = Sluice->new('main', workers => 1 + int rand 2, conf => "sluice.lock_timeout = '50ms'\nsluice.drain_timeout = '500ms'\n");
my $client = Publisher->new($sluice);
my @sessions = map { $sluice->node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
my %locked;

Publisher::create_items($sluice, 'items');
$sluice->sql(<<'END');
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.n % 17 = 7 THEN NULL ELSE NEW END; END $$;
CREATE TRIGGER swallow BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION swallow();
END

sub kind
{
	my ($n) = @_;
	return $n % 19 < 3 ? 'gap' : $n % 17 == 7 ? 'filtered' : $n % 11 == 3 ? 'dead_lettered' : $n % 5 == 0 ? 'keyed' : 'plain';
}

sub record
{
	my ($n) = @_;
	my $kind = kind($n);
	return [ $n, $kind eq 'dead_lettered' ? "{\"n\": -$n}" : "{\"n\": $n}", $kind eq 'keyed' ? "k$n" : '' ];
}

sub batch
{
	my ($call, $from, $to) = @_;
	$client->batch($call->{name},
		records => [ map { record($_) } grep { kind($_) ne 'gap' } $from .. $to ],
		gaps => [ map { [ $_, $_, $_ % 2 ? 'full' : 'server_lost' ] } grep { kind($_) eq 'gap' } $from .. $to ]);
	$call->{next} = $to + 1;
}

sub violation
{
	my ($what) = @_;
	$wrong++;
	diag($what);
}

# An Ack tells of each record since the one before that was not plainly stored.
sub check_ack
{
	my ($call, $ack) = @_;
	my $producer = $call->{producer};
	my %told = map { @$_ } @{ $ack->{exceptions} };

	violation("$producer->{name}: Ack $ack->{through} after $call->{settled}") if $ack->{through} <= $call->{settled};
	violation("$producer->{name}: Ack $ack->{through}, sent $producer->{sent}") if $ack->{through} > $producer->{sent};
	foreach my $n ($call->{settled} + 1 .. $ack->{through})
	{
		my $verdict = delete $told{$n} // 'plain';
		my $kind    = kind($n);
		$kind = 'plain' if $kind eq 'gap' || $kind eq 'keyed' && $verdict ne 'duplicate';
		$verdict = 'keyed' if $verdict eq 'duplicate';
		violation("$producer->{name}: $n is $kind, told is $verdict") if $verdict ne $kind;
	}
	violation("$producer->{name}: told of " . join(' ', keys %told) . ' in an Ack of others') if %told;
	$call->{settled} = $ack->{through};
	$producer->{acked} = $ack->{through} if $ack->{through} > $producer->{acked};
	$count{acks}++;
}

# What has come in on a call; it is forgotten when it has ended.
sub look
{
	my ($call, $timeout) = @_;
	my $producer = $call->{producer};

	while (1)
	{
		my $event = $client->event($call->{name}, $timeout);
		return 0 if exists $event->{silence};
		if ($event->{ack})
		{
			check_ack($call, $event->{ack});
		}
		elsif ($event->{opened})
		{
			my $last = $event->{opened}{last_sequence};
			violation("$producer->{name}: Opened $last, acknowledged was $call->{acked}") if $last < $call->{acked};
			violation("$producer->{name}: Opened $last, sent was $producer->{sent}") if $last > $producer->{sent};
			my @dead = grep { kind($_) eq 'dead_lettered' } $call->{acked} + 1 .. $last;
			violation("$producer->{name}: Opened tells of dead @{ $event->{opened}{dead} }") if "@dead[0 .. ($#dead > 999 ? 999 : $#dead)]" ne "@{ $event->{opened}{dead} }";
			$call->{opened} = 1;
			$call->{settled} = $last;
			$call->{next} = $last + 1;
			$producer->{acked} = $last if $last > $producer->{acked};
			$count{opened}++;
		}
		else
		{
			my $ending = "$event->{status} $event->{reason}";
			violation("$producer->{name}: a call ended with $ending: $event->{details}")
			  unless $ending =~ /^(ABORTED SUPERSEDED|FAILED_PRECONDITION FENCED|UNAVAILABLE |CANCELLED |OK |UNKNOWN )$/;
			$count{$ending}++;
			$call->{over} = 1;
			@{ $producer->{calls} } = grep { $_ != $call } @{ $producer->{calls} };
			return 1;
		}
		return 1 if $timeout >= 1;
	}
}

sub open_call
{
	my ($producer) = @_;
	my $call = { name => 'c' . ++$number_of_calls, producer => $producer, acked => $producer->{acked}, next => 0, settled => 0 };

	$producer->{run}++ if rand() < 0.2;
	$client->begin($call->{name}, producer => $producer->{name}, stream => 'items', nonces => [ ($producer->{run} > 60 ? $producer->{run} - 60 : 1) .. $producer->{run} ],
		sent => $producer->{sent}, acked_through => $producer->{acked});
	push @{ $producer->{calls} }, $call;
	return $call;
}

sub send_batch
{
	my ($call) = @_;
	my $producer = $call->{producer};
	look($call, 0.001);
	return if $call->{over} || !$call->{opened};
	# Only the newest call numbers records anew; an older one goes on with what was sent.
	my $is_newest = $producer->{calls}[-1] == $call;
	my $to = $call->{next} + int rand 40;
	$to = $producer->{sent} if !$is_newest && $to > $producer->{sent};
	return if $to < $call->{next};
	$producer->{sent} = $to if $to > $producer->{sent};
	batch($call, $call->{next}, $to);
	$count{batches}++;
}

sub end_call
{
	my ($call) = @_;
	$client->step((qw(cut cancel half_close))[ int rand 3 ], $call->{name});
	@{ $call->{producer}{calls} } = grep { $_ != $call } @{ $call->{producer}{calls} };
	$count{cuts}++;
}

sub one_of { return $_[ int rand @_ ] }

# Locks are taken without waiting, or not at all: the test itself must not hang.
sub disturb
{
	my $i = int rand @sessions;
	if (delete $locked{$i})
	{
		$sessions[$i]->query(one_of('COMMIT', 'ROLLBACK'));
		return;
	}
	my $id = Publisher::id(one_of(@names));
	my $query = one_of(
		"SELECT FROM sluice.producers WHERE producer = '$id' FOR UPDATE SKIP LOCKED",
		"SELECT sluice.ingest('items', 'k@{[ 5 * int rand 100 ]}', '{\"n\": 1}'::bytea)",
		'LOCK TABLE items IN ACCESS EXCLUSIVE MODE NOWAIT',
		'LOCK TABLE sluice.producers IN SHARE MODE NOWAIT');
	$sessions[$i]->query($_) foreach "SET lock_timeout = '200ms'", 'BEGIN', $query;
	$locked{$i} = 1;
	$count{locks}++;
}

sub hold
{
	my ($status) = $sluice->try_sql("SET lock_timeout = '200ms'; SELECT sluice.hold('items', 'test')");
	$count{holds}++ if $status == 0;
}

sub end_worker
{
	foreach my $i (keys %locked)
	{
		$sessions[$i]->query('ROLLBACK');
	}
	%locked = ();
	my ($worker) = $sluice->workers;
	$sluice->sql("SELECT pg_terminate_backend($worker)");
	wait_until('the worker is gone', sub { process_is_gone($worker) });
	$sluice->wait_serving;
	$count{workers}++;
}

open_call($_) foreach values %producer;
foreach my $step (1 .. $steps)
{
	my $producer = $producer{ one_of(@names) };
	my $call = @{ $producer->{calls} } ? one_of(@{ $producer->{calls} }, ($producer->{calls}[-1]) x 3) : open_call($producer);
	my $dice = rand;

	if    ($dice < 0.70)  { send_batch($call) }
	elsif ($dice < 0.80)  { look($call, 0.02) }
	elsif ($dice < 0.86)  { open_call($producer) }
	elsif ($dice < 0.90)  { end_call($call) }
	elsif ($dice < 0.96)  { disturb() }
	elsif ($dice < 0.975) { hold() }
	elsif ($dice < 0.99)  { $sluice->try_sql("SET lock_timeout = '200ms'; SELECT sluice.resume('items')") }
	elsif ($dice < 0.992) { end_worker() }
}

# The faults end; every producer opens once more and sends all it has.
$sessions[$_]->query('ROLLBACK') foreach keys %locked;
$_->quit foreach @sessions;
$sluice->sql("SELECT sluice.resume('items')");
my $most = (sort { $b <=> $a } map { $_->{sent} } values %producer)[0] + 50;
foreach my $producer (values %producer)
{
	my @old = @{ $producer->{calls} };
	my $call = open_call($producer);
	look($call, 10) until $call->{opened} || $call->{over};
	ok($call->{opened}, "$producer->{name} is opened in the end");
	$producer->{sent} = $most;
	while ($call->{next} <= $most)
	{
		my $to = $call->{next} + 99;
		batch($call, $call->{next}, $to > $most ? $most : $to);
	}
	while ($call->{settled} < $most && !$call->{over})
	{
		look($call, 10) or last;
	}
	is($call->{settled}, $most, '... and all of it is settled');
	look($_, 0.001) foreach @old;
}
is($wrong, 0, "nobody was told what is not so, in $steps steps: " . join(', ', map { "$count{$_} $_" } sort keys %count));

my @expected = map { my $kind = $_; scalar grep { kind($_) eq $kind } 1 .. $most } 'dead_lettered', 'filtered', 'gap';
is($sluice->sql("SELECT string_agg(DISTINCT format('%s %s %s %s', last, dead_lettered, filtered, declared + lost), ', ') FROM sluice.ledger"),
	"$most @expected", 'each producer has what it sent, and nothing else');
my @keys = grep { kind($_) eq 'keyed' } 1 .. $most;
my $keys = join ', ', @keys;
is($sluice->sql("SELECT count(DISTINCT n) = count(*) FROM items WHERE n IN ($keys) AND producer IS NOT NULL"), 't', 'no key is stored twice');
is($sluice->sql("SELECT count(*) FROM unnest(ARRAY[$keys]) k WHERE NOT EXISTS (SELECT FROM sluice.idempotency_keys) OR NOT EXISTS (SELECT FROM items WHERE n = k) AND NOT EXISTS (SELECT FROM items WHERE n = 1 AND producer IS NULL)"),
	0, '... and each is stored');
is($sluice->sql("SELECT sum(resent) FROM sluice.producers") , 0, 'nothing was sent again that Opened had told of');
Publisher::balance_ok($sluice, 'items', 'random steps');
done_testing();
