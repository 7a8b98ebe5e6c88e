# A stream's table and sluice.ledger against the journals of its producers.
#
#	my $figures = Account::of($sluice, 'readings', [$producer], reasons => ['full']);
#	Account::balanced('drop_oldest', $figures);
package Account;

use strict;
use warnings;

use JSON::PP qw(decode_json encode_json);
use Sluice;
use Test::More;

# What a record of regress/driver/producer.c becomes; "refused" ones break the constraint.
sub create_stream
{
	my ($sluice, $name) = @_;
	$sluice->sql(<<"END");
CREATE TABLE $name (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	producer uuid NOT NULL,
	sequence bigint NOT NULL,
	name text NOT NULL,
	running bigint NOT NULL,
	kind text NOT NULL,
	content text NOT NULL CONSTRAINT acceptable CHECK (content NOT LIKE '!%'));
SELECT sluice.create_stream('$name', '$name', payload_format => 'json',
	envelope_columns => '{"producer": "producer", "sequence": "sequence"}');
END
}

# Figures that are to be 0 in every account.
my @zeros = qw(
  unexplained lost resent identities stored_differs dead_differs gaps_differ gaps_not_allowed
  sequence_twice record_twice out_of_order other_content promise_broken
  told_stored told_dead told_dropped told_duplicate never_told told_twice strangers);

sub load_sql
{
	my ($stream, $producers) = @_;
	my $promised = join '', map { "\\copy promised from '$_'\n" } map { $_->files('promised') } @$producers;
	my $told     = join '', map { "\\copy told from '$_'\n" } map { $_->files('delivered') } @$producers;

	return <<"END";
SET jit = off;
CREATE TEMP TABLE promised (name text, sequence bigint, running bigint, kind text, content text);
CREATE TEMP TABLE told (name text, first bigint, last bigint, verdict integer, reason integer);
$promised$told
CREATE TEMP TABLE rows AS SELECT * FROM $stream;
CREATE TEMP TABLE dead AS SELECT producer, sequence, convert_from(payload, 'UTF8') AS payload
	FROM sluice.dead_letters WHERE stream_name = '$stream';
CREATE TEMP TABLE books AS SELECT l.*, p.resent FROM sluice.ledger l JOIN sluice.producers p USING (stream, producer) WHERE l.name = '$stream';
CREATE TEMP TABLE gaps AS SELECT g.* FROM sluice.gaps g JOIN sluice.streams s ON s.id = g.stream WHERE s.name = '$stream';
-- Whose identity it is: told by the rows.
CREATE TEMP TABLE identities AS SELECT DISTINCT name, producer FROM rows;
-- Everything that is somewhere.
CREATE TEMP TABLE places AS SELECT producer, sequence, 'row' AS place FROM rows UNION ALL SELECT producer, sequence, 'dead' FROM dead;
CREATE INDEX ON rows (producer, sequence);
CREATE INDEX ON rows (name, running);
CREATE INDEX ON dead (producer, sequence);
CREATE INDEX ON promised (name, sequence);
CREATE INDEX ON promised (name, running);
CREATE INDEX ON places (producer, sequence);
CREATE INDEX ON gaps (producer, first, last);
ANALYZE promised, told, rows, dead, books, gaps, identities, places;
CREATE TEMP TABLE told_each AS SELECT i.producer, t.name, n AS sequence, t.verdict
	FROM told t JOIN identities i USING (name), generate_series(t.first, t.last) n;
CREATE INDEX ON told_each (name, sequence);
ANALYZE told_each;
END
}

