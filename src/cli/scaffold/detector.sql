/*---
title    = "DETECTOR: one line for the alert"
severity = "medium"
status   = "experimental"
kind     = "violation"
summary  = "A grant was refreshed by a client that must not be used any more."
rationale = """
Why this matters, for somebody who is woken by it.
"""
because  = "Refreshed {refresh_count} times with {client_id}, last at {last_refresh_at}."
false_positives = ["When it is wrong."]
response = ["What to do first.", "What to do then."]
key      = ["grant_id"]
reads    = ["grants", "token_events"]
every    = "5m"
# Which grants the rows may be about, asked of folds so that history need not be read. Too many is fine, too few is a bug.
nominate = "SELECT DISTINCT grant_id FROM contexts WHERE client_id = $client"
[controls]
csf      = ["PR.AA-05"]
[params.client]
type     = "text"
default  = "old-cli"
help     = "the client that must not be used"
---*/
WITH refreshes AS (
    SELECT grant_id, client_id, event_time, source, event_id
    FROM token_events
    WHERE action = 'refresh' AND outcome = 'success' AND client_id = $client
)

SELECT
    r.grant_id,
    MIN(r.event_time) AS violated_at,
    MIN(CASE WHEN g.ended_at <= $as_of THEN g.ended_at END) AS resolved_at,
    MIN(r.client_id) AS client_id,
    COUNT(*) AS refresh_count,
    MAX(r.event_time) AS last_refresh_at,
    array_slice(array_agg(r.event_id ORDER BY r.event_time, r.source, r.event_id), 1, 20) AS event_ids
FROM refreshes AS r
INNER JOIN grants AS g ON g.grant_id = r.grant_id
GROUP BY r.grant_id
ORDER BY r.grant_id
