# A network that fails on command between clients and a server: regress/proxy.py.
#
#	my $proxy = Proxy->new($sluice->port, ports => 2);
#	$proxy->tell('cut');
package Proxy;

use strict;
use warnings;

use File::Basename qw(dirname);
use IPC::Open2 qw(open2);

my @everybody;

sub new
{
	my ($class, $upstream, %params) = @_;
	my $self = bless { upstream => $upstream }, $class;
	my $script = dirname(dirname(__FILE__)) . '/proxy.py';

	$self->{pid} = open2($self->{answers}, $self->{commands}, $ENV{SLUICE_PYTHON} // '/usr/bin/python3',
		$script, '--upstream', $upstream, '--ports', $params{ports} // 1);
	my $ports = readline $self->{answers} // die "the proxy does not start\n";
	$self->{ports} = [ split ' ', $ports ];
	push @everybody, $self;
	return $self;
}

# The address of one of its ports, as clients are told.
sub address { return "127.0.0.1:$_[0]->{ports}[$_[1] // 0]" }

# A command of proxy.py; when it was done (CLOCK_MONOTONIC), and what else it says.
sub tell
{
	my ($self, $command) = @_;
	local $SIG{PIPE} = 'IGNORE';

	print { $self->{commands} } "$command\n";
	$self->{commands}->flush;
	my $answer = readline $self->{answers};
	die "the proxy has failed at \"$command\"\n" unless defined $answer && $answer =~ /^ok/;
	my (undef, @words) = split ' ', $answer;
	return wantarray ? @words : $words[0];
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	close $self->{commands};
	waitpid delete $self->{pid}, 0;
}

END
{
	my $status = $?;
	$_->stop foreach @everybody;
	$? = $status;
}

1;
