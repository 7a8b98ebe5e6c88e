# Who gets in on the gRPC port is who gets in on the server's own: the same rules of
# pg_hba.conf, credentials, certificates, attributes of the role and privileges, tried
# side by side by psql and by a gRPC client, have the same outcome.
#
# suites: beside others
use strict;
use warnings;

use Authority;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until);
use Test::More;
use utf8;
use Visitor;

my $files     = PostgreSQL::Test::Utils::tempdir_short();
my $authority = Authority->new('servers');
my $clients   = Authority->new('clients');
my $strangers = Authority->new('strangers');

$authority->issue("$files/server", subject => '/CN=localhost');
$clients->issue("$files/$_", subject => "/O=us/CN=$_") foreach 'of_cert', 'anna@dev', 'other';

my $sluice = Sluice->new('main', start => 0, conf => <<"END");
listen_addresses = '127.0.0.1, ::1'
ssl = on
ssl_cert_file = '$files/server.crt'
ssl_key_file = '$files/server.key'
ssl_ca_file = '@{[$clients->certificate]}'
sluice.listen_addresses = '127.0.0.1, ::1, unix:$files/s'
max_connections = 60
END
my $node = $sluice->node;
my $port = $sluice->port;

# One file for all attempts: each role has its own line.
open my $hba, '>', $node->data_dir . '/pg_hba.conf' or die;
print $hba <<'END';
local   all         postgres     trust
host    all         postgres     127.0.0.1/32 trust
host    all         of_trust     127.0.0.1/32 trust
local   all         of_trust     trust
host    all         of_reject    all reject
local   all         of_reject    reject
host    all         of_scram     all scram-sha-256
local   all         of_scram     scram-sha-256
host    all         of_md5       all md5
host    all         of_md5_scram all md5
host    all         of_scram_md5 all scram-sha-256
host    all         of_password  all password
host    all         no_password,expired,not_there all scram-sha-256
host    all         no_login,no_connect,no_insert,some_columns,no_schema,no_sequence,not_there_trusted all trust
host    all         one,no_calls all trust
hostssl all         only_ssl     all trust
hostnossl all       only_plain   all trust
host    all         only_v6      ::1/128 trust
host    all         far_away     10.0.0.0/8 trust
host    all         +staff       all trust
host    elsewhere   of_elsewhere all trust
host    replication of_elsewhere all trust
host    sameuser    of_elsewhere all trust
host    samerole    of_elsewhere all trust
host    "all"       of_quoted    all trust
host    all         "Odd, name"  all scram-sha-256
host    all         of_ldap      all ldap ldapserver=localhost ldapprefix="cn="
host    all         of_ident     all ident
local   all         of_peer      peer
hostssl all         of_cert      all cert
hostssl all         anna,bert    all cert map=devs
hostssl all         carl         all cert map=broken
hostssl all         certified    all scram-sha-256 clientcert=verify-ca
hostssl all         other,of_full all trust clientcert=verify-full
host    all         same_host    samehost trust
host    all         same_net     samenet trust
host    all         by_name      localhost trust
host    all         by_other     elsewhere.invalid trust
host    all         first_wins   127.0.0.1/32 reject
host    all         first_wins   all trust
END
close $hba;
open my $ident, '>', $node->data_dir . '/pg_ident.conf' or die;
print $ident "devs /^(.*)\@dev\$ \\1\ndevs of_cert bert\nbroken /^of \\1\nbroken of_cert carl\n";
close $ident;

