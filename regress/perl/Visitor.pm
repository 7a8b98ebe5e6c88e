# Clients that log in, of another gRPC implementation: regress/visitor.py.
#
#	my $visitor = Visitor->new($sluice);
#	my ($verdicts) = $visitor->step('attempt', visits => [ { target => …, user => … }, … ]);
package Visitor;

use strict;
use warnings;

use IPC::Open2 qw(open2);
use JSON::PP ();
use Sluice;

my $json = JSON::PP->new->canonical->allow_nonref;
my @everybody;

# Every step goes to the endpoint of this server, where it names no target.
sub new
{
	my ($class, $sluice) = @_;
	my $self = bless { sluice => $sluice }, $class;
	my @command = ($ENV{SLUICE_PYTHON} // '/usr/bin/python3', Sluice::regress_directory() . '/visitor.py');

	$self->{pid} = open2($self->{out}, $self->{in}, @command);
	push @everybody, $self;
	return $self;
}

END
{
	my $status = $?;
	foreach my $visitor (@everybody)
	{
		close $visitor->{in};
		kill 'KILL', $visitor->{pid};
		waitpid $visitor->{pid}, 0;
	}
	$? = $status;
}

sub step
{
	my ($self, $do, %step) = @_;

	$step{target} //= $self->{sluice}->address;
	print { $self->{in} } $json->encode({ do => $do, %step }) . "\n";
	my $answer = readline $self->{out};
	die "visitor.py ended at step $do\n" unless defined $answer;
	return $json->decode($answer);
}

# Its process ends, and all of its connections.
sub leave
{
	my ($self) = @_;

	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	@everybody = grep { $_ != $self } @everybody;
	return;
}

1;
