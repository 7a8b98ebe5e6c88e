# Exactly once, whatever crashes: campaigns of seeded faults in mid stream.
#
# For each kind of fault a client streams records without end and sends what is
# unacknowledged again over new connections.  SLUICE_ROUNDS faults are made at
# random moments; then the client makes no new records, waits for its last
# answers, and its ledger (what it was told) is compared with the tables.
#
# Where the fault throws away keys by the user's own act (DROP EXTENSION, DROP
# DATABASE) the rows of before are set aside as an epoch of their own.  Inside
# an epoch nothing may be doubled.  A record may be in two epochs only if it was
# unacknowledged when the first one ended: its client had to send it again.
#
# SLUICE_SEED replays the choices; SLUICE_KINDS="postmaster worker" picks kinds.
#
# suites: beside others
use strict;
use warnings;

use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until process_is_gone slurp_lines);
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{SLUICE_ROUNDS} // 2;
my $seed   = $ENV{SLUICE_SEED}   // int(time) % 1_000_000;
my $drain  = 3;
my %campaign = (
	worker     => \&fault_worker,
	terminate  => \&fault_terminate,
	postmaster => \&fault_postmaster,
	immediate  => \&fault_immediate,
	fast       => \&fault_fast);
my @kinds = split ' ', $ENV{SLUICE_KINDS} // 'worker terminate postmaster immediate fast extension database';

note("SLUICE_SEED=$seed SLUICE_ROUNDS=$rounds");
foreach my $kind (@kinds)
{
	# Each kind has its own sequence: replaying one does not need the others.
	srand($seed * 31 + length($kind) * 7 + ord($kind));
	my $sluice = Sluice->new($kind, workers => 1 + int rand 2,
		database => $kind eq 'database' ? 'served' : 'postgres', extension => 0,
		conf => "sluice.drain_timeout = '${drain}s'\n");
	$sluice->sql('CREATE DATABASE served', 'postgres') if $kind eq 'database';
	$sluice->sql('CREATE EXTENSION pg_sluice');
	$sluice->wait_serving;
	$sluice->create_readings('readings');
	if    ($kind eq 'extension') { campaign_extension($sluice) }
	elsif ($kind eq 'database')  { campaign_database($sluice) }
	else                         { campaign_plain($sluice, $kind) }
	my $started = time;
	$sluice->node->stop('fast');
	cmp_ok(time - $started, '<', $drain + 10, "$kind: shutdown at the end is in time");
}
done_testing();

sub sender
{
	my ($sluice, $name) = @_;
	return $sluice->send_start($name, '--timeout', 2600, '--bad-every', 50, '--window', 500, '--prefix', $name);
}

# Let the stream run for a random while, so that the fault finds any state.
sub run_a_while
{
	my ($sluice, $sender) = @_;
	my $started = time;
	my $records = 100 + int rand 1000;

	$sluice->wait_progress($sender, $records, 90);
	note(sprintf 'slow: %d answers took %.1f s', $records, time - $started) if time - $started > 5;
	sleep rand 0.3;
}

sub campaign_plain
{
	my ($sluice, $kind) = @_;
	my $sender  = sender($sluice, $kind);
	my $longest = 0;

	foreach my $round (1 .. $rounds)
	{
		run_a_while($sluice, $sender);
		my $took = $campaign{$kind}->($sluice);
		$longest = max($longest, $took);
		note(sprintf '%s round %d: %.2f s, %d answers', $kind, $round, $took, Sluice::acknowledged_lines($sender));
		# Serving is progress: nothing else would be seen by a client.
		$sluice->wait_progress($sender, 1, 120);
	}
	my $report = $sluice->send_stop($sender);
	$sluice->balance_ok("$kind, $rounds times", $sender, $report, 'readings');
	cmp_ok($report->{calls}, '>', 1, "$kind: the client had to reconnect");
	cmp_ok($longest, '<', $drain + 10, "$kind: the longest shutdown took " . sprintf('%.2f s', $longest))
	  if $kind eq 'fast';
}

#
# Faults; each returns the seconds that a shutdown took, or 0.
#

sub fault_worker
{
	my ($sluice) = @_;
	my @workers = $sluice->workers;
	my $victim = $workers[ int rand @workers ];

	ok(0, 'there is a worker') unless defined $victim;
	kill 'KILL', $victim;
	wait_until('the worker is gone', sub { process_is_gone($victim) });
	$sluice->wait_connectable;
	return 0;
}

sub fault_terminate
{
	my ($sluice) = @_;
	# The one that has the client's call: it is to notice.
	my $victim  = $sluice->sql('SELECT pid FROM sluice.stat_workers ORDER BY calls DESC LIMIT 1');
	my $started = time;

	$sluice->sql("SELECT pg_terminate_backend($victim)", 'postgres');
	ok(wait_until('the worker has ended', sub { process_is_gone($victim) }, $drain + 10), 'pg_terminate_backend ends the worker');
	return time - $started;
}