# reasons: of gaps that may be declared.  complete: processes that were never killed, so that each verdict was told once.
sub figures_sql
{
	my ($reasons, $complete) = @_;
	my $allowed = join ', ', map { "'$_'" } @$reasons, '';
	my $names   = join ', ', map { "'$_'" } (map { $_->names } @$complete), '';

	return <<"END";
SELECT json_build_object(
	'promised', (SELECT count(*) FROM promised),
	'rows', (SELECT count(*) FROM rows),
	'dead', (SELECT count(*) FROM dead),
	'duplicates', (SELECT coalesce(sum(duplicate), 0) FROM books),
	'declared', (SELECT coalesce(sum(declared), 0) FROM books),
	'reasons', (SELECT string_agg(DISTINCT reason, ' ') FROM gaps),
	'unexplained', (SELECT coalesce(sum(abs(unexplained)), 0) FROM books),
	'lost', (SELECT coalesce(sum(lost), 0) FROM books),
	'resent', (SELECT coalesce(sum(resent), 0) FROM books),
	-- Each name has sent under one identity, and each identity is of one name.
	'identities', (SELECT count(*) FROM (SELECT FROM identities GROUP BY name HAVING count(*) > 1) x)
		+ (SELECT count(*) FROM (SELECT FROM identities GROUP BY producer HAVING count(*) > 1) x)
		+ (SELECT abs((SELECT count(*) FROM books) - (SELECT count(DISTINCT name) FROM promised))),
	'stored_differs', (SELECT count(*) FROM books b WHERE stored <> (SELECT count(*) FROM rows r WHERE r.producer = b.producer)),
	'dead_differs', (SELECT count(*) FROM books b WHERE dead_lettered <> (SELECT count(*) FROM dead d WHERE d.producer = b.producer)),
	'gaps_differ', (SELECT count(*) FROM books b
		WHERE declared + lost <> (SELECT coalesce(sum(dropped), 0) FROM gaps g WHERE g.producer = b.producer)),
	'gaps_not_allowed', (SELECT count(*) FROM gaps WHERE reason NOT IN ($allowed)),
	'sequence_twice', (SELECT count(*) FROM (SELECT FROM places GROUP BY producer, sequence HAVING count(*) > 1) x),
	'record_twice', (SELECT count(*) FROM (SELECT FROM rows GROUP BY name, running HAVING count(*) > 1) x),
	'out_of_order', (SELECT count(*) FROM (SELECT sequence, lag(sequence) OVER (PARTITION BY producer ORDER BY id) AS before FROM rows) x
		WHERE sequence <= before),
	'other_content', (SELECT count(*) FROM promised p JOIN rows r USING (name, sequence)
			WHERE (p.running, p.content) IS DISTINCT FROM (r.running, r.content))
		+ (SELECT count(*) FROM promised p JOIN identities i USING (name) JOIN dead d USING (producer, sequence)
			WHERE position(p.content IN d.payload) = 0),
	-- What sluice_send took is stored, a dead letter, or declared; one of a known key is stored under another number.
	'promise_broken', (SELECT count(*) FROM promised p LEFT JOIN identities i USING (name)
		WHERE NOT EXISTS (SELECT FROM places s WHERE (s.producer, s.sequence) = (i.producer, p.sequence))
		AND NOT (p.kind IN ('keyed', 'again') AND EXISTS (SELECT FROM rows r WHERE (r.name, r.running) = (p.name, p.running)))
		AND NOT EXISTS (SELECT FROM gaps g WHERE g.producer = i.producer AND p.sequence BETWEEN g.first AND g.last AND g.reason IN ($allowed))),
	-- What the callback said is so.  One that was settled before a reconnection is told as stored, though its key may have been known.
	'told_stored', (SELECT count(*) FROM told_each t WHERE verdict = 1
		AND NOT EXISTS (SELECT FROM rows r WHERE (r.producer, r.sequence) = (t.producer, t.sequence))
		AND NOT EXISTS (SELECT FROM promised p WHERE (p.name, p.sequence) = (t.name, t.sequence) AND p.kind IN ('keyed', 'again'))),
	'told_dead', (SELECT count(*) FROM told_each t WHERE verdict = 3
		AND NOT EXISTS (SELECT FROM dead d WHERE (d.producer, d.sequence) = (t.producer, t.sequence))),
	'told_dropped', (SELECT count(*) FROM told_each t WHERE verdict = 5
		AND (EXISTS (SELECT FROM places s WHERE (s.producer, s.sequence) = (t.producer, t.sequence))
			OR NOT EXISTS (SELECT FROM gaps g WHERE g.producer = t.producer AND t.sequence BETWEEN g.first AND g.last))),
	'told_duplicate', (SELECT count(*) FROM told_each t WHERE verdict = 2
		AND EXISTS (SELECT FROM places s WHERE (s.producer, s.sequence) = (t.producer, t.sequence))),
	'never_told', (SELECT count(*) FROM promised p WHERE name IN ($names)
		AND NOT EXISTS (SELECT FROM told_each t WHERE (t.name, t.sequence) = (p.name, p.sequence))),
	'told_twice', (SELECT count(*) FROM (SELECT FROM told_each WHERE name IN ($names) GROUP BY name, sequence HAVING count(*) > 1) x),
	'strangers', (SELECT count(*) FROM rows r WHERE NOT EXISTS (SELECT FROM promised p WHERE (p.name, p.running) = (r.name, r.running))));
END
}

# A kill may come between sluice_send() and the journal: so many records of nobody are left out, one a thread.
sub of
{
	my ($sluice, $stream, $producers, %params) = @_;
	my $text = $sluice->sql(load_sql($stream, $producers) . figures_sql($params{reasons} // [], $params{complete} // []));
	my $figures = decode_json($text);
	my $unnoted = $params{unnoted} // 0;

	$figures->{strangers} = $figures->{strangers} > $unnoted ? $figures->{strangers} - $unnoted : 0;
	return $figures;
}

# One test, with the figures in its name.
sub balanced
{
	my ($what, $figures) = @_;
	my @wrong = grep { $figures->{$_} != 0 } @zeros;

	return ok(!@wrong && $figures->{rows} > 0,
		"$what: $figures->{promised} promised, $figures->{rows} rows, $figures->{dead} dead letters, $figures->{duplicates} duplicates, "
		  . "$figures->{declared} declared" . ($figures->{reasons} ? " ($figures->{reasons})" : '') . ', 0 lost, 0 doubled, 0 resent')
	  || diag("wrong: @wrong\n", encode_json($figures));
}

1;
