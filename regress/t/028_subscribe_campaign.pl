# Subscriptions, whatever fails: a campaign of seeded faults against consumers, the server, and the network
# between them, while rows are written all the time.
#
# Four subscriptions of one stream with two consumers each, one behind each of two proxies:
#	sink	sluice subscribe --into another cluster: each row once
#	done	acknowledges by SQL in the transaction that keeps the row: each row once
#	wire	acknowledges over the wire, and notes each activation: at least once
#	tail	sluice subscribe onto a file: at least once
#
# SLUICE_SEED replays the choices, SLUICE_FAULTS sets how many faults there
# are, SLUICE_FAULT_KINDS="worker freeze" picks kinds.
#
# suites: beside others
use strict;
use warnings;

use Consumer;
use List::Util qw(first max min shuffle sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Proxy;
use Sluice qw(wait_until process_is_gone slurp_lines);
use Test::More;
use Time::HiRes qw(sleep time);
use Writers;

my $seed      = $ENV{SLUICE_SEED}   // int(time) % 1_000_000;
my $faults    = $ENV{SLUICE_FAULTS} // 12;
# So long a consumer may be silent.  It notices later that it is cut off: by then another one has taken over, while it
# may still have rows.
my $keepalive = 1 + 0.7;

# How a consumer is lost while another one stands by: its connection is closed, it falls silent, or the server goes
# away.  Of other faults it is not known when it is lost, or there is nobody to take over.
my %faults = (
	consumer_killed => [ 'closed',  \&fault_consumer_killed ],
	alone_killed    => [ 'other',   \&fault_alone_killed ],
	cut             => [ 'closed',  sub { any_proxy()->tell('cut') } ],
	cut_server      => [ 'closed',  sub { any_proxy()->tell('cut server') } ],
	cut_frame       => [ 'other',   sub { any_proxy()->tell('after ' . int(rand 5000) . ' down') } ],
	cut_client      => [ 'silence', sub { any_proxy()->tell('cut client') } ],
	silence_up      => [ 'silence', sub { any_proxy()->tell('mute up') } ],
	silence_down    => [ 'silence', sub { any_proxy()->tell('mute down') } ],
	freeze          => [ 'silence', \&fault_freeze ],
	stopped         => [ 'silence', \&fault_stopped ],
	worker          => [ 'server',  \&fault_worker ],
	terminate       => [ 'server',  \&fault_terminate ],
	postmaster      => [ 'server',  sub { $_[0]->kill_server; sleep rand 0.3; $_[0]->start } ],
	immediate       => [ 'server',  sub { $_[0]->node->stop('immediate'); $_[0]->start } ],
	fast            => [ 'server',  sub { $_[0]->node->stop('fast'); $_[0]->start } ],
	sink_session    => [ 'other',   \&fault_sink_session ],
	sink_server     => [ 'other',   \&fault_sink_server ]);
my @kinds = split ' ', $ENV{SLUICE_FAULT_KINDS} // join ' ', sort keys %faults;

note("SLUICE_SEED=$seed SLUICE_FAULTS=$faults");
srand($seed);
my $sluice = Sluice->new('source', workers => 2, conf => <<'END');
sluice.drain_timeout = '2s'
sluice.keepalive_time = '1s'
sluice.keepalive_timeout = '700ms'
max_prepared_transactions = 20
END
my $sink = PostgreSQL::Test::Cluster->new('sink');
$sink->init(extra => [ '-E', 'UTF8', '--locale=C' ]);
$sink->start;
my @proxies = map { Proxy->new($sluice->port) } 1 .. 2;
my %made;
my @samples;      # of what was acknowledged before each fault
my @takeovers;    # faults with times

# Nothing keeps a row from being there twice but the subscription.
my $copy = 'arrived bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT clock_timestamp(), id bigint';
$sluice->sql("SELECT sluice.create_stream('flow', payload_format => 'json'); CREATE TABLE done ($copy, payload jsonb)");
$sink->safe_psql('postgres', "CREATE TABLE flow ($copy, received_at timestamptz, payload jsonb)");

my %consumers = (
	sink => [ tools('sink', '--into', $sink->connstr('postgres')) ],
	tail => [ tools('tail', '--output', 'envelope') ],
	wire => [ scripts('wire') ],
	done => [ scripts('done', '--done', 'done', '--conninfo', $sluice->node->connstr('postgres')) ]);
my @everybody = map { @{ $consumers{$_} } } sort keys %consumers;
my $writers = Writers->new($sluice, 'flow', seed => $seed, clients => 4, rate => 60, senders => 1, address => $proxies[1]->address);

$writers->start;
$_->start foreach @everybody;
recovered('the start');
my @deck;
push @deck, shuffle @kinds while @deck < $faults;
foreach my $kind (@deck[ 0 .. $faults - 1 ])
{
	fault($kind);
}
finish();
done_testing();

sub tools
{
	my ($name, @arguments) = @_;
	my %quick = (backoff_first => '30 ms', backoff_last => '500 ms', connect_timeout => '2 s', keepalive_time => '4 s',
		keepalive_timeout => '700 ms');

	return map {
		Consumer->new("$name$_", $ENV{SLUICE_TOOL}, 'subscribe', '--server', $proxies[$_]->address, '--stream', 'flow',
			'--subscription', $name, '--set', "client=$name$_", (map { ('--set', "$_=$quick{$_}") } sort keys %quick), @arguments)
	} 0 .. 1;
}

sub scripts
{
	my ($name, @arguments) = @_;
	return map {
		Consumer->new("$name$_", $ENV{SLUICE_PYTHON} // '/usr/bin/python3', Sluice::regress_directory() . '/consumer.py',
			'--address', $proxies[$_]->address, '--stream', 'flow', '--subscription', $name, '--name', "$name$_", '--seed', $seed,
			'--log', "$PostgreSQL::Test::Utils::tmp_check/$name$_.events", @arguments)
	} 0 .. 1;
}

#
# Faults
#

# One fault, and until all have recovered from it: a new row is acknowledged everywhere.
sub fault
{
	my ($kind) = @_;
	my ($class, $make) = @{ $faults{$kind} };

	sleep rand 0.3;
	sample();
	my $started = time;
	$make->($sluice);
	my $done = time;
	recovered($kind);
	$made{$kind}++;
	push @takeovers, { kind => $kind, class => $class, from => $started, to => time };
	note(sprintf '%s took %.2f s, recovered after %.2f s', $kind, $done - $started, time - $done);
}

# Positions that are on disk, and how much of the files had been written by then at least.
sub sample
{
	my ($positions) = split /\n\n/,
	  $sluice->sql('SELECT name, position, epoch FROM sluice.subscriptions; SELECT pg_current_xact_id() IS NULL');
	my %positions = map { /^(\w+)\|(\d+)\|(\d+)$/ ? ($1 => { position => $2, epoch => $3 }) : () } split /\n/, $positions;
	push @samples, { %positions, sizes => { map { $_ => -s $_ } map { $_->outputs } @{ $consumers{tail} } } };
}

sub recovered
{
	my ($from) = @_;
	my $newest;

	wait_until('the newest row is known', sub {
		my ($status, $out) = $sluice->try_sql('SELECT max(id) FROM flow');
		$newest = $out if $status == 0 && $out ne '';
		return defined $newest;
	}) or die "no rows\n";
	return if $sluice->wait_sql("SELECT count(*) FROM sluice.subscriptions WHERE position > $newest", 4, 60);
	ok(0, "all go on after $from (SLUICE_SEED=$seed)");
	diag($sluice->sql("SELECT $newest, s FROM sluice.stat_subscriptions s"));
	diag($sluice->sql("SELECT pid, backend_type, application_name, wait_event, state, query FROM pg_stat_activity WHERE state IS NOT NULL"));
	diag($sluice->sql('SELECT * FROM pg_prepared_xacts'));
	foreach my $consumer (@everybody)
	{
		diag("$consumer->{name} is gone") unless $consumer->is_running;
		$consumer->diagnose;
	}
	die "the campaign ends here\n";
}

sub any_proxy { return $proxies[ int rand @proxies ] }

# Of any subscription the active consumer, and the other one.
sub any_pair
{
	my $name = (sort keys %consumers)[ int rand 4 ];
	my $active;

	wait_until("\"$name\" is active", sub {
		my $consumer = $sluice->sql("SELECT consumer FROM sluice.stat_subscriptions WHERE name = '$name'");
		$active = first { index($consumer, $_->{name}) == 0 } @{ $consumers{$name} };
		return defined $active;
	}) or die "nobody is active\n";
	return ($name, $active, first { $_ != $active } @{ $consumers{$name} });
}

sub fault_consumer_killed
{
	my ($name, $active) = any_pair();
	my $epoch = epoch_of($name);
	$active->kill;
	wait_until('the other one takes over', sub { epoch_of($name) ne $epoch });
	$active->start;
}

sub fault_alone_killed
{
	my ($name, $active, $other) = any_pair();
	$other->kill;
	$active->kill;
	$active->start;
	$other->start;
}

sub epoch_of { return $sluice->sql("SELECT epoch FROM sluice.subscriptions WHERE name = '$_[0]'") }

# How often it was told that it stands by.
sub standbys
{
	my ($consumer) = @_;
	return scalar grep { /\tstandby|another consumer has the subscription/ } slurp_lines($consumer->{log}),
	  slurp_lines("$PostgreSQL::Test::Utils::tmp_check/$consumer->{name}.events");
}

# It holds its connection and does not read; when it goes on it is not the active one.
sub fault_stopped
{
	my ($name, $active) = any_pair();
	my ($epoch, $standbys) = (epoch_of($name), standbys($active));
	$active->signal('STOP');
	wait_until('the other one takes over', sub { epoch_of($name) ne $epoch }, 60);
	sleep rand 1;
	$active->signal('CONT');
	wait_until("$active->{name} stands by", sub { standbys($active) > $standbys }, 60) or $active->diagnose;
}

# Half open both ways.  Then the network is back, or the old connections are dead.
sub fault_freeze
{
	my $proxy = any_proxy();
	$proxy->tell('freeze');
	sleep 1 + rand 5;
	$proxy->tell('cut') if rand() < 0.5;
	$proxy->tell('pass');
}

# The worker that serves a consumer.
sub any_server
{
	my ($name) = any_pair();
	return $sluice->sql("SELECT pid FROM sluice.stat_subscriptions WHERE name = '$name' AND pid IS NOT NULL") || any_server();
}

sub fault_worker
{
	my $victim = any_server();
	kill 'KILL', $victim;
	wait_until('the worker is gone', sub { process_is_gone($victim) });
	$sluice->wait_connectable;
}

sub fault_terminate
{
	my $victim = any_server();
	$sluice->sql("SELECT pg_terminate_backend($victim)");
	wait_until('the worker has ended', sub { process_is_gone($victim) });
}

sub fault_sink_session
{
	isnt($sink->safe_psql('postgres', q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()}), '0', 'sessions of the sink are ended');
}

