# What passes again is waited for: no dead letter, nothing acknowledged
# meanwhile, everything stored afterwards.  Other streams go on.
use strict;
use warnings;

use Sluice qw(wait_until);
use Test::More;
use Time::HiRes qw(sleep time);

my $sluice = Sluice->new('main', conf => "sluice.lock_timeout = '200ms'\ndeadlock_timeout = '200ms'\n");
$sluice->create_readings('readings');
$sluice->create_readings('others', is_default => 0);

# While the trouble lasts: nothing of the stream is answered, the other stream
# is served.  Watched until the stream shows that it is held.
sub held
{
	my ($what, $sender, $hold) = @_;
	ok($sluice->wait_sql("SELECT hold IS NOT NULL FROM sluice.stat_streams WHERE name = 'readings'", 't', 60),
		"$what: stat_streams shows the hold");
	# What still fits on a full disk is stored in parts, the last of them after the hold shows.
	my ($answers, $same) = (-1, 0);
	wait_until("$what: no more answers come", sub {
		my $now = Sluice::acknowledged_lines($sender);
		($answers, $same) = ($now, $now == $answers ? $same + 1 : 0);
		return $same == 25;
	}, 60);
	my $other = $sluice->client('send', '--count', 300, '--prefix', "other-$what", '--stream', 'others', '--timeout', 60);
	is($other->{acknowledged}, 300, "$what: the other stream goes on");
	is(Sluice::acknowledged_lines($sender), $answers, "$what: nothing is acknowledged meanwhile");
	return $answers;
}

sub settled
{
	my ($what, $sender) = @_;
	my $report = $sluice->send_finish($sender);
	is($sluice->sql('SELECT count(*) FROM sluice.dead_letters'), 0, "$what: no dead letter");
	is($report->{acknowledged}, $report->{records}, "$what: all $report->{records} acknowledged afterwards");
	is($sluice->sql("SELECT count(*) || ' ' || count(DISTINCT device_id) FROM readings"),
		"$report->{records} $report->{records}", "$what: each stored once");
	$sluice->sql('TRUNCATE readings');
}

subtest 'an exclusive lock on the target' => sub {
	my $session = $sluice->node->background_psql('postgres');
	$session->query_safe('BEGIN');
	$session->query_safe('LOCK TABLE readings IN ACCESS EXCLUSIVE MODE');
	my $sender = $sluice->send_start('lock', '--count', 3000, '--prefix', 'lock', '--timeout', 120);
	is(held('lock', $sender), 0, 'lock: not one record was acknowledged');
	$session->query_safe('COMMIT');
	$session->quit;
	settled('lock', $sender);
};

subtest 'a read-only default' => sub {
	$sluice->sql("ALTER SYSTEM SET default_transaction_read_only = on");
	$sluice->sql('SELECT pg_reload_conf()');
	my $sender = $sluice->send_start('readonly', '--count', 2000, '--prefix', 'readonly', '--timeout', 120);
	# Only this stream was tried so far; with the whole server read only no stream can go on.
	ok($sluice->wait_sql("SELECT hold IS NOT NULL FROM sluice.stat_streams WHERE name = 'readings'", 't', 60),
		'readonly: the hold is shown');
	is(Sluice::acknowledged_lines($sender), 0, 'readonly: nothing acknowledged');
	$sluice->sql("BEGIN READ WRITE; COMMIT; ALTER SYSTEM RESET default_transaction_read_only");
	$sluice->sql('SELECT pg_reload_conf()');
	settled('readonly', $sender);
};

subtest 'a deadlock' => sub {
	# The worker holds its key rows and the target, and its trigger wants a row that a session holds;
	# the session then wants what the worker has.
	$sluice->sql(<<'END');
CREATE TABLE counters (id integer PRIMARY KEY, n bigint);
INSERT INTO counters VALUES (1, 0);
CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE public.counters SET n = n + 1 WHERE id = 1;
	RETURN NEW;
END $$;
CREATE TRIGGER bump BEFORE INSERT ON readings FOR EACH ROW EXECUTE FUNCTION bump();
END
	my $sender = $sluice->send_start('deadlock', '--count', 2000, '--prefix', 'deadlock', '--timeout', 150);
	my $broken = 0;
	foreach (1 .. 8)
	{
		my ($status, $out, $err) = $sluice->try_sql(<<'END');
BEGIN;
UPDATE counters SET n = n WHERE id = 1;
SELECT pg_sleep(0.3);
LOCK TABLE readings IN SHARE MODE;
COMMIT;
END
		$broken++ if $status != 0 && $err =~ /deadlock/;
		last if $broken || $sluice->log_since =~ /deadlock detected/;
	}
	like($sluice->log_since, qr/deadlock detected|lock timeout/, 'the worker and a session ran into each other');
	settled('deadlock', $sender);
	is($sluice->sql('SELECT n FROM counters'), 2000, 'deadlock: the trigger acted once a stored record');
	$sluice->sql('DROP TRIGGER bump ON readings');
};

SKIP:
{
	skip 'no small disk: mounting a tmpfs needs root or sudo', 1 unless $ENV{SLUICE_SMALL_DISK};
	subtest 'a full disk' => sub {
		my $disk = "$ENV{SLUICE_SMALL_DISK}/space";
		mkdir $disk or die "$disk: $!";
		$sluice->sql("CREATE TABLESPACE small LOCATION '$disk'");
		$sluice->sql('ALTER TABLE readings SET TABLESPACE small');
		# What else lies on the disk leaves room for some rows only.
		my $ballast = "$ENV{SLUICE_SMALL_DISK}/ballast";
		system("head -c 23000000 /dev/zero >'$ballast' 2>/dev/null");
		my $sender = $sluice->send_start('disk', '--count', 60000, '--prefix', 'disk', '--timeout', 200);
		my $before = held('disk', $sender);
		like($sluice->sql("SELECT sqlstate FROM sluice.stat_streams WHERE name = 'readings'"), qr/^53/, 'disk: the SQLSTATE is shown');
		cmp_ok($before, '<', 60000, "disk: it was full after $before records");
		is($sluice->sql('SELECT count(*) FROM readings'), $before, 'disk: stored is what was acknowledged');
		unlink $ballast;
		settled('disk', $sender);
		$sluice->sql('ALTER TABLE readings SET TABLESPACE pg_default; DROP TABLESPACE small');
	};
}

subtest 'a table that is gone, a column that is gone' => sub {
	my $sender = $sluice->send_start('gone', '--count', 1000, '--prefix', 'gone', '--timeout', 120, '--rate', 400);
	$sluice->wait_progress($sender, 50, 60);
	$sluice->sql('ALTER TABLE readings RENAME COLUMN humidity_percent TO moisture');
	held('column', $sender);
	$sluice->sql('ALTER TABLE readings RENAME COLUMN moisture TO humidity_percent');
	settled('column', $sender);
};

done_testing();
