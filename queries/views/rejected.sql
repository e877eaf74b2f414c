-- One row per record that could not be decoded: where it was read, why it was rejected, and its bytes.
SELECT received_at, topic, "partition", "offset", record_index, reject_reason, record_hash, raw, raw_bytes, event_date
FROM events
WHERE class = 'rejected'
