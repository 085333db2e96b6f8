/**
 * Runs commands where nothing can leave unseen: `unshare -rnm node namespace.mjs SPEC`. The namespace has one way out, a
 * cable that ends nowhere and counts what is sent into it, and a name server that counts questions and answers each with
 * an address beyond the cable. Prints what left, as JSON. Plain JavaScript: a TypeScript loader writes caches.
 *
 * SPEC: { cwd, env, hold, commands: [{ args, input?, serve? }] }; a command that serves is shown a visitor, held for
 * `hold` milliseconds and interrupted.
 */
import { execFileSync, spawn } from "node:child_process";
import dgram from "node:dgram";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const { cwd, env, hold = 0, commands, resolv } = JSON.parse(process.argv[2]);
const ip = (...words) => execFileSync("ip", words);

try {
  writeFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
} catch {
  // A system without IPv6.
}
ip("link", "set", "lo", "up");
ip("link", "add", "out", "type", "veth", "peer", "name", "nowhere");
ip("addr", "add", "192.0.2.1/24", "dev", "out");
ip("link", "set", "out", "up");
ip("link", "set", "nowhere", "up");
ip("route", "add", "default", "via", "192.0.2.9", "dev", "out");
// Without a known neighbour, nothing but a question for it would be sent.
ip("neigh", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:01", "dev", "out");
writeFileSync(resolv, "nameserver 127.0.0.1\n");
execFileSync("mount", ["--bind", resolv, "/etc/resolv.conf"]);

const names = [];
const server = dgram.createSocket("udp4");
server.on("message", (question, { port, address }) => {
  let end = 12;
  const labels = [];
  for (; question[end] > 0; end += question[end] + 1)
    labels.push(question.toString("latin1", end + 1, end + 1 + question[end]));
  names.push(labels.join("."));
  const reply = Buffer.from(question.subarray(0, end + 5));
  reply.set([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], 2);
  // One A record, a minute, 198.51.100.9; for an AAAA question no answer.
  const isA = question[end + 2] === 1;
  if (!isA) reply[7] = 0;
  const record = Buffer.from(isA ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 9] : []);
  server.send(Buffer.concat([reply, record]), port, address);
});
await new Promise((resolve) => server.bind(53, "127.0.0.1", resolve));

/** Bytes sent into the cable so far. */
function sent() {
  const line = readFileSync("/proc/net/dev", "utf8")
    .split("\n")
    .find((text) => text.trim().startsWith("out:"));
  return Number(line.split(":")[1].trim().split(/\s+/)[8]);
}

async function run({ args, input = "", serve = false }) {
  const child = spawn(process.execPath, args, { cwd, env });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
  child.stdin.on("error", () => {});
  const ended = new Promise((resolve) => child.on("close", (code) => resolve(code)));
  if (!serve) {
    child.stdin.write(input);
    // A telemetry upload waits for some seconds of life.
    if (hold > 0) await Promise.race([sleep(hold), ended]);
    child.stdin.end();
  } else {
    const shown = () => /http:\/\/\S+/.exec(output)?.[0];
    while (shown() === undefined && child.exitCode === null) await sleep(20);
    const { origin, search } = new URL(shown());
    const page = await (await fetch(`${origin}/${search}`)).text();
    const assets = [...page.matchAll(/(?:src|href)="(\/[^"]*)"/g)].map(([, path]) => path);
    for (const path of assets) await (await fetch(`${origin}${path}`)).arrayBuffer();
    const answer = await fetch(`${origin}/api/chat${search}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ problem: input }),
    });
    output += await answer.text();
    await sleep(hold);
    child.kill("SIGINT");
  }
  // One that tries to send its last words must not hold everything up.
  const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
  const code = await ended;
  clearTimeout(timer);
  return { args, code, output };
}

const before = sent();
const results = [];
for (const command of commands) results.push(await run(command));
console.log(JSON.stringify({ bytes: sent() - before, names, results }));
process.exit();
