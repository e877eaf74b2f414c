-- On which UTC days each grant was exercised: one row per grant and span of 64 days, day 0 being 1970-01-01.
SELECT coalesce(a.family_id, d.grant_id) AS grant_id, d.span, BIT_OR(d.days) AS days
FROM active_days_parts AS d
LEFT JOIN aliases AS a ON a.token_id = d.alias_token_id
GROUP BY coalesce(a.family_id, d.grant_id), d.span
