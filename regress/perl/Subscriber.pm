# A consumer without a library, played step by step: regress/subscriber.py.
#
#	my $subscriber = Subscriber->new($sluice);
#	my $active = $subscriber->open_call('a', stream => 'items', subscription => 's', create => 1);
#	my $rows = $subscriber->collect('a', 3, ack => 1);
#
package Subscriber;

use strict;
use warnings;

use IPC::Open2 qw(open2);
use JSON::PP ();
use Sluice;

my $json = JSON::PP->new->canonical;
my @everybody;

sub new
{
	my ($class, $sluice) = @_;
	my $self = bless { sluice => $sluice }, $class;
	my @command = ($ENV{SLUICE_PYTHON} // '/usr/bin/python3', Sluice::regress_directory() . '/subscriber.py');

	$self->{pid} = open2($self->{out}, $self->{in}, @command);
	push @everybody, $self;
	return $self;
}

END
{
	my $status = $?;
	foreach my $subscriber (@everybody)
	{
		close $subscriber->{in};
		kill 'KILL', $subscriber->{pid};
		waitpid $subscriber->{pid}, 0;
	}
	$? = $status;
}

sub step
{
	my ($self, $do, $call, %step) = @_;

	print { $self->{in} } $json->encode({ do => $do, call => $call, %step }) . "\n";
	my $answer = readline $self->{out};
	die "subscriber.py ended at step $do of $call\n" unless defined $answer;
	return $json->decode($answer);
}

# Begin a call, with the members of Subscribe; nothing is waited for.  deaf: it reads nothing before the step "listen".
sub begin
{
	my ($self, $call, %subscribe) = @_;
	$subscribe{create} = JSON::PP::true() if delete $subscribe{create};
	$subscribe{wants_start} = JSON::PP::true() if delete $subscribe{wants_start};
	my $deaf = delete $subscribe{deaf} ? JSON::PP::true() : JSON::PP::false();
	my $address = delete $subscribe{address} // $self->{sluice}->address;
	$self->step('open', $call, address => $address, subscribe => \%subscribe, deaf => $deaf);
}

sub event { my ($self, $call, $timeout) = @_; return $self->step('read', $call, timeout => $timeout // 20) }

# The same, and until it is active: what Active says, or how it ended.
sub open_call
{
	my ($self, $call, %subscribe) = @_;
	$self->begin($call, %subscribe);
	my $event = $self->event($call);
	return $event->{active} // $event;
}

# The next event of this kind, or how the call ended; others are passed over.
sub next_event
{
	my ($self, $call, $kind, $timeout) = @_;
	my $event;
	do { $event = $self->event($call, $timeout) } until exists $event->{$kind} || exists $event->{status} || exists $event->{silence};
	return $event->{$kind} // $event;
}

# Rows up to that offset.
sub collect
{
	my ($self, $call, $through, %step) = @_;
	$step{$_} = JSON::PP::true() foreach grep { delete $step{$_} } qw(ack bare);
	return $self->step('collect', $call, through => $through, timeout => 20, %step);
}

# How a call ended: "CODE REASON", what came before left out.
sub ending
{
	my ($self, $call, $timeout) = @_;
	my $event;
	do { $event = $self->event($call, $timeout) } until exists $event->{status} || exists $event->{silence};
	return exists $event->{status} ? join(' ', $event->{status}, $event->{reason} || ()) : $json->encode($event);
}

# Half-close and wait for the end.
sub finish
{
	my ($self, $call) = @_;
	$self->step('half_close', $call);
	return $self->ending($call);
}

1;
