-- Since when each source records the issuing of tokens.
SELECT source, MIN(first_issue_at) AS first_issue_at
FROM issuers_parts
WHERE first_issue_at <= $as_of
GROUP BY source
