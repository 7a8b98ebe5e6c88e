# Writers of a stream whose table was made by sluice.create_stream(payload_format => 'json').
#
#	my $writers = Writers->new($sluice, 'flow', seed => $seed, clients => 4, rate => 100);
#	$writers->start;  $writers->stop;
#
# Sessions of plain SQL (pgbench) whose transactions end some time after they inserted, in
# every way: COMMIT, ROLLBACK, savepoints, COPY, prepared transactions, commits that do not wait for the
# disk.  Beside them "sluice send".  If the server goes away they begin again.
package Writers;

use strict;
use warnings;

use POSIX qw(setpgid);
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until);
use Test::More;
use Time::HiRes qw(sleep);

my @everybody;

# Each row differs from all others: by a random number and its place in the statement.
my $rows = q{INSERT INTO :stream (received_at, payload) SELECT now(), jsonb_build_object('n', (:r)::bigint * 100 + i) FROM generate_series(1, :k) i;};
my $dice = "\\set r random(1, 1000000000000)\n\\set k random(1, 8)\n\\set us random(0, 25000)\n";

# Weight and text of each kind of transaction.
my %scripts = (
	commit    => [ 5, "BEGIN;\n$rows\n\\sleep :us us\nCOMMIT;" ],
	at_once   => [ 3, $rows ],
	rollback  => [ 2, "BEGIN;\n$rows\n\\sleep :us us\nROLLBACK;" ],
	savepoint => [ 2, "BEGIN;\n$rows\nSAVEPOINT a;\n$rows\n\\sleep :us us\nROLLBACK TO a;\n\\sleep :us us\nCOMMIT;" ],
	released  => [ 2, "BEGIN;\nSAVEPOINT a;\n$rows\nRELEASE a;\n\\sleep :us us\nCOMMIT;" ],
	undone    => [ 1, "BEGIN;\nSAVEPOINT a;\n$rows\nROLLBACK TO a;\n\\sleep :us us\nCOMMIT;" ],
	copy      => [ 2, "BEGIN;\nCOPY :stream (received_at, payload) FROM ':copy';\n\\sleep :us us\nCOMMIT;" ],
	async     => [ 2, "BEGIN;\nSET LOCAL synchronous_commit = off;\n$rows\nCOMMIT;" ],
	prepared  => [ 2, "\\set yes random(0, 2)\nBEGIN;\n$rows\nPREPARE TRANSACTION 'p:client_id';\n\\sleep :us us\n"
		  . "\\if :yes\nCOMMIT PREPARED 'p:client_id';\n\\else\nROLLBACK PREPARED 'p:client_id';\n\\endif" ]);

# seconds: then the sessions end by themselves.  senders: of "sluice send", to address.
sub new
{
	my ($class, $sluice, $stream, %params) = @_;
	my $self = bless {
		sluice  => $sluice,
		stream  => $stream,
		seed    => $params{seed},
		clients => $params{clients},
		seconds => $params{seconds} // 0,
		rate    => $params{rate},
		senders => $params{senders} // 0,
		address => $params{address} // $sluice->address,
		home    => "$PostgreSQL::Test::Utils::tmp_check/writers",
		pids    => []
	}, $class;

	mkdir $self->{home};
	append_to_file("$self->{home}/rows", join '', map { qq(2020-01-01\t{"n": "copied $_"}\n) } 1 .. 5);
	foreach my $name (keys %scripts)
	{
		(my $text = "$dice$scripts{$name}[1]\n") =~ s/:stream/$stream/g;
		$text =~ s/:copy/$self->{home}\/rows/;
		append_to_file("$self->{home}/$name.sql", $text);
	}
	push @everybody, $self;
	return $self;
}

# A process group of its own.
sub run
{
	my ($self, $log, $program) = @_;
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0)
	{
		setpgid(0, 0);
		open STDIN,  '<',  '/dev/null'            or die;
		open STDOUT, '>>', "$self->{home}/$log" or die;
		open STDERR, '>&', \*STDOUT               or die;
		exec 'bash', '-c', $program or POSIX::_exit(127);
	}
	return $pid;
}

sub start
{
	my ($self) = @_;
	my $node = $self->{sluice}->node;
	my $files = join ' ', map { "-f $self->{home}/$_.sql\@$scripts{$_}[0]" } sort keys %scripts;
	my $connection = sprintf '-h %s -p %s', $node->host, $node->port;
	my $time = $self->{seconds} || 100_000;

	# Prepared transactions survive a server that was killed, and would hold back all rows behind them: nobody
	# writes before they are ended, which cannot be while the server is still starting.
	push @{ $self->{pids} }, $self->run('sessions', <<"END");
export PGAPPNAME=writers
seed=$self->{seed}
while ! [ -e $self->{home}/end ]; do
	echo "SELECT format('%s PREPARED %L', CASE WHEN ascii(right(gid, 1)) % 2 = 0 THEN 'COMMIT' ELSE 'ROLLBACK' END, gid) FROM pg_prepared_xacts \\gexec" |
		psql -X -q $connection -d postgres || { sleep 0.1; continue; }
	pgbench -n -c $self->{clients} -T $time --rate $self->{rate} --random-seed=\$seed $connection $files postgres
	[ $self->{seconds} -gt 0 ] && exit
	seed=\$((seed + 1))
	sleep 0.1
done
END
	foreach my $number (1 .. $self->{senders})
	{
		my $generator = "my \$n = 0; select undef, undef, undef, 0.04 while print(qq({\"n\": \"sent by $number, \@{[++\$n]}\"}\\n)) && !-e '$self->{home}/end'";
		push @{ $self->{pids} }, $self->run("send$number",
			"perl -e '\$| = 1; @{[ $generator =~ s/'/'\\''/gr ]}' | $ENV{SLUICE_TOOL} send --stream $self->{stream} --server $self->{address}"
			  . " --once --timeout 0 --set backoff_first='30 ms' --set backoff_last='500 ms' --set keepalive_time='2500 ms' --set keepalive_timeout='700 ms'"
			  . " --set connect_timeout='2 s'");
	}
}

# The sessions at the end of their time, or now; the senders with all they have.
sub stop
{
	my ($self) = @_;
	my ($sessions, @senders) = @{ $self->{pids} };

	if ($self->{seconds})
	{
		wait_until('the sessions have ended', sub { waitpid($sessions, POSIX::WNOHANG()) == $sessions }, $self->{seconds} + 60)
		  or die "the sessions do not end\n";
	}
	append_to_file("$self->{home}/end", '');
	if (!$self->{seconds})
	{
		kill 'TERM', -$sessions;
		waitpid $sessions, 0;
	}
	foreach my $sender (@senders)
	{
		my $status;
		wait_until('a sender has ended', sub { my $gone = waitpid $sender, POSIX::WNOHANG(); $status = $? if $gone == $sender; defined $status }, 60);
		is($status, 0, 'all that was sent over the network is acknowledged');
	}
	$self->{pids} = [];
	my $sql = "SELECT format('COMMIT PREPARED %L', gid) FROM pg_prepared_xacts \\gexec";
	$self->{sluice}->sql($sql);
	# What was killed may still be ending.
	$self->{sluice}->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'writers'", '0');
	$self->{sluice}->sql($sql);
}

sub log_text { return slurp_file("$_[0]{home}/sessions") }

END
{
	my $status = $?;
	kill 'KILL', map { -$_ } map { @{ $_->{pids} } } @everybody;
	$? = $status;
}

1;
