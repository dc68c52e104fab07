"""Talks to the embedded ClickHouse as a notebook would."""

import sys

import clickhouse_connect

client = clickhouse_connect.get_client(host="127.0.0.1", port=int(sys.argv[1]), database="default")
assert client.command("SELECT 1") == 1
client.command("CREATE TABLE py (n UInt32, s String) ENGINE = MergeTree ORDER BY n")
client.insert("py", [[n, f"row {n}"] for n in range(10_000)], column_names=["n", "s"])
rows = client.query("SELECT count(), max(n) FROM py WHERE n < {limit:UInt32}", parameters={"limit": 5_000}).result_rows
assert rows == [(5_000, 4_999)], rows
columns = client.query("SELECT s, n FROM py ORDER BY n LIMIT 2")
assert columns.column_names == ("s", "n") and columns.result_rows == [("row 0", 0), ("row 1", 1)]
assert client.raw_query("SELECT 1 AS x FORMAT JSONEachRow") == b'{"x":1}\n'
client.command("SET max_threads = 1")
total = client.query("SELECT sum(n) FROM py", settings={"max_block_size": 1_000}).first_row[0]
assert total == sum(range(10_000)), total
try:
    client.query("SELECT * FROM nowhere")
except clickhouse_connect.driver.exceptions.DatabaseError as error:
    assert "UNKNOWN_TABLE" in str(error) or "60" in str(error), error
else:
    raise AssertionError("a query of no table succeeded")
print("all good")