sub fault_postmaster
{
	my ($sluice) = @_;
	$sluice->kill_server;
	$sluice->start;
	return 0;
}

sub fault_immediate
{
	my ($sluice) = @_;
	$sluice->node->stop('immediate');
	$sluice->start;
	return 0;
}

sub fault_fast
{
	my ($sluice) = @_;
	my $started = time;
	$sluice->node->stop('fast');
	my $took = time - $started;
	$sluice->start;
	return $took;
}

#
# DROP EXTENSION and CREATE EXTENSION.  Half of the rounds do it in one
# transaction, half leave the server without the extension for a while.
#

# End the epoch: what it stored goes to tables of its own, in the transaction that drops the keys.
sub epoch_sql
{
	my ($epoch) = @_;
	return <<"END";
LOCK TABLE sluice.dead_letters, readings IN ACCESS EXCLUSIVE MODE;
CREATE TABLE dead_letters_$epoch AS SELECT * FROM sluice.dead_letters;
DROP EXTENSION pg_sluice CASCADE;
ALTER TABLE readings RENAME TO readings_$epoch;
END
}

sub revive_sql
{
	return Sluice::readings_table('readings')
	  . "CREATE EXTENSION pg_sluice;\n"
	  . "SELECT sluice.create_stream('readings', 'readings', message_type => 'ingestion.DataPayload');\n";
}

# A deadlock with a worker is nobody's fault: try again.
sub sql_patiently
{
	my ($sluice, $query) = @_;
	foreach (1 .. 10)
	{
		my ($status, $out, $err) = $sluice->try_sql("BEGIN;\n$query\nCOMMIT;");
		return if $status == 0;
		die $err unless $err =~ /deadlock detected|lock timeout/;
	}
	die "deadlock ten times in a row\n";
}

sub campaign_extension
{
	my ($sluice) = @_;
	my $sender   = sender($sluice, 'extension');
	my @known    = ([]);

	foreach my $epoch (1 .. $rounds)
	{
		run_a_while($sluice, $sender);
		my @before = slurp_lines($sender->{ledger});
		if (rand() < 0.5)
		{
			sql_patiently($sluice, epoch_sql($epoch) . revive_sql());
		}
		else
		{
			sql_patiently($sluice, epoch_sql($epoch));
			sleep rand 1;
			sql_patiently($sluice, revive_sql());
		}
		push @known, \@before;
		note("extension round $epoch: " . @before . ' answers before');
		$sluice->wait_progress($sender, 1, 120);
	}
	check_epochs($sluice, 'DROP EXTENSION', $sender, \@known, 'sluice.dead_letters', {});
}

# known[n]: the ledger's lines from before epoch n ended.  gone: keys that are not to be accounted for.
sub check_epochs
{
	my ($sluice, $what, $sender, $known, $letters, $gone) = @_;
	my $report = $sluice->send_stop($sender);
	my @lines  = grep { !exists $gone->{ (split /\t/)[0] } } slurp_lines($sender->{ledger});
	my $ledger = "$sender->{ledger}.accounted";
	my @tables = ((map { "readings_$_" } 1 .. $rounds), 'readings');
	my @dead   = ((map { "dead_letters_$_" } 1 .. $rounds), $letters);
	append_to_file($ledger, join('', map { "$_\n" } @lines));
	my $sums   = $sluice->balance($ledger, \@tables, \@dead);

	is($sums->{lost},             0, "$what, $rounds times: none of $sums->{answers} answered records lost");
	is($sums->{doubled},          0, "$what: none doubled within its epoch");
	is($sums->{unanswered},       0, "$what: nothing stored that was not answered");
	is($report->{unacknowledged}, 0, "$what: all answered in the end");
	is($report->{contradicted},   0, "$what: no answer contradicts another");
	is($sums->{answers} + keys %$gone, $report->{records}, "$what: one answer a record");
	cmp_ok($sums->{overlap}, '<=', 500 * $rounds, "$what: $sums->{overlap} sent again into a later epoch, within the windows");
	is(sent_twice_though_known($sluice, $known, \@tables, \@dead), 0, "$what: none of them was acknowledged before");
}

