-- When each source had any event at all: one row per source and hour, a bit for each minute.
SELECT source, hour, BIT_OR(minutes) AS minutes
FROM source_minutes_parts
WHERE hour <= $as_of
GROUP BY source, hour
