SELECT nextval('rollup_versions')
