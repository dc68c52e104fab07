-- Distinct events and outcomes.
SELECT
    assumeNotNull((SELECT uniqExact(event_id) FROM events)) AS events,
    assumeNotNull((SELECT uniqExact(event_id, leg) FROM outcomes)) AS outcomes