$sluice->start;
$sluice->sql('CREATE EXTENSION pg_sluice');
$sluice->wait_sql('SELECT state FROM sluice.stat_workers', 'serving') or die;
$sluice->sql(<<'END');
CREATE SCHEMA closed;
CREATE TABLE things (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a integer, b integer);
CREATE TABLE closed.things (a integer);
CREATE TABLE numbered (id serial, a integer);
SELECT sluice.create_stream('things', 'things', offset_column => 'id'), sluice.create_stream('closed', 'closed.things'), sluice.create_stream('numbered', 'numbered');
CREATE ROLE staff;
SET password_encryption = 'scram-sha-256';
CREATE ROLE of_scram LOGIN PASSWORD 'secret';
CREATE ROLE of_md5_scram LOGIN PASSWORD 'secret';
CREATE ROLE of_password LOGIN PASSWORD 'secret';
CREATE ROLE certified LOGIN PASSWORD 'secret';
CREATE ROLE expired LOGIN PASSWORD 'secret' VALID UNTIL '2020-01-01';
CREATE ROLE "Odd, name" LOGIN PASSWORD 'ge:heim–ⅷ';
SET password_encryption = 'md5';
CREATE ROLE of_md5 LOGIN PASSWORD 'secret';
CREATE ROLE of_scram_md5 LOGIN PASSWORD 'secret';
CREATE ROLE no_password LOGIN;
CREATE ROLE no_login NOLOGIN;
CREATE ROLE no_calls LOGIN CONNECTION LIMIT 0;
CREATE ROLE one LOGIN CONNECTION LIMIT 1;
CREATE ROLE member LOGIN IN ROLE staff;
CREATE ROLE no_connect LOGIN;
CREATE ROLE no_insert LOGIN;
CREATE ROLE some_columns LOGIN;
DO $$ DECLARE r text; BEGIN
	FOREACH r IN ARRAY ARRAY['of_trust', 'of_reject', 'only_ssl', 'only_plain', 'only_v6', 'far_away', 'of_elsewhere', 'of_quoted', 'of_ldap',
		'of_ident', 'of_peer', 'of_cert', 'anna', 'bert', 'carl', 'other', 'of_full', 'same_host', 'same_net', 'by_name', 'by_other', 'first_wins', 'no_schema',
		'no_sequence', 'unlisted'] LOOP
		EXECUTE format('CREATE ROLE %I LOGIN', r);
	END LOOP;
	REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
	FOR r IN SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_|^sluice_|^postgres$' AND rolname <> 'no_connect' LOOP
		EXECUTE format('GRANT CONNECT ON DATABASE postgres TO %I', r);
		IF r NOT IN ('no_insert', 'some_columns') THEN
			EXECUTE format('GRANT SELECT, INSERT ON things, closed.things, numbered TO %I', r);
		END IF;
	END LOOP;
	GRANT INSERT (a) ON things TO some_columns;
	GRANT SELECT (id, a) ON things TO some_columns;
END $$;
END

# psql's word, as the status that a gRPC client would get.
sub psql_verdict
{
	my ($visit, $query) = @_;
	my %options = (host => '127.0.0.1', port => $node->port, dbname => 'postgres', user => $visit->{user}, %{ $visit->{psql} });
	my ($out, $err) = ('', '');
	local $ENV{PGPASSWORD} = $visit->{password} // '';
	delete $ENV{PGPASSWORD} unless defined $visit->{password};
	my $conninfo = join ' ', map { "$_='$options{$_}'" } sort keys %options;

	IPC::Run::run([ 'psql', '-XAtqw', '-v', 'ON_ERROR_STOP=1', '-d', $conninfo, '-c', $query ], '<', \undef, '>', \$out, '2>', \$err);
	return 'in' if $? == 0;
	return $err =~ /too many connections/ ? 'RESOURCE_EXHAUSTED' : $err =~ /permission denied/ ? 'PERMISSION_DENIED' : 'UNAUTHENTICATED';
}

my @attempts;

