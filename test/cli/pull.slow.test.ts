/** `sputnik pull` as a person runs it, against a Hub on this machine. */
import fs from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { type MetadataValue, text, texts } from "../../src/checkpoint/gguf/values.ts";
import { writeGguf } from "../../src/checkpoint/gguf/write.ts";
import { COMMIT, FakeHub, NAME } from "../checkpoint/fake-hub.ts";
import { launch, sputnik, temporaryFolder, until } from "./command.ts";

vi.setConfig({ testTimeout: 240_000 });

const fixture = new URL("../fixtures/golden-folder/", import.meta.url);
const hub = new FakeHub(
  Object.fromEntries(fs.readdirSync(fixture).map((name) => [name, fs.readFileSync(new URL(name, fixture))])),
);
beforeAll(() => hub.start());
afterAll(() => hub.stop());

let cwd: string;
beforeEach(() => {
  cwd = temporaryFolder();
  hub.faults.clear();
  hub.gated = null;
});
const run = (args: string[], env: Record<string, string> = {}) =>
  sputnik(["pull", ...args], {
    cwd,
    env: { HF_ENDPOINT: hub.endpoint, HF_TOKEN: "", SPUTNIK_CACHE: join(cwd, "cache"), ...env },
  });

const NEEDED = [
  "chat_template.jinja",
  "config.json",
  "generation_config.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
  "model.safetensors.index.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

test("into the cache, a line a file, and the second time nothing to do", async () => {
  const folder = join(cwd, "cache", "models", "org--tiny-model", COMMIT.slice(0, 12));
  const first = await run([NAME]);
  expect(first.code, first.stderr).toBe(0);
  expect(first.stdout).toMatch(
    new RegExp(
      `^${folder}: 8 files, 99\\.\\d KiB, .* s; checksums agree\\.\nIts name finds it: .*chat ${NAME}\n$`,
    ),
  );
  expect(first.stderr).toContain("model-00001-of-00002.safetensors  49.6 KiB of 49.6 KiB");
  expect(fs.readdirSync(folder).sort()).toEqual(NEEDED);
  for (const name of NEEDED)
    expect(fs.readFileSync(join(folder, name)).equals(fs.readFileSync(new URL(name, fixture)))).toBe(true);
  expect((await run([NAME])).stdout).toContain("all there already");
});

test("its name is then enough for other commands", async () => {
  const env = { SPUTNIK_CACHE: join(cwd, "cache") };
  const absent = await sputnik(["complete", NAME], { cwd, env, input: "3 + 4" });
  expect([absent.code, absent.stderr]).toEqual([1, expect.stringContaining(`sputnik pull ${NAME}`)]);
  expect((await run([NAME])).code).toBe(0);
  const there = await sputnik(["complete", NAME, "--max-tokens", "3", "--json"], {
    cwd,
    env,
    input: "3 + 4",
  });
  expect(there.code, there.stderr).toBe(0);
  expect(JSON.parse(there.stdout)).toMatchObject({ tokens: 3 });
  const out = await sputnik(["export", NAME, "out"], { cwd, env });
  expect(out.stdout).toMatch(/^out: [\d,]+ parameters, .* KiB\.\n$/);
  expect(fs.readFileSync(join(cwd, "out", "README.md"), "utf8")).toContain(`base_model: ${NAME}`);
});

test("for a program: one JSON document, of a result and of an error", async () => {
  const { stdout, stderr, code } = await run([NAME, "--to", "here", "--revision", COMMIT, "--json"]);
  expect(code, stderr).toBe(0);
  expect(stderr).toBe("");
  const document = JSON.parse(stdout);
  expect(document).toMatchObject({ model: NAME, commit: COMMIT, folder: "here" });
  expect(document.files.map(({ path }: { path: string }) => path).sort()).toEqual(NEEDED);
  const missing = await run(["org/none", "--json"]);
  expect(missing.code).toBe(1);
  expect(JSON.parse(missing.stdout)).toMatchObject({ error: { kind: "hub" } });
});

test("killed in the middle of a file, it goes on from there", async () => {
  const shard = "model-00001-of-00002.safetensors";
  hub.faults.set(shard, [{ kind: "silence", after: 20_000 }]);
  const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: "" };
  const { child, ended } = launch(["pull", NAME, "--to", "here"], { cwd, env });
  const partial = () =>
    fs.existsSync(join(cwd, "here")) &&
    fs.readdirSync(join(cwd, "here")).find((name) => name.endsWith(".part"));
  await until(() => {
    const name = partial();
    return (
      typeof name === "string" &&
      name.startsWith(shard) &&
      fs.statSync(join(cwd, "here", name)).size === 20_000
    );
  });
  child.kill("SIGKILL");
  await ended;
  const again = await run([NAME, "--to", "here"]);
  expect(again.code, again.stderr).toBe(0);
  expect(hub.stored.filter(({ path }) => path.includes(shard)).at(-1)!.range).toBe("bytes=20000-");
  expect(fs.readdirSync(join(cwd, "here")).sort()).toEqual(NEEDED);
});

