-- Since when each source records the issuing of tokens.
SELECT source, MIN(event_time) AS first_issue_at
FROM events
WHERE class = 'token' AND action = 'issue' AND outcome = 'success'
GROUP BY source
