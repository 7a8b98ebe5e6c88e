\pset footer off
CREATE TEMP TABLE sent (stream text, sent bigint);
INSERT INTO sent VALUES ('process_samples', :proto_sent), ('process_json', :json_sent);

CREATE TABLE demo_balance AS
SELECT t.stream, t.sent, s.stored, d.dead_letters, s.stored - s.keys AS stored_twice,
	(SELECT count(*) FROM sluice.dead_letters x JOIN (SELECT sample FROM process_samples UNION ALL SELECT sample FROM process_json) y
		ON y.sample = x.key_text WHERE x.stream_name = t.stream) AS stored_and_refused,
	t.sent = s.stored + d.dead_letters AND s.stored = s.keys AND d.dead_letters = d.keys
		AND s.stored > 0 AND d.dead_letters > 0 AS balanced
FROM sent t
JOIN (SELECT 'process_samples' AS stream, count(*) AS stored, count(DISTINCT sample) AS keys FROM process_samples
	UNION ALL SELECT 'process_json', count(*), count(DISTINCT sample) FROM process_json) s USING (stream)
JOIN (SELECT stream_name AS stream, count(*) AS dead_letters, count(DISTINCT key) AS keys
	FROM sluice.dead_letters GROUP BY 1) d USING (stream);
UPDATE demo_balance SET balanced = balanced AND stored_and_refused = 0;

\echo
\echo 'Sent by the clients against what is in the tables:'
TABLE demo_balance;

\echo 'The ledger: every number that the buffer of sluice send gave out, and what became of it:'
SELECT name AS stream, first, last, stored, duplicate, dead_lettered, filtered, declared, lost, unexplained
FROM sluice.ledger;

\echo 'Dead letters, by reason:'
SELECT stream_name AS stream, sqlstate, count(*), min(message) AS message
FROM sluice.dead_letters GROUP BY 1, 2 ORDER BY 1, 3 DESC;

\echo 'The data: which programs used the processor while this ran?'
SELECT command, count(DISTINCT pid) AS processes, sum(used)::numeric(10, 2) AS cpu_seconds,
	pg_size_pretty(max(rss)) AS largest
FROM (SELECT command, pid, max(cpu_seconds) - min(cpu_seconds) AS used, max(rss_bytes) AS rss
	FROM process_samples GROUP BY command, pid) x
GROUP BY command ORDER BY cpu_seconds DESC LIMIT 5;