# What psql and the gRPC client do of the same kind.
sub attempt
{
	my ($name, $user, %with) = @_;
	my %psql = (sslmode => $with{tls} ? 'require' : 'disable');
	my %visit = (user => $user, stream => $with{stream} // 'things', record => $with{record} // { a => 1 });

	$visit{password} = $with{password} if exists $with{password};
	if ($with{unix})
	{
		%psql = (host => $node->host);
		$visit{target} = "unix:$files/s";
	}
	elsif ($with{v6})
	{
		$psql{host} = '::1';
		$visit{target} = "[::1]:$port";
	}
	else
	{
		$visit{target} = "127.0.0.1:$port";
	}
	$visit{ca} = $authority->certificate if $with{tls};
	if ($with{certificate})
	{
		@visit{qw(cert key)} = ("$with{certificate}.crt", "$with{certificate}.key");
		@psql{qw(sslcert sslkey)} = ("$with{certificate}.crt", "$with{certificate}.key");
	}
	$visit{subscribe} = '' if $with{subscribe};
	my $columns = join ', ', sort keys %{ $visit{record} };
	my $table = { things => 'things', closed => 'closed.things', numbered => 'numbered' }->{ $visit{stream} };
	my $query = $with{subscribe} ? 'SELECT * FROM things LIMIT 1' : "INSERT INTO $table ($columns) VALUES (@{[join ', ', values %{ $visit{record} }]})";
	push @attempts, { name => $name, visit => \%visit, psql => psql_verdict({ %visit, psql => \%psql }, $query) };
}

# All that were noted, by the gRPC client.
sub compare
{
	my $visitor = Visitor->new($sluice);
	my $verdicts = $visitor->step('attempt', visits => [ map { $_->{visit} } @attempts ]);

	is($verdicts->[$_][0], $attempts[$_]{psql}, "$attempts[$_]{name}: $attempts[$_]{psql}") or diag($verdicts->[$_][1]) foreach 0 .. $#attempts;
	my %seen = map { $_->{psql} => 1 } @attempts;
	@attempts = ();
	return (\%seen, $verdicts);
}

# What holds whether the connection is encrypted or not.
sub common_attempts
{
	my ($kind, @tls) = @_;

	attempt("$kind: trust", 'of_trust', @tls);
	attempt("$kind: reject", 'of_reject', @tls, password => 'secret');
	attempt("$kind: $_, right password", $_, @tls, password => 'secret') foreach qw(of_scram of_md5 of_md5_scram of_password);
	attempt("$kind: $_, wrong password", $_, @tls, password => 'Secret') foreach qw(of_scram of_md5 of_md5_scram of_password);
	attempt("$kind: $_, no password", $_, @tls) foreach qw(of_scram of_md5 of_password);
	attempt("$kind: scram, stored as md5", 'of_scram_md5', @tls, password => 'secret');
	attempt("$kind: a role without a password", 'no_password', @tls, password => 'secret');
	attempt("$kind: an expired password", 'expired', @tls, password => 'secret');
	attempt("$kind: a role that is not there, scram", 'not_there', @tls, password => 'secret');
	attempt("$kind: a role that is not there, trust", 'not_there_trusted', @tls);
	attempt("$kind: a role of no line", 'unlisted', @tls);
	attempt("$kind: NOLOGIN", 'no_login', @tls);
	attempt("$kind: without CONNECT", 'no_connect', @tls);
	attempt("$kind: CONNECTION LIMIT 0", 'no_calls', @tls);
	attempt("$kind: hostssl", 'only_ssl', @tls);
	attempt("$kind: hostnossl", 'only_plain', @tls);
	attempt("$kind: an odd name, and a password with a colon and more", 'Odd, name', @tls, password => 'ge:heim–ⅷ');
}

sub restart_with
{
	my ($conf) = @_;
	my ($before) = $sluice->workers;
	$node->append_conf('postgresql.conf', "$conf\n");
	$node->reload;
	wait_until('there is a new worker', sub { my ($now) = $sluice->workers; defined $now && $now != $before }) or die;
	$sluice->wait_sql('SELECT state FROM sluice.stat_workers', 'serving') or die;
}

subtest 'over TLS' => sub {
	my @tls = (tls => 1);

	common_attempts('TLS', @tls);
	attempt('cert, its own name', 'of_cert', @tls, certificate => "$files/of_cert");
	attempt('cert, another name', 'of_cert', @tls, certificate => "$files/other");
	attempt('cert, no certificate', 'of_cert', @tls);
	attempt('cert, a map with a regular expression', 'anna', @tls, certificate => "$files/anna\@dev");
	attempt('cert, a map with a name', 'bert', @tls, certificate => "$files/of_cert");
	attempt('cert, a map without this name', 'bert', @tls, certificate => "$files/other");
	attempt('cert, a map with a line that cannot be applied', 'carl', @tls, certificate => "$files/of_cert");
	attempt('clientcert=verify-ca, any certificate and the password', 'certified', @tls, certificate => "$files/other", password => 'secret');
	attempt('clientcert=verify-ca, a certificate and a wrong password', 'certified', @tls, certificate => "$files/other", password => 'no');
	attempt('clientcert=verify-ca, no certificate', 'certified', @tls, password => 'secret');
	attempt('clientcert=verify-full, its own name', 'other', @tls, certificate => "$files/other");
	attempt('clientcert=verify-full, another name', 'of_full', @tls, certificate => "$files/other");
	my ($seen, $verdicts) = compare();
	is_deeply([ sort keys %$seen ], [qw(PERMISSION_DENIED RESOURCE_EXHAUSTED UNAUTHENTICATED in)], 'all outcomes were seen');
};

restart_with('sluice.ssl = off');

subtest 'not encrypted' => sub {
	common_attempts('plain');
	attempt('unix socket: trust', 'of_trust', unix => 1);
	attempt('unix socket: reject', 'of_reject', unix => 1);
	attempt('unix socket: right password', 'of_scram', unix => 1, password => 'secret');
	attempt('unix socket: wrong password', 'of_scram', unix => 1, password => 'no');
	attempt('unix socket: only host lines', 'of_md5', unix => 1, password => 'secret');
	attempt('unix socket: peer, of another user', 'of_peer', unix => 1);
	attempt('an address of another line', 'only_v6');
	attempt('an IPv6 address', 'only_v6', v6 => 1);
	attempt('IPv4 alone, from IPv6', 'of_trust', v6 => 1);
	attempt('another network', 'far_away');
	attempt('a member of a group', 'member');
	attempt('another database', 'of_elsewhere');
	attempt('a quoted keyword', 'of_quoted');
	attempt('ldap', 'of_ldap', password => 'secret');
	attempt('ident', 'of_ident');
	attempt('samehost', 'same_host');
	attempt('samenet', 'same_net');
	attempt('a host name', 'by_name');
	attempt('another host name', 'by_other');
	attempt('the first line that matches', 'first_wins');
	attempt('INSERT, not granted', 'no_insert');
	attempt('SELECT, not granted', 'no_insert', subscribe => 1);
	attempt('SELECT, granted', 'of_trust', subscribe => 1);
	attempt('a schema that may not be used', 'no_schema', stream => 'closed');
	attempt('a sequence that may not be used', 'no_sequence', stream => 'numbered');
	my ($seen, $verdicts) = compare();
	is_deeply([ sort keys %$seen ], [qw(PERMISSION_DENIED RESOURCE_EXHAUSTED UNAUTHENTICATED in)], 'all outcomes were seen');
};

subtest 'what clients are told' => sub {
	my $visitor = Visitor->new($sluice);
	my %visit = (target => "127.0.0.1:$port", stream => 'things', record => { a => 1 });
	my @told = (
		[ { user => 'of_reject' }, qr/^pg_hba.conf rejects connection for host "127.0.0.1", user "of_reject", database "postgres", no encryption$/ ],
		[ { user => 'unlisted' }, qr/^no pg_hba.conf entry for host "127.0.0.1", user "unlisted", database "postgres", no encryption$/ ],
		[ { user => 'of_reject', target => "unix:$files/s" }, qr/^pg_hba.conf rejects connection for host "\[local\]"/ ],
		[ { user => 'of_scram', password => 'not to be seen' }, qr/^password authentication failed for user "of_scram"$/ ],
		[ { user => 'not_there', password => 'x' }, qr/^password authentication failed for user "not_there"$/ ],
		[ { user => 'of_scram' }, qr/^a role and its password are wanted: send the metadata "authorization: Basic" with base64 of ROLE:PASSWORD$/ ],
		[ { user => 'of_ldap' }, qr/^pg_hba.conf asks for the authentication method "ldap", which gRPC clients cannot use: it takes trust, scram-sha-256, md5, password or cert$/ ],
		[ { user => 'not_there_trusted' }, qr/^role "not_there_trusted" does not exist$/ ],
		[ { user => 'no_login' }, qr/^role "no_login" is not permitted to log in$/ ],
		[ { user => 'no_connect' }, qr/^permission denied for database "postgres": the role needs CONNECT$/ ],
		[ { user => 'no_calls' }, qr/^too many connections for role "no_calls": end some, or raise its CONNECTION LIMIT$/ ],
		[ { user => 'no_insert' }, qr/^permission denied for table things: the role needs INSERT on it$/ ],
		[ { user => 'no_insert', subscribe => '' }, qr/^permission denied for table things: the role needs SELECT on it$/ ],
		[ { user => 'some_columns', record => { a => 1 } }, qr/^permission denied for table things: the role needs INSERT \(b\) on it$/ ],
		[ { user => 'no_schema', stream => 'closed' }, qr/^permission denied for schema closed$/ ],
		[ { user => 'of_scram', password => 'x' x 1025 }, qr/^the password is too long$/ ],
		[ { authorization => 'Bearer xyz' }, qr/^authorization must be Basic$/ ],
		[ { authorization => 'Basic ***' }, qr/^authorization is not base64 of ROLE:PASSWORD$/ ],
		[ { authorization => 'Basic bm9ib2R5' }, qr/^authorization is not base64 of ROLE:PASSWORD$/ ]);
	my $verdicts = $visitor->step('attempt', visits => [ map { { %visit, %{ $_->[0] } } } @told ]);
	like($verdicts->[$_][1], $told[$_][1], $verdicts->[$_][1]) foreach 0 .. $#told;
	ok(wait_until('the log tells the line', sub { $sluice->log_since(0) =~ /gRPC client at 127\.0\.0\.1:\d+ was turned away: password authentication failed for user "of_scram"\n.*It matched line 7 of pg_hba\.conf/ }),
		'the log has the client and the line');
	unlike($sluice->log_since(0), qr/not to be seen/, 'the password is not in the log');
};

subtest 'a connection limit counts calls' => sub {
	my $visitor = Visitor->new($sluice);
	my %as = (user => 'one', stream => 'things');

	$visitor->step('open', call => 'a', %as);
	is_deeply($visitor->step('put', call => 'a', key => 'a', record => { a => 1 }), [ 'in', '' ], 'the first call is in');
	$visitor->step('open', call => 'b', %as);
	is($visitor->step('end', call => 'b')->[0], 'RESOURCE_EXHAUSTED', 'the second one is not');
	$visitor->step('close', call => 'a');
	ok(wait_until('its place is free', sub {
			my $name = 'c' . rand;
			$visitor->step('open', call => $name, %as);
			my $verdict = $visitor->step('put', call => $name, key => $name, record => { a => 1 });
			$visitor->step('close', call => $name) if $verdict->[0] eq 'in';
			return $verdict->[0] eq 'in';
		}), 'when it has ended, another one is');
};

subtest 'a connection limit of the database' => sub {
	$sluice->sql('ALTER DATABASE postgres CONNECTION LIMIT 0');
	attempt('CONNECTION LIMIT 0 of the database', 'of_trust');
	attempt('CONNECTION LIMIT 0 of the database, a superuser', 'postgres');
	my ($seen, $verdicts) = compare();
	is($verdicts->[0][1], 'too many connections for database "postgres": end some, or raise its CONNECTION LIMIT', 'the client is told');
	$sluice->sql('ALTER DATABASE postgres CONNECTION LIMIT 20');
	attempt('CONNECTION LIMIT 20 of the database', 'of_trust');
	compare();
	$sluice->sql('ALTER DATABASE postgres CONNECTION LIMIT -1');
};

subtest 'guesses of a password take time, and the worker goes on' => sub {
	my $visitor = Visitor->new($sluice);
	my $begun = $sluice->sql('SELECT clock_timestamp()');
	my %guess = (target => "127.0.0.1:$port", stream => 'things', record => { a => 1 }, user => 'of_scram');
	my $other = Visitor->new($sluice);

	$other->step('open', call => 'a', target => "127.0.0.1:$port", stream => 'things', user => 'of_trust');
	my $verdicts = $visitor->step('attempt', visits => [ map { { %guess, password => "guess $_" } } 1 .. 12 ]);
	is(scalar(grep { $_->[0] eq 'UNAUTHENTICATED' } @$verdicts), 12, 'all are refused');
	cmp_ok($sluice->sql("SELECT extract(epoch FROM clock_timestamp() - '$begun')"), '>=', 2.9, 'twelve guesses, four at a time, take three seconds');
	is($other->step('put', call => 'a', key => 'beside', record => { a => 1 })->[0], 'in', 'a client beside them is served');
};

# Of one address so many calls wait that one more is refused; when their clients leave, nothing of them stays.
subtest 'a crowd that guesses passwords' => sub {
	my %guess = (target => "127.0.0.1:$port", stream => 'things', user => 'of_scram', password => 'guess');
	my $before = $sluice->sql('SELECT calls FROM sluice.stat_workers');
	{
		my $crowd = Visitor->new($sluice);

		$crowd->step('open', call => $_, %guess) foreach 1 .. 300;
		ok(wait_until('somebody is turned away', sub {
				grep { $_->[0] eq 'RESOURCE_EXHAUSTED' && $_->[1] eq 'too many clients of this address are logging in: try again later' } @{ $crowd->step('ended') };
			}), 'who is one too many is told so');
		$crowd->leave;
	}
	ok(wait_until('all are gone', sub { $sluice->sql('SELECT calls FROM sluice.stat_workers') <= $before }, 15), 'who has left is not kept');
	my $verdicts = Visitor->new($sluice)->step('attempt', visits => [ { %guess, password => 'secret', record => { a => 1 } } ]);
	is($verdicts->[0][0], 'in', 'who knows the password is let in soon');
};

done_testing();
