# A process with durable producers: regress/driver/producer.c, which can be killed and started again.
#
#	my $producer = Producer->new('name', server => '127.0.0.1:50051', arguments => [ '--rate', 100 ]);
#	$producer->start;  $producer->kill;  $producer->start;
#	my $report = $producer->stop;
package Producer;

use strict;
use warnings;

use File::Path qw(make_path);
use JSON::PP qw(decode_json);
use POSIX ();
use PostgreSQL::Test::Utils;
use Sluice qw(wait_until process_is_gone slurp_lines);
use Test::More;
use Time::HiRes qw(sleep time);

my @everybody;

# options: of the library, by name.  environment: of the process.  journal => 0: nothing is noted, for speed.
sub new
{
	my ($class, $name, %params) = @_;
	my $home = "$PostgreSQL::Test::Utils::tmp_check/$name";
	my $self = bless {
		name        => $name,
		server      => $params{server},
		producers   => $params{producers} // 1,
		directory   => $params{directory} // "$home/buffers",
		home        => $home,
		journal     => "$home/journal",
		notes       => $params{journal} // 1,
		arguments   => $params{arguments}   // [],
		options     => $params{options}     // {},
		environment => $params{environment} // {},
		starts      => 0,
		kills       => 0
	}, $class;

	make_path($self->{directory}, $self->{journal});
	push @everybody, $self;
	return $self;
}

sub program
{
	return $ENV{SLUICE_DRIVER} // die "SLUICE_DRIVER names no program: use regress/run\n";
}

sub command
{
	my ($self, @more) = @_;
	my %options = (server => $self->{server}, %{ $self->{options} });
	return (
		program(), '--name', $self->{name}, '--directory', $self->{directory}, '--producers', $self->{producers},
		$self->{notes} ? ('--journal', $self->{journal}) : (), '--timeline', "$self->{home}/timeline",
		@{ $self->{arguments} }, @more,
		map { ('--set', "$_=$options{$_}") } sort keys %options);
}

sub start
{
	my ($self, @more) = @_;
	my @command = $self->command(@more);

	$self->{starts}++;
	$self->{output} = "$self->{journal}/output.$self->{starts}";
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0)
	{
		@ENV{ keys %{ $self->{environment} } } = values %{ $self->{environment} };
		open STDIN,  '<',  '/dev/null'              or die;
		open STDOUT, '>',  $self->{output}          or die;
		open STDERR, '>>', "$self->{journal}/log" or die;
		exec @command or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
}

sub kill
{
	my ($self) = @_;
	CORE::kill 'KILL', $self->{pid};
	waitpid delete $self->{pid}, 0;
	$self->{kills}++;
}

sub signal
{
	my ($self, $signal) = @_;
	CORE::kill $signal, $self->{pid};
}

# Wait for its end; its report, with the exit status.
sub finish
{
	my ($self, $seconds) = @_;
	my $status;

	wait_until("$self->{name} has ended",
		sub { my $gone = waitpid $self->{pid}, POSIX::WNOHANG(); $status = $? if $gone == $self->{pid}; return defined $status },
		$seconds // 180);
	if (!defined $status)
	{
		$self->diagnose;
		$self->kill;
		die "$self->{name} does not end\n";
	}
	delete $self->{pid};
	my %report = (%{ $self->said('end') // {} }, status => $status >> 8, signal => $status & 127);
	return \%report;
}

# Make no more records, deliver what there is.
sub stop
{
	my ($self, $seconds) = @_;
	$self->signal('TERM');
	return $self->finish($seconds);
}

sub run
{
	my ($self, @more) = @_;
	$self->start(@more);
	return $self->finish;
}

# A line of its output: "open", "put", "flushed", "end"; undef where it was not printed yet.
sub said
{
	my ($self, $when) = @_;
	foreach my $line (slurp_lines($self->{output}))
	{
		my $said = eval { decode_json($line) } or next;
		return $said if $said->{when} eq $when;
	}
	return undef;
}

# What the timeline notes: [time, producer's index, "opened" or "acknowledged", connections].
sub timeline
{
	my ($self) = @_;
	return map { [split /\t/] } slurp_lines("$self->{home}/timeline");
}

# Of its producers, as their records have it.
sub names { my ($self) = @_; return map { "$self->{name}-$_" } 1 .. $self->{producers} }

# The directory of one of its buffers.
sub buffer { return "$_[0]->{directory}/$_[0]->{name}-" . ($_[1] // 1) }

sub is_running { return defined $_[0]->{pid} && !process_is_gone($_[0]->{pid}) }

sub log_text { return join "\n", slurp_lines("$_[0]->{journal}/log") }

sub diagnose
{
	my ($self) = @_;
	my @log = slurp_lines("$self->{journal}/log");
	@log = @log[ -15 .. -1 ] if @log > 15;
	diag("$self->{name}: $_") foreach @log, slurp_lines($self->{output});
}

#
# Journals
#

sub files { return glob "$_[0]->{journal}/*.$_[1]" }

sub size
{
	my ($self, $what) = @_;
	my $sum = 0;
	$sum += -s $_ // 0 foreach $self->files($what);
	return $sum;
}

sub promised_size  { return $_[0]->size('promised') }

# The last whole line of a journal, in fields.
sub last_line
{
	my ($file) = @_;
	open my $journal, '<', $file or return;
	seek $journal, -(-s $journal < 4096 ? -s $journal : 4096), 2;
	my @lines = grep { /\n$/ } <$journal>;
	chomp @lines;
	return @lines ? split /\t/, $lines[-1] : ();
}

# Until each of its producers was told what became of a record that it promised after this was called.
sub wait_progress
{
	my ($self, $seconds) = @_;
	my %before = map { $_ => -s } $self->files('promised');
	my $count  = 0;
	wait_until("$self->{name} promises records", sub {
		$count = grep { -s > ($before{$_} // 0) } $self->files('promised');
		return $count == $self->{producers} || !$self->is_running;
	}, $seconds);
	my %newest = map { $_ => (last_line($_))[1] } $self->files('promised');
	my $told = sub {
		foreach my $file (keys %newest)
		{
			(my $delivered = $file) =~ s/promised$/delivered/;
			return 0 if ((last_line($delivered))[2] // 0) < $newest{$file};
		}
		return 1;
	};
	return 1 if $count == $self->{producers}
	  && wait_until("$self->{name} is told of its newest records", sub { !$self->is_running || $told->() }, $seconds)
	  && $self->is_running;
	$self->diagnose;
	return 0;
}

END
{
	my $status = $?;
	foreach my $producer (grep { $_->{pid} } @everybody)
	{
		CORE::kill 'KILL', $producer->{pid};
		waitpid $producer->{pid}, 0;
	}
	$? = $status;
}

1;
