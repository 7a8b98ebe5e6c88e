# A process that consumes a subscription, which can be killed, stopped and started again.
#
#	my $consumer = Consumer->new('name', @command);
#	$consumer->start;  $consumer->signal('STOP');  $consumer->kill;  $consumer->start;
#
# Its output is appended to files that outlive it.
package Consumer;

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until process_is_gone slurp_lines);
use Test::More;

my @everybody;

sub new
{
	my ($class, $name, @command) = @_;
	my $self = bless { name => $name, command => \@command, output => "$PostgreSQL::Test::Utils::tmp_check/$name.out",
		log => "$PostgreSQL::Test::Utils::tmp_check/$name.log", starts => 0 }, $class;

	push @everybody, $self;
	return $self;
}

# Each start has an output of its own.
sub start
{
	my ($self) = @_;
	my $output = "$self->{output}." . ++$self->{starts};
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0)
	{
		open STDIN,  '<',  '/dev/null'  or die;
		open STDOUT, '>',  $output      or die;
		open STDERR, '>>', $self->{log} or die;
		exec @{ $self->{command} } or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
}

sub outputs { my ($self) = @_; return map { "$self->{output}.$_" } 1 .. $self->{starts} }

sub signal { my ($self, $signal) = @_; CORE::kill $signal, $self->{pid} }

sub kill
{
	my ($self) = @_;
	return unless $self->{pid};
	$self->signal('KILL');
	waitpid delete $self->{pid}, 0;
}

sub is_running { return defined $_[0]->{pid} && !process_is_gone($_[0]->{pid}) }

# Ask it to leave; its exit status.
sub stop
{
	my ($self) = @_;
	my $status;

	$self->signal('TERM');
	wait_until("$self->{name} has ended",
		sub { my $gone = waitpid $self->{pid}, POSIX::WNOHANG(); $status = $? if $gone == $self->{pid}; return defined $status }, 60);
	if (!defined $status)
	{
		$self->diagnose;
		$self->kill;
		return 'does not end';
	}
	delete $self->{pid};
	return $status & 127 ? 'signal ' . ($status & 127) : $status >> 8;
}

sub diagnose
{
	my ($self) = @_;
	my @log = slurp_lines($self->{log});
	@log = @log[ -15 .. -1 ] if @log > 15;
	diag("$self->{name}: $_") foreach @log;
}

END
{
	my $status = $?;
	foreach my $consumer (grep { $_->{pid} } @everybody)
	{
		CORE::kill 'KILL', $consumer->{pid};
		waitpid $consumer->{pid}, 0;
	}
	$? = $status;
}

1;
