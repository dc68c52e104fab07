// Sends to the collector with Segment's own Node client, unmodified.
// Arguments: collector's address, key, click token.
import { createRequire } from "node:module";

const [host, writeKey, token] = process.argv.slice(2);
const { Analytics } = createRequire(`${process.env.TRIBUTARY_TEST_NODE_MODULES}/`)("@segment/analytics-node");
const analytics = new Analytics({ host, writeKey, maxRetries: 3 });
let failure;
analytics.on("error", (error) => { failure = error; });

analytics.identify({ userId: "node-user", traits: { plan: "pro" } });
analytics.page({ userId: "node-user", name: "Start", properties: { url: "https://site.example/node" } });
for (let number = 0; number < 150; number++) {
  analytics.track({ userId: "node-user", event: "Step Done", properties: { number } });
}
analytics.track({
  userId: "node-user",
  event: "Order Completed",
  properties: {
    order_id: "node-1", total: 54.31, currency: "USD", tcid: token,
    products: [{ sku: "a", price: 27.15, quantity: 2 }],
  },
});
await analytics.closeAndFlush({ timeout: 10000 });
if (failure) {
  console.error("not delivered:", failure);
  process.exit(1);
}
