# What the README tells a new user to type works as it stands there.
#
# suites: beside others
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Sluice;
use Test::More;

my $sluice = Sluice->new('main', extension => 0);
my $readme = slurp_file(Sluice::regress_directory() . '/../README.md');
my %blocks;

push @{ $blocks{$1} }, $2 while $readme =~ /^```(\w+)\n(.*?)^```$/msg;
is(scalar @{ $blocks{sql} }, 4, 'four blocks of SQL');
is(scalar @{ $blocks{python} }, 1, 'one of Python');

is(($sluice->try_sql($blocks{sql}[0]))[0], 0, 'the first stream');
my ($status, $out, $err) = $sluice->try_sql($blocks{sql}[1]);
is($status, 0, 'sluice.ingest') or diag($err);
like($out, qr/^stored\nduplicate$/m, '... says what the comments say');

$sluice->wait_serving;
my $directory = "$PostgreSQL::Test::Utils::tmp_check/python";
mkdir $directory;
my @protoc = ('protoc', '-I', Sluice::regress_directory() . '/../proto', "--python_out=$directory", 'ingestion.proto', 'sluice.proto');
is(system(@protoc), 0, 'protoc');
run_python('client', $blocks{python}[0]);
is($sluice->sql('SELECT count(*) FROM readings'), 1000, 'its records are there');

(my $line) = $readme =~ /^(sluice send .*?)\s+#/m;
append_to_file("$directory/events.ndjson", qq({"id": "a", "what": "one"}\n{"id": "b", "what": "two"}\n));
my @words = split ' ', $line;
my $file = pop @words;
($status, $out, $err) = $sluice->tool('', @words[ 1 .. $#words ], '--server', $sluice->address, "$directory/$file");
is($status, 0, $line) or diag($err);
is($sluice->sql('SELECT count(*) FROM events'), 3, 'its records are there');

($line) = $readme =~ /^(sluice subscribe .*?)\s+#/m;
@words = split ' ', $line;
($status, $out, $err) = $sluice->tool('', @words[ 1 .. $#words ], '--server', $sluice->address, '--until-caught-up', '--quiet');
is($status, 0, $line) or diag($err);
is(() = $out =~ /^\{"id":\d,.*\}$/mg, 3, '... gives them out');
my ($consumer) = slurp_file(Sluice::regress_directory() . '/../docs/subscriptions.md') =~ /^```python\n(.*?)^```$/ms;
is(() = run_python('consumer', $consumer) =~ /^\d \{"id": ?\d,.*\}$/mg, 3, '... so does the consumer in Python of docs/subscriptions.md');
is($sluice->sql("SELECT position = (SELECT max(id) FROM events) FROM sluice.subscriptions WHERE name = 'printer'"), 't', '... and they are acknowledged');

is($sluice->exact([ { key => 'cold', reading => { device_id => 'x', temperature_celsius => -300 } } ])->{responses}[0][1],
	'REJECTED_DLQ', 'a refused record');
($status, $out, $err) = $sluice->try_sql($blocks{sql}[2]);
is($status, 0, 'a role for devices') or diag($err);
$sluice->sql('GRANT INSERT ON events TO device');
($status, $out, $err) = $sluice->tool(qq({"id": "c", "what": "three"}\n), 'send', '--stream', 'events', '--key', 'id', '--server', 'sluice://device@' . $sluice->address, '-');
is($status, 0, '... it sends') or diag($err);
($status, $out, $err) = $sluice->try_sql($blocks{sql}[3]);
is($status, 0, 'dead letters') or diag($err);
like($out, qr/^\d+\|readings\|cold\|23514\|/, '... are shown with the reason');

# Every setting is in the table.
my %told = map { $_ => 1 } map { /`(sluice\.\w+)`/g } grep { /^\| `sluice\./ } split /\n/, $readme;
my @missing = grep { !$told{$_} } split /\n/, $sluice->sql("SELECT name FROM pg_settings WHERE name LIKE 'sluice.%' ORDER BY 1");
is("@missing", '', 'each setting is in the README');
my @views = split /\n/, $sluice->sql("SELECT viewname FROM pg_views WHERE schemaname = 'sluice'");
is(join(' ', grep { $readme !~ /`sluice\.$_`/ } @views), '', 'each view too');
done_testing();

# A program of the documents, against this server; what it prints.
sub run_python
{
	my ($name, $program) = @_;
	$program =~ s/localhost:50051/$sluice->address/e;
	append_to_file("$directory/$name.py", $program);
	my $ended = IPC::Run::run([ $ENV{SLUICE_PYTHON}, "$directory/$name.py" ], '>', \$out, '2>', \$err, IPC::Run::timeout(60));
	ok($ended, "the $name in Python ends") or diag($err);
	return $out;
}
