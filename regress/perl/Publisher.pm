# A producer without a buffer, played step by step: regress/publisher.py.
#
#	my $publisher = Publisher->new($sluice);
#	my $opened = $publisher->open_call('a', producer => 'p', stream => 'items');
#	$publisher->batch('a', from => 1, to => 3);
#	is_deeply($publisher->settled('a', 3), {});
#
# Producers are named by any word, their id is made of it.
package Publisher;

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use IPC::Open2 qw(open2);
use JSON::PP ();
use Sluice;
use Test::More;

my $json = JSON::PP->new->canonical;
my @everybody;

sub new
{
	my ($class, $sluice) = @_;
	my $self = bless { sluice => $sluice }, $class;
	my @command = ($ENV{SLUICE_PYTHON} // '/usr/bin/python3', Sluice::regress_directory() . '/publisher.py');

	$self->{pid} = open2($self->{out}, $self->{in}, @command);
	push @everybody, $self;
	return $self;
}

END
{
	my $status = $?;
	foreach my $publisher (@everybody)
	{
		close $publisher->{in};
		kill 'KILL', $publisher->{pid};
		waitpid $publisher->{pid}, 0;
	}
	$? = $status;
}

# The uuid of a producer.
sub id
{
	my ($name) = @_;
	return join '-', unpack 'A8 A4 A4 A4 A12', md5_hex($name);
}

sub step
{
	my ($self, $do, $call, %step) = @_;

	print { $self->{in} } $json->encode({ do => $do, call => $call, %step }) . "\n";
	my $answer = readline $self->{out};
	die "publisher.py ended at step $do of $call\n" unless defined $answer;
	return $json->decode($answer);
}

# Begin a call; what it says is to be read.  producer: its name; nonces: of runs 1 and on where not given.
sub begin
{
	my ($self, $call, %open) = @_;
	my $address = delete $open{address} // $self->{sluice}->address;
	$open{producer} = id($open{producer});
	$open{nonces} //= [1];
	$open{sent}   //= 1_000_000;
	$self->step('open', $call, address => $address, open => \%open);
}

# Begin a call: what Opened says, or how the call ended.
sub open_call
{
	my ($self, $call, %open) = @_;
	$self->begin($call, %open);
	my $event = $self->event($call);
	return $event->{opened} // $event;
}

sub batch { my ($self, $call, %batch) = @_; $self->step('batch', $call, %batch) }

sub event
{
	my ($self, $call, $timeout) = @_;
	return $self->step('read', $call, timeout => $timeout // 10);
}

# Read until all up to a sequence is acknowledged: the exceptions, by sequence; or what came instead.
sub settled
{
	my ($self, $call, $through) = @_;
	my $told = $self->step('settle', $call, through => $through);

	$self->{acks} = $told->{acks};
	return $told if $told->{through} != $through || $told->{backwards};
	return { map { @$_ } @{ $told->{exceptions} } };
}

# Send and read until it is acknowledged.
sub publish
{
	my ($self, $call, %batch) = @_;
	my @ends = ($batch{to} // 0, map({ $_->[0] } @{ $batch{records} // [] }), map { $_->[1] } @{ $batch{gaps} // [] });
	$self->batch($call, %batch);
	return $self->settled($call, (sort { $a <=> $b } @ends)[-1]);
}

# How a call ended: "CODE REASON", what had been acknowledged before left out.
sub ending
{
	my ($self, $call, $timeout) = @_;
	my $event;
	do { $event = $self->event($call, $timeout) } while $event->{ack};
	return exists $event->{status} ? join(' ', $event->{status}, $event->{reason} || ()) : $json->encode($event);
}

# Half-close and wait for the end.
sub finish
{
	my ($self, $call) = @_;
	$self->step('half_close', $call);
	return $self->ending($call);
}

sub half_close { $_[0]->step('half_close', $_[1]) }
sub cut { $_[0]->step('cut', $_[1]) }
sub cancel { $_[0]->step('cancel', $_[1]) }

#
# Streams and their books
#

# A stream and its table: {"n": N} is refused where N is negative.
sub create_items
{
	my ($sluice, $name, %settings) = @_;
	my $settings = join '', map { ", $_ => $settings{$_}" } sort keys %settings;
	$sluice->sql(<<"END");
CREATE TABLE $name (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	producer uuid,
	sequence bigint,
	n bigint CONSTRAINT possible CHECK (n >= 0));
SELECT sluice.create_stream('$name', '$name', envelope_columns => '{"producer": "producer", "sequence": "sequence"}'$settings);
END
}

# Each account against what it is an account of, for all producers of a stream; what differs.
sub unbalanced
{
	my ($sluice, $stream, $database) = @_;
	return $sluice->sql(<<"END", $database);
WITH books AS (SELECT l.* FROM sluice.ledger l WHERE l.name = '$stream'),
	rows AS (SELECT *, lag(sequence) OVER (PARTITION BY producer ORDER BY id) AS before FROM $stream),
	letters AS (SELECT d.* FROM sluice.dead_letters d JOIN sluice.streams s ON s.id = d.stream WHERE s.name = '$stream' AND d.sequence IS NOT NULL),
	gaps AS (SELECT g.*, reason IN ('server_lost', 'damaged', 'previous_stream') AS is_loss
		FROM sluice.gaps g JOIN sluice.streams s ON s.id = g.stream WHERE s.name = '$stream'),
	redriven AS (SELECT producer, sequence FROM letters WHERE state = 'redriven'),
	places AS (SELECT producer, sequence FROM rows WHERE producer IS NOT NULL UNION ALL SELECT producer, sequence FROM letters WHERE state <> 'redriven')
SELECT string_agg(what, ', ') FROM (
	SELECT 'unexplained ' || unexplained AS what FROM books WHERE unexplained <> 0
	UNION ALL
	SELECT format('stored %s, rows %s', stored, counted) FROM books b, LATERAL (SELECT count(*) AS counted FROM rows r
		WHERE r.producer = b.producer AND (r.producer, r.sequence) NOT IN (SELECT * FROM redriven)) c WHERE stored <> counted
	UNION ALL
	SELECT format('dead_lettered %s, letters %s', dead_lettered, counted) FROM books b, LATERAL (SELECT count(*) AS counted FROM letters l
		WHERE l.producer = b.producer) c WHERE dead_lettered <> counted
	UNION ALL
	SELECT format('declared %s, lost %s, gaps %s and %s', declared, lost, wishes, losses) FROM books b, LATERAL (SELECT
		coalesce(sum(dropped) FILTER (WHERE NOT is_loss), 0) AS wishes, coalesce(sum(dropped) FILTER (WHERE is_loss), 0) AS losses
		FROM gaps g WHERE g.producer = b.producer) c WHERE (declared, lost) <> (wishes, losses)
	UNION ALL
	SELECT format('sequence %s is in %s places', sequence, count(*)) FROM places GROUP BY producer, sequence HAVING count(*) > 1
	UNION ALL
	SELECT format('sequence %s is not in the books', p.sequence) FROM places p LEFT JOIN books b USING (producer)
		WHERE p.sequence BETWEEN 1 AND b.last IS NOT TRUE
	UNION ALL
	SELECT format('sequence %s was stored after %s', sequence, before) FROM rows
		WHERE sequence <= before AND (producer, sequence) NOT IN (SELECT * FROM redriven)
			AND (producer, before) NOT IN (SELECT * FROM redriven)
	UNION ALL
	SELECT format('%s books, %s producers', (SELECT count(*) FROM books), count(*)) FROM sluice.producers p JOIN sluice.streams s ON s.id = p.stream
		WHERE s.name = '$stream' AND NOT retired HAVING count(*) <> (SELECT count(*) FROM books)) x;
END
}

# One test.
sub balance_ok
{
	my ($sluice, $stream, $what, $database) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(unbalanced($sluice, $stream, $database), '', "$what: the books of \"$stream\" balance");
}

# The account of a producer of a stream: "LAST: stored, duplicate, dead-lettered, filtered, declared, lost; resent".
sub account
{
	my ($sluice, $stream, $producer, $database) = @_;
	my $id = id($producer);
	return $sluice->sql(<<"END", $database);
SELECT format('%s: %s, %s, %s, %s, %s, %s; %s', l.last, l.stored, l.duplicate, l.dead_lettered, l.filtered, l.declared, l.lost, p.resent)
FROM sluice.ledger l JOIN sluice.producers p USING (stream, producer) WHERE l.name = '$stream' AND l.producer = '$id'
END
}

1;