sub fault_sink_server
{
	$sink->stop('immediate');
	sleep rand 0.5;
	$sink->start;
}

#
# The end
#

sub finish
{
	$writers->stop;
	my $last = $sluice->sql('SELECT max(id) FROM flow');
	ok($sluice->wait_sql("SELECT count(*) FROM sluice.stat_subscriptions WHERE lag_records = 0 AND position = $last", '4', 60),
		'nothing is left behind') or diag($sluice->sql('SELECT * FROM sluice.stat_subscriptions'));
	foreach my $consumer (@everybody)
	{
		my $status = $consumer->stop;
		ok($status eq ($consumer->{name} =~ /^(?:sink|tail)/ ? '5' : '0') || ($status eq '3' && is_in_doubt($consumer)), "$consumer->{name} leaves")
		  or do { diag("status $status"); $consumer->diagnose };
	}
	is(sum(values %made), $faults, "$faults faults were made: " . join(', ', map { "$made{$_} $_" } sort keys %made));
	my $rows = rows_of($sluice->sql(q{SELECT id || ' ' || (payload->>'n') FROM flow ORDER BY id}));
	note(scalar(@$rows) . ' rows');
	same('sink', $rows, rows_of($sink->safe_psql('postgres', q{SELECT id || ' ' || (payload->>'n') FROM flow ORDER BY arrived})));
	same('done', $rows, rows_of($sluice->sql(q{SELECT id || ' ' || (payload->'payload'->>'n') FROM done ORDER BY arrived})));
	my $times = 'SELECT md5(string_agg(received_at::text, NULL ORDER BY id)) FROM flow';
	is($sink->safe_psql('postgres', $times), $sluice->sql($times), 'the sink has the other column, too');
	cmp_ok(activations_ok('wire', $rows) + activations_ok('done', $rows), '>=', $faults / 4, 'consumers have taken over from each other');
	tail_ok($rows);
	tell_takeovers($_) foreach 'closed', 'silence', 'server';
	$_->stop foreach @proxies;
	$sluice->node->stop('fast');
}

