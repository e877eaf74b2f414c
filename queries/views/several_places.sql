-- Grants with more than one row of places: all others were exercised from one and the same.
SELECT grant_id
FROM places
GROUP BY grant_id
HAVING COUNT(*) > 1
