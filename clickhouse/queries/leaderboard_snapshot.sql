-- All boards at once, the best of each, without those who have nothing: what a
-- snapshot keeps.
SELECT metric, creator_id, rank, value
FROM
(
    SELECT
        metric,
        creator_id,
        assumeNotNull(nullable_value) AS value,
        rank() OVER (PARTITION BY metric ORDER BY value DESC) AS rank,
        -- Equal values share a rank, however many they are.
        row_number() OVER (PARTITION BY metric ORDER BY value DESC, toString(creator_id)) AS place
    FROM creator_figures
    ARRAY JOIN mapKeys(by_metric) AS metric, mapValues(by_metric) AS nullable_value
    WHERE nullable_value != 0
)
WHERE place <= {best:UInt32}
ORDER BY metric, rank, creator_id
