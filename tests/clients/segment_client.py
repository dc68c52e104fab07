"""Sends to the collector with Segment's own Python client, unmodified.

Arguments: collector's address, key, click token.
"""

import sys

import segment.analytics as analytics

host, key, token = sys.argv[1:]
analytics.write_key = key
analytics.host = host
analytics.gzip = True
analytics.max_retries = 3
failures = []
analytics.on_error = lambda error, items: failures.append(error)

analytics.identify("py-user", {"plan": "pro"})
analytics.page("py-user", "docs", "Start", {"url": "https://site.example/py"})
for number in range(150):
    analytics.track("py-user", "Step Done", {"number": number})
analytics.track(
    "py-user",
    "Order Completed",
    {"order_id": "py-1", "total": 54.31, "currency": "USD", "tcid": token,
     "products": [{"sku": "a", "price": 27.15, "quantity": 2}]},
)
analytics.shutdown()
if failures:
    sys.exit(f"not delivered: {failures}")
