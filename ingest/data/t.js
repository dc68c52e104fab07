/* Tributary's browser SDK. <script async src="https://go.example/t.js" data-key="KEY"></script>
   tributary.page() .track(name, properties) .identify(user, traits) .conversion(goal, options) */
(function (w, d) {
  "use strict";
  if (w.tributary && w.tributary.version) return;
  var script = d.currentScript || d.querySelector("script[data-key][src*='/t.js']");
  if (!script) return;
  var url = new URL("/v1/events", script.src) + "?key=" + encodeURIComponent(script.getAttribute("data-key"));
  var DAYS = 864e5, BATCH = 50, MAX = 500, LONGEST = 6e4;
  var memory = {}, waiting = [], timer = 0, sending = 0, failures = 0;

  // Where storage is forbidden, the page remembers for itself.
  function get(name) {
    try { return JSON.parse(localStorage.getItem("trib." + name)); } catch (e) { return memory[name]; }
  }
  function set(name, value) {
    memory[name] = value;
    try { localStorage.setItem("trib." + name, JSON.stringify(value)); } catch (e) {}
  }
  function uuid() {
    if (w.crypto.randomUUID) return w.crypto.randomUUID();
    var b = w.crypto.getRandomValues(new Uint8Array(16)), t = "";
    for (var i = 0; i < 16; i++) t += (b[i] + 256).toString(16).slice(1);
    return t;
  }

  var token = new URLSearchParams(w.location.search).get("tcid");
  if (token) set("tcid", { t: token, at: Date.now() });
  var visitor = get("visitor");
  if (!visitor) set("visitor", (visitor = uuid()));

  function event(type, fields) {
    var e = { type: type, id: uuid(), timestamp: Date.now(), visitor_id: visitor };
    var user = get("user"), click = get("tcid");
    if (user) e.user_id = user;
    if (type === "conversion" && click && Date.now() - click.at < 90 * DAYS) e.tcid = click.t;
    if (d.referrer && type === "page") e.referrer = d.referrer;
    for (var name in fields) if (fields[name] != null) e[name] = fields[name];
    waiting.push(e);
    if (waiting.length > MAX) waiting.shift();
    set("queue", waiting);
    plan(20);
  }
  function plan(ms) {
    if (!timer) timer = setTimeout(function () { timer = 0; send(); }, ms);
  }
  function body(events) {
    var now = Date.now();
    return JSON.stringify(events.map(function (e) { return Object.assign({ sent_at: now }, e); }));
  }
  function forget(events) {
    waiting = waiting.filter(function (e) { return events.indexOf(e) < 0; });
    set("queue", waiting);
  }
  // The same events with the same ids again, ever later, until they are taken
  // or will never be.
  function send() {
    if (sending || !waiting.length) return;
    var events = waiting.slice(0, BATCH);
    sending = 1;
    fetch(url, { method: "POST", body: body(events), keepalive: true, credentials: "omit",
      headers: { "Content-Type": "text/plain" } }).then(function (r) {
      if (r.status >= 500 || r.status === 429) throw r.status;
      failures = 0;
      forget(events);
    }).catch(function () { failures++; }).then(function () {
      sending = 0;
      if (waiting.length) plan(failures ? Math.min(LONGEST, 500 * Math.pow(2, failures)) * (0.5 + Math.random()) : 0);
    });
  }
  function leave() {
    if (d.visibilityState !== "hidden" || !waiting.length || !navigator.sendBeacon) return;
    var events = waiting.slice(0, BATCH);
    if (navigator.sendBeacon(url, new Blob([body(events)], { type: "text/plain" }))) forget(events);
  }
  d.addEventListener("visibilitychange", leave);
  w.addEventListener("pagehide", leave);
  w.addEventListener("online", send);

  var calls = (w.tributary && w.tributary.q) || [];
  var api = w.tributary = {
    version: 1,
    page: function (properties) {
      event("page", { url: w.location.href.slice(0, 2048), title: d.title.slice(0, 500) || null, properties: properties });
    },
    track: function (name, properties) { event("track", { name: name, properties: properties }); },
    identify: function (user, traits) { set("user", String(user)); event("identify", { properties: traits }); },
    conversion: function (goal, options) { event("conversion", Object.assign({ goal: goal }, options)); }
  };
  // What an earlier page could not send.
  waiting = (get("queue") || []).slice(-MAX);
  calls.forEach(function (call) { api[call[0]].apply(api, call.slice(1)); });
  if (script.getAttribute("data-auto") !== "off") api.page();
})(window, document);
