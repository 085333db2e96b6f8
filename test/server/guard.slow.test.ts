/** X17, X15, D11: who may use the page's server, and how much of the machine it takes. */
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, test } from "vitest";
import { TINY_RUN } from "../../bench/trust-leaks.ts";
import { createApp, MOST_READERS } from "../../src/server/app.ts";
import { RunBus } from "../../src/server/bus.ts";
import { type RunningServer, type ServeOptions, startServer } from "../../src/server/serve.ts";
import { isSharedMachine } from "../../src/server/shared.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { until } from "../cli/command.ts";
import { ScriptedChat } from "./replay.ts";

const options = { events: new RunBus(), chat: new ScriptedChat(), staticDir: "/nowhere" };
const running: RunningServer[] = [];
async function serve(more: Partial<ServeOptions> = {}): Promise<RunningServer> {
  const server = await startServer({ ...options, port: 0, ...more });
  running.push(server);
  return server;
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
});

/** Any header, `Host` included, which `fetch` forbids. */
function get(port: number, path: string, headers: Record<string, string> = {}, method = "GET") {
  return new Promise<{ status: number; headers: http.IncomingHttpHeaders; text: string }>(
    (resolve, reject) => {
      const request = http.request({ host: "127.0.0.1", port, path, headers, method }, (response) => {
        let text = "";
        response.on("data", (data) => {
          text += data;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      });
      request.on("error", reject);
      request.end();
    },
  );
}

describe("what another site makes a browser send", () => {
  const { request } = createApp(options);
  const ask = async (path: string, headers: Record<string, string>): Promise<number> =>
    (await request(`http://localhost:4848${path}`, { headers })).status;

  it.each(["cross-site", "same-site"])("without Origin, %s: refused", async (site) => {
    for (const path of ["/events", "/api/state", "/api/models", "/", "/assets/x.js"])
      expect(await ask(path, { "sec-fetch-site": site, "sec-fetch-mode": "no-cors" }), path).toBe(403);
  });

  it("a link to the page is followed, a frame or a link to its data is not", async () => {
    const followed = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
    expect(await ask("/", { ...followed, "sec-fetch-dest": "document" })).not.toBe(403);
    expect(await ask("/", { ...followed, "sec-fetch-dest": "iframe" })).toBe(403);
    expect(await ask("/api/state", { ...followed, "sec-fetch-dest": "document" })).toBe(403);
  });

  it("the page itself, an address that was typed, and programs may", async () => {
    expect(await ask("/api/state", { "sec-fetch-site": "same-origin" })).toBe(200);
    expect(await ask("/api/state", { "sec-fetch-site": "none" })).toBe(200);
    expect(await ask("/api/state", {})).toBe(200);
  });
});

describe("a token", () => {
  const token = "0123456789abcdef";

  it("opens the page from the address that is printed, and stays in a cookie of this port", async () => {
    const server = await serve({ token });
    expect(server.url).toBe(`http://localhost:${server.port}/?token=${token}`);
    const { port } = server;
    const first = await get(port, `/?token=${token}`);
    expect([first.status, first.headers.location]).toEqual([302, "/"]);
    const [cookie] = first.headers["set-cookie"] as string[];
    expect(cookie).toMatch(new RegExp(`^sputnik-${port}=${token}; .*HttpOnly; SameSite=Strict$`));
    const sent = { cookie: cookie.split(";")[0] };
    expect((await get(port, "/api/state", sent)).status).toBe(200);
    expect((await get(port, "/api/state", { cookie: `sputnik-${port + 1}=${token}` })).status).toBe(401);
  });

  it("is wanted from everybody, for everything", async () => {
    const { port } = await serve({ token });
    for (const path of ["/", "/events", "/api/state", "/api/models", "/assets/x.js", "/nowhere"]) {
      const { status, text } = await get(port, path);
      expect([status, JSON.parse(text).remedy], path).toEqual([401, expect.stringMatching(/whole address/)]);
      expect((await get(port, `${path}?token=${token.slice(1)}`)).status, path).toBe(401);
    }
    expect((await get(port, "/api/chat", {}, "POST")).status).toBe(401);
    expect((await get(port, "/api/state", { authorization: `Bearer ${token}` })).status).toBe(200);
    expect((await get(port, `/api/state?token=${token}`)).status).toBe(200);
  });

  it("is made beyond this machine, and is not asked for on it", async () => {
    expect((await serve({ host: "0.0.0.0" })).url).toMatch(/\?token=[0-9a-f]{32}$/);
    for (const host of ["127.0.0.1", "localhost"]) expect((await serve({ host })).url).not.toContain("token");
  });
});

describe("a machine is shared", () => {
  const PASSWD =
    "root:x:0:0::/root:/bin/bash\nme:x:1000:1000::/home/me:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n";
  function machine(passwd: string, files: string[] = []): string {
    const root = `${temporaryFolder()}/`;
    for (const folder of ["etc", "proc/1", "home/me", "home/ann"])
      fs.mkdirSync(join(root, folder), { recursive: true });
    fs.writeFileSync(join(root, "etc", "passwd"), passwd);
    for (const file of files) fs.writeFileSync(join(root, file), "");
    return root;
  }
  const linux = it.runIf(process.platform === "linux");

  linux("where another person has an account with a home and a shell", () => {
    const line = "ann:x:1001:1001::/home/ann:/bin/zsh\n";
    expect(isSharedMachine(1000, machine(PASSWD))).toBe(false);
    expect(isSharedMachine(1000, machine(PASSWD + line))).toBe(true);
    expect(isSharedMachine(1000, machine(PASSWD + line.replace("/bin/zsh", "/usr/sbin/nologin")))).toBe(
      false,
    );
    expect(isSharedMachine(1000, machine(PASSWD + line.replaceAll("home/ann", "home/gone")))).toBe(false);
    // An image's account.
    expect(isSharedMachine(0, machine(PASSWD + line, [".dockerenv"]))).toBe(false);
  });

  it.runIf(process.platform === "linux" && process.getuid?.() === 0)(
    "where another person's process runs",
    () => {
      const root = machine(PASSWD, [".dockerenv"]);
      fs.mkdirSync(join(root, "proc", "77"));
      fs.chownSync(join(root, "proc", "77"), 1234, 1234);
      expect(isSharedMachine(1000, root)).toBe(true);
      expect(isSharedMachine(1234, root)).toBe(false);
    },
  );
});

test("D11: behind a proxy, the refusal names the port that the server has", async () => {
  const { port } = await serve();
  const { status, text } = await get(port, "/", { host: "lab.example" });
  expect([status, JSON.parse(text).remedy]).toEqual([403, `Open http://127.0.0.1:${port}/`]);
});

test("X15: more pages than fit are told so, and there is room again when one is closed", async () => {
  const { port } = await serve();
  const open = (): Promise<http.ClientRequest & { status: number }> =>
    new Promise((resolve, reject) => {
      const request = http.get({ host: "127.0.0.1", port, path: "/events", agent: false }, ({ statusCode }) =>
        resolve(Object.assign(request, { status: statusCode ?? 0 })),
      );
      request.on("error", reject);
    });
  const pages = await Promise.all(Array.from({ length: MOST_READERS }, open));
  expect(new Set(pages.map(({ status }) => status))).toEqual(new Set([200]));
  expect(JSON.parse((await get(port, "/events")).text).message).toBe(
    "32 pages of this server are open already.",
  );
  pages[0].destroy();
  const last: http.ClientRequest[] = [];
  await until(() => {
    void open().then(
      (page) => (page.status === 200 ? last.push(page) : page.destroy()),
      () => {},
    );
    return last.length > 0;
  }, 50);
  for (const page of [...pages, ...last]) page.on("error", () => {}).destroy();
});

test.runIf(process.platform === "linux")(
  "X15: 200 open streams with few file descriptors do not end a run",
  async () => {
    const cwd = temporaryFolder();
    fs.writeFileSync(join(cwd, "tiny.yaml"), TINY_RUN.replace("everySteps: 10", "everySteps: 3"));
    const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
    const child = spawn(
      "bash",
      ["-c", `ulimit -n 160; exec "${process.execPath}" "${main}" train tiny.yaml --serve --port 0`],
      { cwd },
    );
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data) => {
        output += data;
      });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    await until(() => /http:\/\/localhost:\d+/.test(output));
    const port = Number(/localhost:(\d+)/.exec(output)?.[1]);
    const token = /token=\w+/.exec(output)?.[0] ?? "";
    const streams = Array.from({ length: 200 }, () => {
      const request = http.get(
        { host: "127.0.0.1", port, path: `/events?${token}`, agent: false },
        (response) => {
          response.on("error", () => {}).resume();
        },
      );
      return request.on("error", () => {});
    });
    expect([await ended, output]).toEqual([0, expect.not.stringMatching(/EMFILE|error/)]);
    for (const stream of streams) stream.destroy();
  },
);