test("a gated model, one screen: how to log in", async () => {
  hub.gated = "hf_secret";
  const { code, stderr } = await run([NAME]);
  expect(code).toBe(1);
  expect(stderr).toContain("org/tiny-model is gated");
  expect(stderr).toContain("what to do  Accept their terms on");
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect((await run([NAME], { HF_TOKEN: "hf_secret" })).code).toBe(0);
});

test("shards by other names than usual are fetched, since the index names them, and open", async () => {
  const index = "model.safetensors.index.json";
  const read = (name: string) => fs.readFileSync(new URL(name, fixture));
  const odd = (name: string) => name.replace("model-", "model.safetensors-");
  const other = new FakeHub(
    Object.fromEntries(
      fs
        .readdirSync(fixture)
        .map((name) => [
          name.endsWith(".safetensors") ? odd(name) : name,
          name === index ? read(name).toString().replaceAll("model-0", "model.safetensors-0") : read(name),
        ]),
    ),
  );
  await other.start();
  try {
    const env = { HF_ENDPOINT: other.endpoint, SPUTNIK_CACHE: join(cwd, "cache") };
    const pulled = await run([NAME, "--to", "here"], env);
    expect(pulled.code, pulled.stderr).toBe(0);
    expect(pulled.stdout).toContain("here: 8 files");
    expect(fs.readdirSync(join(cwd, "here")).sort()).toEqual(NEEDED.map(odd).sort());
    const said = await sputnik(["complete", "here", "--max-tokens", "1", "--json"], { cwd, env, input: "3" });
    expect(said.code, said.stderr).toBe(0);
  } finally {
    await other.stop();
  }
});

test("what is not read is refused before its weights come; sizes alone are named as that", async () => {
  const other = new FakeHub({
    "config.json": '{"model_type": "gemma3"}',
    "tokenizer.json": "{}",
    "model.safetensors": Buffer.alloc(5000),
  });
  await other.start();
  try {
    const refused = await run([NAME, "--to", "here"], { HF_ENDPOINT: other.endpoint });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /org\/tiny-model is not read here: model model_type: expected "llama" .* found "gemma3"/,
    );
    expect(fs.readdirSync(join(cwd, "here"))).toEqual(["config.json"]);
    other.unsummed = true;
    const unsure = await run([NAME, "--file", "x.gguf"], { HF_ENDPOINT: other.endpoint });
    expect(unsure.stderr).toContain('has no GGUF file "x.gguf"');
  } finally {
    await other.stop();
  }
  const gguf = join(cwd, "m.gguf");
  const metadata: [string, MetadataValue][] = [
    ["general.architecture", text("gemma3")],
    // The rest lies behind what is looked at.
    ["tokenizer.ggml.tokens", texts(Array.from({ length: 20_000 }, (_, i) => `word ${i}`))],
  ];
  writeGguf(gguf, new Map(metadata), []);
  const quantised = new FakeHub({ "m-Q8_0.gguf": fs.readFileSync(gguf) });
  await quantised.start();
  try {
    const refused = await run([NAME, "--to", "there"], { HF_ENDPOINT: quantised.endpoint });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /org\/tiny-model is not read here: m-Q8_0.gguf, key general.architecture: expected one of llama, .* found "gemma3"/,
    );
    expect(fs.existsSync(join(cwd, "there"))).toBe(false);
    expect(quantised.stored.map(({ range }) => range)).toEqual(["bytes=0-65535"]);
  } finally {
    await quantised.stop();
  }
  hub.unsummed = true;
  const named = await run([NAME, "--to", "sizes", "--unchecked"]);
  hub.unsummed = false;
  expect(named.code, named.stderr).toBe(0);
  expect(named.stdout).toMatch(/; size only, without a checksum: .*model-00001-of-00002.safetensors/);
  expect(named.stdout).not.toContain("checksums agree");
});
