# A certificate authority of the tests, and what it signs.
#
#	my $authority = Authority->new('servers');
#	$authority->issue("$directory/server", subject => '/CN=127.0.0.1', days => 3);   # server.crt, server.key
#
package Authority;

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;

my $number = 0;

# Its certificate is $authority->certificate.
sub new
{
	my ($class, $name) = @_;
	my $self = bless { path => "$PostgreSQL::Test::Utils::tmp_check/authority_$name" }, $class;

	append_to_file("$self->{path}.cnf", <<'END');
[req]
distinguished_name = name
prompt = no
[name]
[authority]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = hash
[leaf]
basicConstraints = CA:FALSE
subjectAltName = IP:127.0.0.1, IP:127.0.0.2, DNS:localhost
END
	openssl('req', '-x509', '-config', "$self->{path}.cnf", '-extensions', 'authority', key_options(), '-days', 100,
		'-subj', "/O=pg_sluice tests/CN=$name", '-keyout', "$self->{path}.key", '-out', "$self->{path}.crt");
	return $self;
}

sub certificate { return "$_[0]{path}.crt" }

# subject; days: until it expires; passphrase: of the key.
sub issue
{
	my ($self, $path, %params) = @_;
	my @lock = defined $params{passphrase} ? ('-passout', "pass:$params{passphrase}") : ();

	$number++;
	openssl('req', '-new', '-config', "$self->{path}.cnf", key_options(@lock), '-subj', $params{subject} // '/CN=127.0.0.1',
		'-utf8', '-keyout', "$path.key", '-out', "$path.csr");
	openssl('x509', '-req', '-in', "$path.csr", '-CA', $self->certificate, '-CAkey', "$self->{path}.key", '-days', $params{days} // 90,
		'-set_serial', 4096 + $number, '-extfile', "$self->{path}.cnf", '-extensions', 'leaf', '-out', "$path.crt");
	chmod 0600, "$path.key";
	return sprintf '%X', 4096 + $number;
}

sub key_options
{
	my (@lock) = @_;
	return ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', @lock ? @lock : '-nodes');
}

sub openssl
{
	my (@arguments) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'openssl', @arguments ], '<', \undef, '>', \$out, '2>', \$err) or die "openssl @arguments: $err\n";
}

1;
