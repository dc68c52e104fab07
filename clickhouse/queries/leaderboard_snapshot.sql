-- All boards at once, the best of each: what a snapshot keeps.
SELECT metric, creator_id, rank, value
FROM
(
    SELECT
        metric,
        creator_id,
        assumeNotNull(nullable_value) AS value,
        rank() OVER (PARTITION BY metric ORDER BY value DESC) AS rank
    FROM creator_figures
    ARRAY JOIN mapKeys(by_metric) AS metric, mapValues(by_metric) AS nullable_value
    WHERE nullable_value IS NOT NULL
)
WHERE rank <= {best:UInt32}
ORDER BY metric, rank, creator_id