# Records that were acknowledged before an epoch ended and were stored in a later one too.
sub sent_twice_though_known
{
	my ($sluice, $known, $tables, $dead) = @_;
	my $count = 0;

	foreach my $epoch (1 .. $#$known)
	{
		my $file = "$PostgreSQL::Test::Utils::tmp_check/known";
		append_to_file($file, join('', map { "$_\n" } @{ $known->[$epoch] }));
		my $later = join ' UNION ALL ',
		  (map { "SELECT device_id AS key FROM $_" } @$tables[ $epoch .. $#$tables ]),
		  (map { "SELECT key_text FROM $_" } @$dead[ $epoch .. $#$dead ]);
		$count += $sluice->sql(<<"END");
CREATE TEMP TABLE known (key text, status text);
\\copy known from '$file'
SELECT count(*) FROM (SELECT key FROM known) k JOIN ($later) l USING (key);
END
		unlink $file;
	}
	return $count;
}

#
# DROP DATABASE WITH (FORCE) of the served database, and its return.
#
# What it held is gone with it, so it is copied out before.  In half of the
# rounds the stream is held first: then nothing more can be stored, and every
# acknowledged record must be in the copy.  In the others records go on to be
# stored until the worker ends; those acknowledged after the copy was begun went
# down with the database, and are left out of the account.
#

sub campaign_database
{
	my ($sluice) = @_;
	my $sender   = sender($sluice, 'database');
	my @known    = ([]);
	my $longest  = 0;
	my %gone;

	foreach my $epoch (1 .. $rounds)
	{
		run_a_while($sluice, $sender);
		my $hold = rand() < 0.5;
		push @known, [ slurp_lines($sender->{ledger}) ];
		$hold ? copy_held($sluice, $epoch) : copy_flowing($sluice, $epoch);
		my $started = time;
		$sluice->sql('DROP DATABASE served WITH (FORCE)', 'postgres');
		my $took = time - $started;
		$longest = max($longest, $took);
		sleep rand 1;
		$sluice->sql('CREATE DATABASE served', 'postgres');
		my @late = late_answers($sender, $known[$epoch], $epoch);
		is(scalar @late, 0, "database round $epoch: with the stream held, the copy has every acknowledged record") if $hold;
		@gone{@late} = () unless $hold;
		sql_patiently($sluice, revive_sql());
		my $revived = time;
		$sluice->wait_progress($sender, 1, 120);
		note(sprintf 'database round %d: dropped in %.2f s, %s, %d went down with it; served again after %.2f s',
			$epoch, $took, $hold ? 'held' : 'flowing', scalar @late, time - $revived);
	}
	load_epoch($sluice, $_) foreach 1 .. $rounds;
	check_epochs($sluice, 'DROP DATABASE', $sender, \@known, 'sluice.dead_letters', \%gone);
	cmp_ok($longest, '<', $drain + 2, 'DROP DATABASE WITH (FORCE) never waits longer than the drain timeout: '
		  . sprintf('%.2f s', $longest));
}

sub epoch_file
{
	my ($kind, $epoch) = @_;
	return "$PostgreSQL::Test::Utils::tmp_check/$kind.$epoch";
}

sub copy_sql
{
	my ($epoch) = @_;
	my ($rows, $dead) = (epoch_file('readings', $epoch), epoch_file('dead', $epoch));
	return <<"END";
BEGIN ISOLATION LEVEL REPEATABLE READ;
\\copy readings to '$rows'
\\copy sluice.dead_letters to '$dead'
COMMIT;
END
}

sub copy_held
{
	my ($sluice, $epoch) = @_;
	$sluice->sql("SELECT sluice.hold('readings', 'to be dropped')");
	# Waits for the batch that had begun before.
	sql_patiently($sluice, 'LOCK TABLE readings, sluice.dead_letters IN ACCESS EXCLUSIVE MODE;');
	$sluice->sql(copy_sql($epoch));
}

sub copy_flowing
{
	my ($sluice, $epoch) = @_;
	$sluice->sql(copy_sql($epoch));
}

# Keys that were answered after the copy was begun (or, of those before, wrongly) and are not in it.
sub late_answers
{
	my ($sender, $before, $epoch) = @_;
	my %copied;

	$copied{ (split /\t/)[0] } = 1 foreach slurp_lines(epoch_file('readings', $epoch));
	$copied{ (split /\t/)[4] } = 1 foreach slurp_lines(epoch_file('dead', $epoch));
	my %sure = map { (split /\t/)[0] => 1 } @$before;
	my @answered = map { (split /\t/)[0] } slurp_lines($sender->{ledger});
	# Of this epoch: what no earlier one had answered.
	my %earlier = map { $_ => 1 } @{ $sender->{earlier} // [] };
	my @missing = grep { !$copied{$_} && !$earlier{$_} } @answered;
	$sender->{earlier} = \@answered;
	is(scalar(grep { $sure{$_} } @missing), 0, "database round $epoch: what was acknowledged before the copy is in it");
	return @missing;
}

sub load_epoch
{
	my ($sluice, $epoch) = @_;
	my ($rows, $dead) = (epoch_file('readings', $epoch), epoch_file('dead', $epoch));
	$sluice->sql(<<"END");
CREATE TABLE readings_$epoch (LIKE readings);
\\copy readings_$epoch from '$rows'
CREATE TABLE dead_letters_$epoch AS SELECT * FROM sluice.dead_letters WITH NO DATA;
\\copy dead_letters_$epoch from '$dead'
END
}
