-- Grants with more than one row of contexts: all others were exercised in one and the same.
SELECT grant_id
FROM contexts
GROUP BY grant_id
HAVING COUNT(*) > 1
