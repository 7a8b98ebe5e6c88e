# TLS on the gRPC port: who is served how, certificates that are replaced while calls
# come, bad ones that are refused, and what of all this can be seen.
#
# suites: beside others
use strict;
use warnings;

use Authority;
use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Sluice qw(slurp_lines wait_until);
use Test::More;

my $files     = PostgreSQL::Test::Utils::tempdir_short();
my $authority = Authority->new('servers');
my $clients   = Authority->new('clients');
my $sluice    = Sluice->new('main', conf => "sluice.listen_addresses = '127.0.0.1, 127.0.0.2, unix:$files/s'");
my $port      = $sluice->port;
my $log       = $sluice->log_offset;
$sluice->create_readings('readings');

my $rounds = ($ENV{SLUICE_ROUNDS} // 2) > 2 ? 24 : 8;	# of certificates replaced under load

my @trust = ('--ca', $authority->certificate);
my $reading = { key => 'k', reading => { device_id => 'd' } };

# One record in one call; how the call ended.
sub call_ends
{
	my ($address, @arguments) = @_;
	return $sluice->exact([ { %$reading, key => "k$address" } ], '--address', $address, '--timeout', 20, @arguments)->{code};
}

# The client tries again until its time is over.
sub is_refused { return call_ends(@_, '--timeout', 2) ne 'OK' }

# Settings, a reload, and a worker that has it: where its network must start anew, another one.
sub reconfigure
{
	my ($conf, %params) = @_;
	my ($before) = $sluice->workers;
	$sluice->node->append_conf('postgresql.conf', "$conf\n");
	$sluice->node->reload;
	return if $params{in_place};
	wait_until('there is a new worker', sub { my ($now) = $sluice->workers; defined $now && $now != $before }) or die;
	$sluice->wait_sql('SELECT state FROM sluice.stat_workers', 'serving') or die;
}

sub logged
{
	my ($pattern, $offset) = @_;
	return wait_until("the log has $pattern", sub { $sluice->log_since($offset // $log) =~ $pattern });
}

# What the port agrees on with "openssl s_client": version and cipher, or "refused".
sub agreed
{
	my (@arguments) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'openssl', 's_client', '-connect', "127.0.0.1:$port", '-alpn', 'h2', @arguments ], '<', \'', '>', \$out, '2>', \$err);
	return $out =~ /^New, (\S+), Cipher is (?!\(NONE\))(\S+)$/m ? "$1 $2" : 'refused';
}

# The serial number of the certificate that clients get.
sub served
{
	my ($out, $err, $serial) = ('', '', '');
	IPC::Run::run([ 'openssl', 's_client', '-connect', "127.0.0.1:$port" ], '<', \'', '>', \$out, '2>', \$err);
	IPC::Run::run([ 'openssl', 'x509', '-noout', '-serial' ], '<', \$out, '>', \$serial);
	return $serial =~ s/^serial=|\n//gr;
}

sub shown { return $sluice->sql("SELECT $_[0] FROM sluice.stat_tls") }

subtest 'without TLS' => sub {
	is(call_ends("127.0.0.1:$port"), 'OK', 'loopback is served');
	is(call_ends("127.0.0.2:$port"), 'OK', 'all of 127.0.0.0/8 is');
	is(call_ends("unix:$files/s"),   'OK', 'a unix socket is');
	ok(is_refused("127.0.0.1:$port", @trust), 'a client that wants TLS is not');
	is(shown(q{concat_ws('|', worker, enabled, subject, not_after, failure)}), '1|f', 'sluice.stat_tls says that there is none');

	my $offset = $sluice->log_offset;
	reconfigure("sluice.listen_addresses = '127.0.0.1, 0.0.0.0, ::, example.org'");
	ok(logged(qr/WARNING:  not listening on "$_" without TLS: set up sluice.ssl, or let clients use the network unencrypted with sluice.allow_plaintext_from_network/, $offset),
		"$_ is not listened on")
	  foreach '0.0.0.0', '::', 'example.org';
	is(call_ends("127.0.0.1:$port"), 'OK', 'loopback is served beside it');
	ok(is_refused("127.0.0.2:$port"), 'nothing else is');

	reconfigure("sluice.listen_addresses = '0.0.0.0'", in_place => 1);
	ok(logged(qr/FATAL:  could not serve gRPC: not listening on "0.0.0.0" without TLS/, $offset), 'with no other address there is no worker');
	$sluice->node->append_conf('postgresql.conf', "sluice.allow_plaintext_from_network = on\n");
	$sluice->node->reload;
	$sluice->wait_sql('SELECT state FROM sluice.stat_workers', 'serving');
	is(call_ends("127.0.0.2:$port"), 'OK', 'the setting allows it');
	reconfigure("sluice.listen_addresses = '127.0.0.1, 127.0.0.2, unix:$files/s'\nsluice.allow_plaintext_from_network = off");
};

subtest 'with TLS' => sub {
	my $serial = $authority->issue("$files/server", subject => '/O=us, them/CN=127.0.0.1', days => 90);
	reconfigure("sluice.ssl = on\nsluice.ssl_cert_file = '$files/server.crt'\nsluice.ssl_key_file = '$files/server.key'");

	is(call_ends("127.0.0.1:$port", @trust), 'OK', 'a client that knows the authority is served');
	is(call_ends("127.0.0.2:$port", @trust), 'OK', 'on every TCP address');
	ok(is_refused("127.0.0.1:$port"), 'plaintext is not served');
	ok(is_refused("127.0.0.1:$port", '--ca', $clients->certificate), 'a client that knows another authority does not go on');
	is(call_ends("unix:$files/s"), 'OK', 'a unix socket stays plain');
	my $offset = $sluice->log_offset;
	agreed('-tls1_1', '-cipher', 'ALL:@SECLEVEL=0') foreach 1 .. 30;
	ok(logged(qr/LOG:  gRPC: Handshake failed .*unsupported protocol/, $offset), 'handshakes that fail are in the log');
	cmp_ok(scalar(() = $sluice->log_since($offset) =~ /Handshake failed/g), '<', 15, '... not each of them');
	agreed('-tls1_1', '-cipher', 'ALL:@SECLEVEL=0');
	ok(wait_until('the next is told of', sub { agreed('-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'); $sluice->log_since($offset) =~ /\(and \d+ failed handshakes before it\)/ }),
		'... but how many');
	ok(logged(qr/sluice worker 1 is listening on .*, port $port, with TLS, for database/), 'the log says so');
	is(shown(q{concat_ws('|', enabled, subject, issuer, serial)}),
		"t|CN=127.0.0.1,O=us\\, them|CN=servers,O=pg_sluice tests|$serial", 'sluice.stat_tls shows whose certificate it is');
	is(shown(q{pid = (SELECT pid FROM sluice.stat_workers) AND loaded_at BETWEEN now() - interval '2 minutes' AND now()
		AND not_before <= now() AND not_after - not_before = '90 days' AND failed_at IS NULL AND failure IS NULL}), 't', '... and from when to when');
	unlike($sluice->log_since($log), qr/certificate of the gRPC port expire/, 'it is not about to expire');
};

subtest 'as the server has it' => sub {
	my $server = "ssl = on\nssl_cert_file = '$files/server.crt'\nssl_key_file = '$files/server.key'";
	reconfigure("$server\nsluice.ssl = server\nsluice.ssl_cert_file = ''\nsluice.ssl_key_file = ''", in_place => 1);
	wait_until('the server serves TLS', sub { $sluice->sql('SHOW ssl') eq 'on' });
	is(call_ends("127.0.0.1:$port", @trust), 'OK', 'ssl, ssl_cert_file and ssl_key_file are the defaults');
	reconfigure('ssl = off');
	is(call_ends("127.0.0.1:$port"), 'OK', 'ssl = off turns it off here too');
	reconfigure("$server\nssl_min_protocol_version = 'TLSv1.3'");
	is(agreed('-tls1_2'), 'refused', 'ssl_min_protocol_version is the default');
	like(agreed(), qr/^TLSv1.3 /, '... and what it allows is served');
	reconfigure('sluice.ssl_min_protocol_version = \'TLSv1.2\'');
	like(agreed('-tls1_2'), qr/^TLSv1.2 /, 'the own minimum goes before');
	reconfigure("sluice.ssl_min_protocol_version = 'TLSv1.3'\nssl_min_protocol_version = 'TLSv1.2'");
	is(agreed('-tls1_2'), 'refused', '... in both directions');
	is(call_ends("127.0.0.1:$port", @trust), 'OK', 'calls are served with TLS 1.3 alone');
	reconfigure("sluice.ssl_min_protocol_version = server\nsluice.ssl_ciphers = 'ECDHE-ECDSA-AES256-GCM-SHA384'");
	is(agreed('-tls1_2'), 'TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384', 'sluice.ssl_ciphers rules TLS 1.2');
	is(agreed('-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256'), 'refused', '... a cipher that is not in it is refused');
	is(agreed('-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'), 'refused', 'TLS 1.1 is never served');

	my $offset = $sluice->log_offset;
	reconfigure("sluice.ssl_ciphers = 'NONSENSE'", in_place => 1);
	ok(logged(qr/FATAL:  could not serve gRPC: could not set the ciphers "NONSENSE": no cipher match/, $offset), 'a list without a cipher is an error');
	$sluice->node->append_conf('postgresql.conf', "sluice.ssl_ciphers = ''\nsluice.ssl_cert_file = '$files/server.crt'\nsluice.ssl_key_file = '$files/server.key'\n");
	$sluice->node->reload;
	$sluice->set_credentials(@trust);
	$sluice->wait_serving;
};

# Calls that come all the time, each over a connection of its own.
sub calls_start
{
	my $caller = { out => '', err => '', ledger => "$files/calls" };
	unlink $caller->{ledger};
	my @command = $sluice->client_command('calls', '--ledger', $caller->{ledger}, '--prefix', "calls$$");
	$caller->{run} = IPC::Run::start(\@command, '<', \undef, '>', \$caller->{out}, '2>', \$caller->{err});
	push @{ $sluice->{clients} }, $caller;
	return $caller;
}

sub calls_made { my @lines = slurp_lines($_[0]{ledger}); return scalar @lines }

sub some_more
{
	my ($caller, $count) = @_;
	my $enough = calls_made($caller) + $count;
	wait_until('more calls are made', sub { calls_made($caller) >= $enough }) or die;
}

sub calls_stop
{
	my ($caller) = @_;
	$caller->{run}->signal('TERM');
	return $sluice->send_finish($caller);
}

# One file after the other, each by rename, with calls in between.
sub replace
{
	my ($from, %params) = @_;
	foreach my $suffix ('crt', 'key')
	{
		rename "$from.$suffix", "$files/server.$suffix" or die "rename: $!";
		some_more($params{caller}, 2) if $params{caller};
	}
}

subtest 'certificates replaced under load' => sub {
	my ($worker) = $sluice->workers;
	my $offset = $sluice->log_offset;
	my $caller = calls_start();
	some_more($caller, 5);
	my @serials;
	foreach my $round (1 .. $rounds)
	{
		push @serials, $authority->issue("$files/next", subject => '/CN=127.0.0.1');
		replace("$files/next", caller => $caller);
		# Half of them are asked for, and the rest is noticed.
		$sluice->node->reload if $round % 2;
		ok($sluice->wait_sql('SELECT serial FROM sluice.stat_tls', $serials[-1]), "certificate $serials[-1] is taken in");
		some_more($caller, 3);
	}
	my $report = calls_stop($caller);
	cmp_ok($report->{calls}, '>', $rounds * 5, "$report->{calls} calls, each with a handshake");
	is($report->{failed}, 0, 'none failed') or diag("@{$report->{failures}}");
	is(join(' ', $sluice->workers), $worker, 'the worker is the same');
	like($sluice->log_since($offset), qr/LOG:  the gRPC port has taken in new certificate files: subject "CN=127.0.0.1", serial number $serials[-1]\n/, 'the log says so');
	is(served(), $serials[-1], 'clients get the last one');
};

# gRPC never accepts again once it has run out of file descriptors: another listener takes over.
subtest 'a listener that is replaced' => sub {
	my $offset = $sluice->log_offset;
	my ($worker) = $sluice->workers;
	my ($before) = map { /^Max open files\s+(\d+)/ } slurp_lines("/proc/$worker/limits");
	my $count = () = glob "/proc/$worker/fd/*";
	my @silent;

	system('prlimit', "--pid=$worker", "--nofile=$count:") == 0 or die;
	ok( wait_until(
			'the worker has no descriptor left',
			sub {
				push @silent, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
				return $sluice->log_since($offset) =~ /out of file descriptors: new connections wait/;
			}), 'the worker has no descriptor left');
	system('prlimit', "--pid=$worker", "--nofile=$before:") == 0 or die;
	ok(logged(qr/listening again after the process had run out of file descriptors/, $offset), 'it listens again');
	close $_ foreach grep { defined } @silent;
	is(call_ends("127.0.0.1:$port", @trust), 'OK', 'with the same certificate');
	is(call_ends("127.0.0.2:$port", @trust), 'OK', 'on all addresses');
	my $serial = $authority->issue("$files/next");
	replace("$files/next");
	ok($sluice->wait_sql('SELECT serial FROM sluice.stat_tls', $serial), 'another certificate is taken in');
	is(served(), $serial, '... and shown');
};

subtest 'bad replacements' => sub {
	my $serial = shown('serial');
	my $caller = calls_start();
	my $good   = "$files/good";
	my $keep   = sub { system('cp', '-p', "$files/server.$_", "$good.$_") == 0 or die foreach 'crt', 'key' };
	my $back   = sub { system('cp', '-p', "$good.$_", "$files/back.$_") == 0 or die foreach 'crt', 'key'; replace("$files/back") };
	my $write  = sub { my ($suffix, $text) = @_; unlink "$files/server.$suffix"; append_to_file("$files/server.$suffix", $text); chmod 0600, "$files/server.$suffix" };
	my $start  = slurp_file("$files/server.crt");
	$authority->issue("$files/other");
	$authority->issue("$files/locked", passphrase => 'secret');
	my @bad = (
		[ 'garbage for a certificate', sub { $write->('crt', "garbage\n") }, qr/could not use certificate file "$files\/server.crt": it holds no certificate/ ],
		[ 'half of a certificate', sub { $write->('crt', substr $start, 0, 300) }, qr/could not use certificate file "$files\/server.crt": bad end line/ ],
		[ 'garbage for a key', sub { $write->('key', "garbage\n") }, qr/could not use private key file "$files\/server.key": it holds no private key that can be read/ ],
		[ 'another key', sub { $write->('key', slurp_file("$files/other.key")) }, qr/could not use private key file "$files\/server.key": it does not match the certificate/ ],
		[ 'a key with a passphrase', sub { $write->('key', slurp_file("$files/locked.key")) },
			qr/could not use private key file "$files\/server.key": it is protected by a passphrase, which the gRPC port does not support/ ],
		[ 'no certificate', sub { unlink "$files/server.crt" }, qr/could not read certificate file "$files\/server.crt": No such file or directory/ ],
		[ 'no key', sub { unlink "$files/server.key" }, qr/could not read private key file "$files\/server.key": No such file or directory/ ],
		[ 'a file without an end', sub { $write->('crt', 'x' x (1024 * 1024)) }, qr/certificate file "$files\/server.crt" is too large/ ],
		[ 'a key that others may read', sub { chmod 0644, "$files/server.key" },
			qr/private key file "$files\/server.key" must belong to the database user or root and be closed to others/ ]);

	some_more($caller, 3);
	foreach my $case (@bad)
	{
		my ($what, $do, $message) = @$case;
		my $offset = $sluice->log_offset;
		$keep->();
		$do->();
		ok(logged(qr/WARNING:  the gRPC port keeps its certificate: $message/, $offset), "$what: refused, with the reason in the log");
		like(shown('failure'), $message, '... and in sluice.stat_tls');
		is(shown(q{serial || ' ' || (failed_at > loaded_at)}), "$serial true", '... with the old one');
		some_more($caller, 3);
		$back->();
		$sluice->node->reload;
		ok(logged(qr/the gRPC port has taken in new certificate files/, $offset), '... and a good one is taken in again');
		is(() = $sluice->log_since($offset) =~ /the gRPC port keeps its certificate/g, 1, '... it was said once');
	}
	my $offset = $sluice->log_offset;
	$keep->();
	$write->('crt', "garbage\n");
	ok(logged(qr/keeps its certificate/, $offset), 'a bad one');
	$offset = $sluice->log_offset;
	$sluice->node->reload;
	ok(logged(qr/keeps its certificate/, $offset), 'a reload says again what is wrong');
	my ($worker) = $sluice->workers;
	my $report = calls_stop($caller);
	is($report->{failed}, 0, "none of $report->{calls} calls failed") or diag("@{$report->{failures}}");

	$offset = $sluice->log_offset;
	$sluice->sql("SELECT pg_terminate_backend($worker)");
	ok(logged(qr/FATAL:  could not serve gRPC: could not use certificate file "$files\/server.crt": it holds no certificate\n.*HINT:  Check the settings sluice.ssl_cert_file/, $offset),
		'no worker starts with it');
	$back->();
	$sluice->wait_serving;
	pass('one does when it is mended');
};

subtest 'expiry' => sub {
	my $offset = $sluice->log_offset;
	$authority->issue("$files/next", days => 3);
	replace("$files/next");
	ok(logged(qr/WARNING:  the certificate of the gRPC port expires at 20\d\d-/, $offset), 'a certificate that expires within two weeks is told of');
	is(shown(q{not_after BETWEEN now() + interval '2 days' AND now() + interval '3 days'}), 't', '... and shown');
	$authority->issue("$files/next", days => -1);
	replace("$files/next");
	ok(logged(qr/WARNING:  the certificate of the gRPC port expired at 20\d\d-/, $offset), 'one that has expired is told of');
	is(shown('not_after < now()'), 't', '... and shown');
	is(() = $sluice->log_since($offset) =~ /the certificate of the gRPC port expire/g, 2, 'each once');
	$authority->issue("$files/next");
	replace("$files/next");
	ok($sluice->wait_sql("SELECT not_after > now() + interval '80 days' FROM sluice.stat_tls", 't'), 'a good one again');
};

subtest 'client certificates' => sub {
	my $others = Authority->new('others');
	my %own;
	foreach my $from ($clients, $others)
	{
		my $name = $from == $clients ? 'clients' : 'others';
		$from->issue("$files/$name", subject => "/CN=$name");
		$own{$name} = [ @trust, '--cert', "$files/$name.crt", '--key', "$files/$name.key" ];
	}
	is(call_ends("127.0.0.1:$port", @{ $own{others} }), 'OK', 'without a CA file nobody is asked for one');
	system('cp', $clients->certificate, "$files/ca.crt") == 0 or die;
	reconfigure("sluice.ssl_ca_file = '$files/ca.crt'");
	my ($worker) = $sluice->workers;
	is(call_ends("127.0.0.1:$port", @{ $own{clients} }), 'OK', 'a certificate of the CA file is taken');
	is(call_ends("127.0.0.1:$port", @trust), 'OK', 'so is a client without one');
	ok(is_refused("127.0.0.1:$port", @{ $own{others} }), 'one of another authority is refused');

	my $offset = $sluice->log_offset;
	append_to_file("$files/ca.crt", "-----BEGIN CERTIFICATE-----\n");
	ok(logged(qr/keeps its certificate: could not use certificate authority file "$files\/ca.crt": /, $offset), 'a CA file that is cut off is refused');
	unlink "$files/ca.crt";
	ok(logged(qr/keeps its certificate: could not read certificate authority file "$files\/ca.crt": No such file or directory/, $offset), 'so is none');
	append_to_file("$files/ca.crt", "nobody\n");
	ok(logged(qr/keeps its certificate: could not use certificate authority file "$files\/ca.crt": it holds no certificate/, $offset), 'and one without a certificate');
	is(call_ends("127.0.0.1:$port", @{ $own{clients} }), 'OK', 'the old one stays');

	system('cp', $others->certificate, "$files/next.crt") == 0 or die;
	rename "$files/next.crt", "$files/ca.crt" or die;
	ok(logged(qr/the gRPC port has taken in new certificate files/, $offset), 'another authority is taken in');
	is(call_ends("127.0.0.1:$port", @{ $own{others} }), 'OK', 'its clients are served');
	ok(is_refused("127.0.0.1:$port", @{ $own{clients} }), 'those of the old one are not');
	is(join(' ', $sluice->workers), $worker, 'by the same worker');
};

subtest 'privileges' => sub {
	$sluice->sql('CREATE ROLE nobody');
	foreach my $from ('sluice.stat_tls', 'sluice.stat_tls()')
	{
		my (undef, undef, $err) = $sluice->try_sql("SET ROLE nobody; SELECT * FROM $from");
		like($err, qr/permission denied/, "$from is not PUBLIC's");
	}
};

done_testing();
