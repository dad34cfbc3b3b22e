// Cloudflare's cache in front of an origin, as a Worker uses it: what the origin's headers allow is kept, and nothing else.
// node edge.mjs MINIFLARE_MODULES ORIGIN   prints the port when it listens; ends with its standard input.
import { createRequire } from "node:module";
const { Miniflare } = createRequire(`${process.argv[2]}/`)("miniflare");

const script = `export default {
  async fetch(request, { ORIGIN }, context) {
    const url = new URL(request.url), asked = new Request(ORIGIN + url.pathname + url.search, request);
    const kept = request.method === "GET" ? await caches.default.match(asked) : undefined;
    if (kept) return marked(kept, "HIT");
    const answer = await fetch(asked);
    if (request.method === "GET") await caches.default.put(asked, answer.clone()).catch(() => {});
    return marked(answer, "MISS");
  },
};
function marked(answer, how) {
  const headers = new Headers(answer.headers);
  headers.set("X-Edge", how);
  return new Response(answer.body, { status: answer.status, headers });
}`;
const edge = new Miniflare({
  modules: true,
  script,
  bindings: { ORIGIN: process.argv[3] },
  compatibilityDate: "2026-04-01",
  host: "127.0.0.1",
  port: 0,
  cf: false,
});
console.log((await edge.ready).port);
process.stdin.resume().on("end", () => edge.dispose().then(() => process.exit(0)));
