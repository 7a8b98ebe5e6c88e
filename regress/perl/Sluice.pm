# A server with pg_sluice, and clients for it, in TAP tests.
#
#	my $sluice = Sluice->new('main', workers => 2, conf => "sluice.drain_timeout = '2s'");
#	$sluice->create_readings('readings');
#	my $report = $sluice->client('send', '--count', 1000);
#
# The clients are regress/client.py (a foreign one) and the tool.  Every wait
# has a condition and a deadline; a deadline that passes ends the test.
package Sluice;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname);
use IPC::Run ();
use JSON::PP qw(decode_json encode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(wait_until process_is_gone slurp_lines);

my @everybody;
my $patience = $PostgreSQL::Test::Utils::timeout_default;

sub regress_directory
{
	return dirname(dirname(__FILE__));
}

# Make and start a server; extension => 0 leaves the extension out, start => 0 the start.
sub new
{
	my ($class, $name, %params) = @_;
	my $self = bless {
		node     => PostgreSQL::Test::Cluster->new($name),
		port     => PostgreSQL::Test::Cluster::get_free_port(),
		database => $params{database} // 'postgres',
		clients  => []
	}, $class;
	my $workers = $params{workers} // 1;

	push @everybody, $self;
	$self->{node}->init(
		allows_streaming => $params{streaming} // 0,
		extra            => $params{initdb}    // [ '-E', 'UTF8', '--locale=C' ]);
	$self->{node}->append_conf('postgresql.conf', <<"END");
shared_preload_libraries = 'pg_sluice'
restart_after_crash = on
max_connections = 40
timezone = 'UTC'
sluice.listen_addresses = '127.0.0.1'
sluice.port = $self->{port}
sluice.workers = $workers
sluice.database = '$self->{database}'
END
	$self->{node}->append_conf('postgresql.conf', $params{conf}) if $params{conf};
	# Clients of tests may have any address of loopback.
	append_to_file($self->{node}->data_dir . '/pg_hba.conf', "host all all 127.0.0.0/8 trust\n");
	return $self if exists $params{start} && !$params{start};
	$self->start;
	if (!exists $params{extension} || $params{extension})
	{
		$self->sql('CREATE EXTENSION pg_sluice');
		$self->wait_serving;
	}
	return $self;
}

sub node { return $_[0]->{node} }
sub port { return $_[0]->{port} }
sub address { return "127.0.0.1:$_[0]->{port}" }
sub start { $_[0]->{node}->start }
sub set_database { $_[0]->{database} = $_[1] }
# What the Python client is told of TLS: --ca FILE --cert FILE --key FILE.
sub set_credentials { my ($self, @arguments) = @_; $self->{credentials} = \@arguments }

sub sql
{
	my ($self, $query, $database) = @_;
	return $self->{node}->safe_psql($database // $self->{database}, $query);
}

# Exit status, standard output and standard error of a query that may fail.
sub try_sql
{
	my ($self, $query, $database) = @_;
	my ($out, $err) = ('', '');
	my $status = $self->{node}->psql($database // $self->{database}, $query, stdout => \$out, stderr => \$err);
	return ($status, $out, $err);
}

sub log_offset { return -s $_[0]->{node}->logfile }

sub log_since
{
	my ($self, $offset) = @_;
	return slurp_file($self->{node}->logfile, $offset // 0);
}

#
# Waiting
#

sub wait_until
{
	my ($what, $condition, $seconds) = @_;
	my $deadline = time + ($seconds // $patience);

	until ($condition->())
	{
		if (time > $deadline)
		{
			diag("waited in vain until $what");
			return 0;
		}
		sleep 0.02;
	}
	return 1;
}

sub wait_sql
{
	my ($self, $query, $expected, $seconds) = @_;
	my $last = '';

	return 1 if wait_until(
		"\"$query\" gives $expected",
		sub {
			my ($status, $out) = $self->try_sql($query);
			$last = $status == 0 ? $out : "(status $status)";
			return $status == 0 && $out eq $expected;
		},
		$seconds);
	diag("last answer: $last");
	return 0;
}

# Until the endpoint says SERVING, as a client sees it.
sub wait_serving
{
	my ($self, $seconds) = @_;
	my $report = $self->client('health', '--wait', $seconds // 60);
	die "endpoint is $report->{status}, see " . $self->{node}->logfile . "\n" if $report->{status} ne 'SERVING';
}

sub wait_connectable
{
	my ($self) = @_;
	wait_until('the server accepts connections',
		sub { my ($status) = $self->try_sql('SELECT 1', 'postgres'); return $status == 0 })
	  or die "the server does not come back\n";
}

#
# Clients
#

sub client_command
{
	my ($self, $command, @arguments) = @_;
	return ($ENV{SLUICE_PYTHON} // '/usr/bin/python3', regress_directory() . '/client.py',
		$command, '--address', $self->address, @{ $self->{credentials} // [] }, @arguments);
}

# Run the Python client to its end; its report.  input: lines for "exact".
sub client
{
	my ($self, @arguments) = @_;
	return $self->client_input('', @arguments);
}

sub client_input
{
	my ($self, $input, @arguments) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ $self->client_command(@arguments) ], '<', \$input, '>', \$out, '2>', \$err);
	my $status = $? >> 8;
	diag($err) if $err ne '' && $status != 0;
	my $report = eval { decode_json($out) } // die "client.py said \"$out\" $err\n";
	$report->{status_code} = $status;
	return $report;
}

# Requests as hashes in one call (see client.py), the report with its responses.
sub exact
{
	my ($self, $requests, @arguments) = @_;
	return $self->client_input(join('', map { encode_json($_) . "\n" } @$requests), 'exact', @arguments);
}

# Start "send" in the background; what it was answered is in its ledger from line to line.
sub send_start
{
	my ($self, $name, @arguments) = @_;
	my $sender = { name => $name, out => '', err => '', sluice => $self,
		ledger => "$PostgreSQL::Test::Utils::tmp_check/$name.ledger" };
	my @command = $self->client_command('send', '--ledger', $sender->{ledger}, @arguments);

	unlink $sender->{ledger};
	$sender->{run} = IPC::Run::start(\@command, '<', \undef, '>', \$sender->{out}, '2>', \$sender->{err});
	push @{ $self->{clients} }, $sender;
	return $sender;
}

sub acknowledged_lines
{
	my ($sender) = @_;
	my @lines = slurp_lines($sender->{ledger});
	return scalar @lines;
}

# Until this many more answers have come than there were.
sub wait_progress
{
	my ($self, $sender, $more, $seconds) = @_;
	my $target = acknowledged_lines($sender) + $more;
	wait_until("$sender->{name} has $target answers",
		sub { $sender->{run}->pumpable && $sender->{run}->pump_nb; acknowledged_lines($sender) >= $target },
		$seconds)
	  or die "no progress of $sender->{name}: $sender->{err}\n";
}

# Make no new records, wait until all are acknowledged; the report.
sub send_stop
{
	my ($self, $sender) = @_;
	$sender->{run}->signal('TERM');
	return $self->send_finish($sender);
}

sub send_finish
{
	my ($self, $sender) = @_;
	$sender->{run}->finish;
	@{ $self->{clients} } = grep { $_ != $sender } @{ $self->{clients} };
	diag($sender->{err}) if $sender->{err} ne '';
	return decode_json($sender->{out});
}

END
{
	my $status = $?;
	Sluice->kill_clients;
	$? = $status;
}

sub kill_clients
{
	foreach my $sluice (@everybody)
	{
		$_->{run}->kill_kill foreach @{ $sluice->{clients} };
	}
}

# The tool "sluice"; its exit status, standard output and standard error.
sub tool
{
	my ($self, $input, @arguments) = @_;
	my ($out, $err) = ('', '');
	die "there is no tool\n" unless $ENV{SLUICE_TOOL};
	IPC::Run::run([ $ENV{SLUICE_TOOL}, @arguments ], '<', \$input, '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

#
# Processes
#

sub postmaster_pid
{
	my ($self) = @_;
	my ($pid) = slurp_lines($self->{node}->data_dir . '/postmaster.pid');
	return $pid;
}

sub children
{
	my ($pid) = @_;
	my @found;
	foreach my $task (glob "/proc/$pid/task/*/children")
	{
		push @found, map { split } slurp_lines($task);
	}
	return @found;
}

# Processes of the server that have mapped a library.
sub processes_with
{
	my ($self, $library) = @_;
	my $postmaster = $self->postmaster_pid;
	return grep { join('', slurp_lines("/proc/$_/maps")) =~ /\Q$library\E/ } ($postmaster, children($postmaster));
}

sub workers { return $_[0]->processes_with('pg_sluice_endpoint') }

# A process that is dead but not yet reaped counts as gone.
sub process_is_gone
{
	my ($pid) = @_;
	my ($line) = slurp_lines("/proc/$pid/stat");
	return !defined $line || $line =~ /^\d+ \(.*\) [ZX]/;
}

# As when the machine stops: the postmaster and all its children, none can say goodbye.
sub kill_server
{
	my ($self) = @_;
	my $postmaster = $self->postmaster_pid;

	kill 'STOP', $postmaster;
	my @pids = (children($postmaster), $postmaster);
	kill 'KILL', @pids;
	wait_until('all processes of the server are gone', sub { !grep { !process_is_gone($_) } @pids })
	  or die "processes survived SIGKILL\n";
	# Orphans are reaped by init; where it never does, their pids in lock files would look alive.
	if (!wait_until('the postmaster is reaped', sub { !-e "/proc/$postmaster" }, 5))
	{
		unlink $self->{node}->data_dir . '/postmaster.pid', glob($self->{node}->host . '/.s.PGSQL.*.lock');
	}
	$self->{node}->{_pid} = undef;
}

sub slurp_lines
{
	my ($path) = @_;
	open my $file, '<', $path or return;
	my @lines = <$file>;
	chomp @lines;
	return @lines;
}

#
# Tables
#

# A table for ingestion.DataPayload that refuses what is colder than can be, and its stream.
sub create_readings
{
	my ($self, $name, %params) = @_;
	my $is_default = $params{is_default} // 1 ? 'true' : 'false';
	$self->sql(readings_table($name));
	$self->sql("SELECT sluice.create_stream('$name', '$name', message_type => 'ingestion.DataPayload', is_default => $is_default)");
}

sub readings_table
{
	my ($name) = @_;
	return <<"END";
CREATE TABLE $name (
	device_id text NOT NULL,
	"timestamp" timestamptz,
	temperature_celsius float8 CONSTRAINT possible CHECK (temperature_celsius > -274),
	humidity_percent float8);
END
}

# Rows and dead letters against a sender's ledger.  All figures but "rows" and
# "dead" are to be 0: lost is what was acknowledged and is not where its status
# says, doubled what is there twice, both what is in the table and a dead letter.
# tables and letters are lists: parts of what was stored, one after the other
# (epochs, see 002_crash.pl); doubled is counted inside each.
sub balance
{
	my ($self, $ledger, $tables, $letters, $database) = @_;
	my $rows = join ' UNION ALL ', map { "SELECT device_id AS key, '$_' AS part FROM $_" } @$tables;
	my $dead = join ' UNION ALL ', map { "SELECT key_text AS key, '$_' AS part FROM $_" } @$letters;
	my $text = $self->sql(<<"END", $database);
CREATE TEMP TABLE ledger (key text, status text);
\\copy ledger from '$ledger'
CREATE TEMP TABLE stored AS $rows;
CREATE TEMP TABLE dead AS $dead;
ANALYZE ledger, stored, dead;
SELECT json_build_object(
	'answers', (SELECT count(*) FROM ledger),
	'rows', (SELECT count(*) FROM stored),
	'dead', (SELECT count(*) FROM dead),
	'lost', (SELECT count(*) FROM ledger l WHERE status = 'ACKNOWLEDGED' AND NOT EXISTS (SELECT FROM stored s WHERE s.key = l.key))
		+ (SELECT count(*) FROM ledger l WHERE status <> 'ACKNOWLEDGED' AND NOT EXISTS (SELECT FROM dead d WHERE d.key = l.key)),
	'doubled', (SELECT count(*) FROM (SELECT FROM stored GROUP BY key, part HAVING count(*) > 1) x)
		+ (SELECT count(*) FROM (SELECT FROM dead GROUP BY key, part HAVING count(*) > 1) x),
	'both', (SELECT count(*) FROM stored s JOIN dead d ON s.key = d.key),
	'unanswered', (SELECT count(*) FROM (SELECT key FROM stored UNION ALL SELECT key FROM dead) x WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.key = x.key)),
	'overlap', (SELECT count(*) FROM (SELECT key FROM (SELECT key, part FROM stored UNION ALL SELECT key, part FROM dead) y GROUP BY key HAVING count(*) > 1) x));
END
	return decode_json($text);
}

# The balance of a sender that has ended: one test with the figures in its name.
sub balance_ok
{
	my ($self, $what, $sender, $report, $table) = @_;
	my $sums = $self->balance($sender->{ledger}, [$table], ['sluice.dead_letters']);
	my $good =
	     $sums->{lost} == 0
	  && $sums->{doubled} == 0
	  && $sums->{both} == 0
	  && $sums->{unanswered} == 0
	  && $report->{unacknowledged} == 0
	  && $report->{contradicted} == 0
	  && $report->{unknown} == 0
	  && $sums->{answers} == $report->{records}
	  && $sums->{rows} == $report->{acknowledged}
	  && $sums->{dead} == $report->{rejected};
	ok($good, "$what: $report->{records} records, $sums->{rows} rows, $sums->{dead} dead letters, "
		  . "0 lost, 0 doubled, in $report->{calls} calls with $report->{requests} requests")
	  or diag(encode_json($sums), ' ', encode_json($report));
	return $good;
}

1;
