-- Which campaigns and creators count, if not all.
CAST(CAST(? AS Array(String)) AS Array(UUID)) AS scope_campaigns,
CAST(CAST(? AS Array(String)) AS Array(UUID)) AS scope_creators