# Its last acknowledgement went out on a connection that was lost, and it has had no rows since.
sub is_in_doubt
{
	my ($consumer) = @_;
	my @log = slurp_lines($consumer->{log});
	return $consumer->{name} =~ /^tail/ && $log[-1] =~ /the server has not confirmed the last acknowledgement/;
}

sub rows_of { return [ split /\n/, $_[0] ] }

sub same
{
	my ($name, $expected, $rows) = @_;
	my $at = 0;
	$at++ while $at < @$rows && $at < @$expected && $rows->[$at] eq $expected->[$at];
	ok($at == @$expected && @$rows == @$expected, "$name has all rows, each once, in order (SLUICE_SEED=$seed)")
	  or diag(scalar(@$rows) . " rows, row $at is \"" . ($rows->[$at] // 'none') . '", not "' . ($expected->[$at] // 'none') . '"');
}

# All that the consumers of a subscription noted: activations by epoch, which count upwards.
sub activations
{
	my ($name) = @_;
	my %activations;

	foreach my $line (map { slurp_lines("$PostgreSQL::Test::Utils::tmp_check/$_->{name}.events") } @{ $consumers{$name} })
	{
		my ($time, $what, $epoch, @rest) = split /\t/, $line;
		next unless $what =~ /^(?:active|row|ack)$/;
		my $activation = $activations{$epoch} //= { epoch => $epoch, rows => [], acked => 0 };
		if ($what eq 'active') { $activation->{position} = $rest[0] }
		elsif ($what eq 'ack') { $activation->{acked} = $rest[0] if $rest[0] > $activation->{acked} }
		else
		{
			$activation->{first_row_at} //= $time;
			my ($id, $n) = $rest[1] =~ /^\{"id":(\d+),.*"payload":\{"n": ?"?(.*?)"?\}\}$/;
			push @{ $activation->{rows} }, $rest[0] == ($id // -1) ? "$id $n" : "unexpected: $line";
		}
	}
	return map { $activations{$_} } sort { $a <=> $b } keys %activations;
}

# Each activation begins where acknowledgements had come to and has all rows from there to where it ends, so nothing
# that was acknowledged is repeated, and nothing that was not is left out.  Returns how many there were.
sub activations_ok
{
	my ($name, $expected) = @_;
	my @activations = activations($name);
	my %place = map { (split / /, $expected->[$_])[0] => $_ } 0 .. $#$expected;
	my (@wrong, $before);

	foreach my $activation (@activations)
	{
		my $epoch = $activation->{epoch};
		if (!defined $activation->{position})
		{
			push @wrong, "$epoch has rows and was not announced";
			next;
		}
		push @wrong, "$epoch begins at $activation->{position}, before $before->{position}"
		  if $before && $activation->{position} < $before->{position};
		push @wrong, "$epoch begins at $activation->{position}, beyond $before->{acked}, which was acknowledged last"
		  if $before && $activation->{position} > max($before->{position}, $before->{acked});
		push @wrong, wrong_rows($activation, $expected, \%place);
		$before = $activation;
	}
	foreach my $sample (map { $_->{$name} } @samples)
	{
		my $next = first { $_->{epoch} > $sample->{epoch} } @activations or next;
		push @wrong, "$next->{epoch} begins at $next->{position}, and $sample->{position} was acknowledged"
		  if ($next->{position} // 0) < $sample->{position};
	}
	my $repeated = sum(0, map { scalar @{ $_->{rows} } } @activations) - @$expected;
	ok(!@wrong, "$name: " . @activations . " activations follow each other without a hole; $repeated rows were repeated (SLUICE_SEED=$seed)")
	  or diag(join "\n", @wrong[ 0 .. min($#wrong, 20) ]);
	return scalar @activations;
}

# The rows behind the position up to the last one, no other.
sub wrong_rows
{
	my ($activation, $expected, $place) = @_;
	my @rows = @{ $activation->{rows} };
	return () unless @rows;
	my $at = $activation->{position} == 0 ? 0 : ($place->{ $activation->{position} } // return "$activation->{epoch}: no such position") + 1;

	foreach my $row (@rows)
	{
		return "$activation->{epoch}: \"$row\" is there, not \"" . ($expected->[$at] // 'the end') . '"' if $row ne ($expected->[$at] // '');
		$at++;
	}
	return ();
}

# Every row, and none again that was acknowledged when a fault came.
sub tail_ok
{
	my ($expected) = @_;
	my (%seen, @again, $rows);

	foreach my $output (map { $_->outputs } @{ $consumers{tail} })
	{
		my ($at, $acked, @sizes) = (0, 0, map { [ $_->{sizes}{$output} // 0, $_->{tail}{position} ] } @samples);
		foreach my $line (slurp_lines($output))
		{
			$acked = (shift @sizes)->[1] while @sizes && $sizes[0][0] <= $at;
			$at += 1 + length $line;
			my ($id, $n) = $line =~ /^\{"offset":\d+,.*"row":\{"id":(\d+),.*"payload":\{"n": ?"?(.*?)"?\}\}\}$/ or next;
			$seen{"$id $n"} = 1;
			$rows++;
			push @again, "$output: $id came when $acked was acknowledged" if $id <= $acked;
		}
	}
	my @missing = grep { !delete $seen{$_} } @$expected;
	ok(!@missing && !%seen, "tail has all rows (SLUICE_SEED=$seed)") or diag("missing $missing[0]", map { "\nsurplus $_" } (sort keys %seen)[ 0 .. 3 ]);
	ok(!@again, 'tail: nothing acknowledged came again; ' . ($rows - @$expected) . ' rows were repeated')
	  or diag(join "\n", @again[ 0 .. min($#again, 20) ]);
}

# From the fault to the first row of the next activation.  Of "closed", too, it can take longer: the one that is to
# stand by may not have noticed yet that the fault before has cut it off.
sub tell_takeovers
{
	my ($class) = @_;
	my @times;

	foreach my $name ('wire', 'done')
	{
		my @first = grep { defined } map { $_->{first_row_at} } activations($name);
		foreach my $fault (grep { $_->{class} eq $class } @takeovers)
		{
			push @times, map { $_ - $fault->{from} } (first { $_ > $fault->{from} && $_ < $fault->{to} } @first) // ();
		}
	}
	@times = sort { $a <=> $b } @times;
	return unless @times;
	note(sprintf 'takeover, %s: p50 %.3f s, p99 %.3f s, max %.3f s of %d', $class, $times[ $#times / 2 ], $times[ int($#times * 0.99) ],
		$times[-1], scalar @times);
	cmp_ok($times[-1], '<', $keepalive + 10, "$class: the next consumer has rows in time") unless $class eq 'server';
}
