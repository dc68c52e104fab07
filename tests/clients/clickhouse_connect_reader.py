"""Reads a workspace's views as its own user, as a notebook would."""

import sys

import clickhouse_connect

port, database, user, password = sys.argv[1:]
client = clickhouse_connect.get_client(
    host="127.0.0.1", port=int(port), username=user, password=password, database=database
)
clicks = client.query("SELECT * FROM clicks ORDER BY at")
assert clicks.row_count == 2 and "creator_id" in clicks.column_names, clicks.column_names
people = client.query(
    "SELECT uniqExact(click_id) FROM clicks WHERE is_human AND device = {device:String}", parameters={"device": "desktop"}
)
assert people.first_row == (2,), people.first_row
earned = client.query("SELECT currency, sum(creator_minor) FROM outcomes GROUP BY currency").result_rows
assert earned == [("USD", 540)], earned
try:
    client.query("SELECT * FROM tributary.events")
except clickhouse_connect.driver.exceptions.DatabaseError as error:
    assert "497" in str(error), error
else:
    raise AssertionError("the tables behind the views were read")
try:
    client.command("DROP VIEW clicks")
except clickhouse_connect.driver.exceptions.DatabaseError as error:
    assert "497" in str(error), error
else:
    raise AssertionError("a reader changed something")
print("all good")
