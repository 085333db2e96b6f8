/** Downloads from a real server on this machine that redirects, breaks off, and lies. */
import fs from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  checksum,
  type DownloadOptions,
  downloadFiles,
  type Progress,
} from "../../src/checkpoint/download.ts";
import { type HubFile, hubFromEnvironment, insecure, listModel } from "../../src/checkpoint/hub.ts";
import { neededFiles } from "../../src/checkpoint/hub-files.ts";
import { isUserError, UserError } from "../../src/lib/errors.ts";
import { COMMIT, FakeHub, gitSum, NAME, sha256 } from "./fake-hub.ts";
import { temporaryFolder } from "./temporary.ts";

const WEIGHTS = "model.safetensors";
const weights = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7919) >> 3));
const hub = new FakeHub({
  ".gitattributes": "x",
  "README.md": "hello",
  "config.json": '{"a": 1}',
  "tokenizer.json": "{}",
  [WEIGHTS]: weights,
  "pytorch_model.bin": Buffer.alloc(5000),
});
beforeAll(() => hub.start());
afterAll(() => hub.stop());
afterEach(() => vi.restoreAllMocks());

let folder: string;
const root = temporaryFolder();
beforeEach(() => {
  folder = fs.mkdtempSync(join(root, "to-"));
  hub.requests.length = 0;
  hub.stored.length = 0;
  hub.faults.clear();
  hub.gated = null;
  hub.bare = false;
  hub.silent = false;
  hub.sum = null;
  hub.unsummed = false;
  hub.compresses = false;
  hub.lengthless = false;
});

async function pull(options: DownloadOptions = {}) {
  const all = { endpoint: hub.endpoint, pauseMs: 1, ...options };
  const model = await listModel(NAME, "main", all);
  return downloadFiles(folder, model, neededFiles(model), all);
}
/** What the error says: what went wrong, and the remedy apart. */
const failing = async (options: DownloadOptions = {}): Promise<{ message: string; remedy: string }> => {
  const error: unknown = await pull(options).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  const { message, remedy } = error as UserError & { remedy: string };
  expect(message.endsWith(` ${remedy}`)).toBe(true);
  return { message: message.slice(0, -remedy.length - 1), remedy };
};
const partials = () => fs.readdirSync(folder).filter((name) => name.endsWith(".part"));
const ranges = () => hub.stored.map(({ range }) => range);

describe("a download", () => {
  it("brings the needed files alone, from one commit, and reports progress", async () => {
    const seen: Progress[] = [];
    const files = await pull({ onProgress: (progress) => seen.push(progress) });
    expect(fs.readdirSync(folder).sort()).toEqual(["config.json", WEIGHTS, "tokenizer.json"]);
    expect(fs.readFileSync(join(folder, WEIGHTS)).equals(weights)).toBe(true);
    expect(files.map(({ path, bytes, kept }) => [path, bytes, kept])).toEqual([
      ["config.json", 8, false],
      ["tokenizer.json", 2, false],
      [WEIGHTS, 200_000, false],
    ]);
    expect(hub.requests.slice(1).every(({ path }) => path.startsWith(`/${NAME}/resolve/${COMMIT}/`))).toBe(
      true,
    );
    expect(seen.at(-1)).toEqual({
      file: WEIGHTS,
      bytes: 200_000,
      total: 200_000,
      allBytes: 200_010,
      allTotal: 200_010,
    });
    expect(seen.map(({ allBytes }) => allBytes)).toEqual(
      seen.map(({ allBytes }) => allBytes).sort((a, b) => a - b),
    );
  });

  it("does not fetch again what is there", async () => {
    await pull();
    hub.requests.length = 0;
    const files = await pull();
    expect(files.every(({ kept }) => kept)).toBe(true);
    expect(hub.requests).toHaveLength(1);
  });

  it("gives the token to the Hub, and not to the storage that it redirects to", async () => {
    hub.gated = "hf_secret";
    await pull({ token: "hf_secret" });
    expect(hub.requests.every(({ authorization }) => authorization === "Bearer hf_secret")).toBe(true);
    expect(hub.stored).toHaveLength(1);
    expect(hub.stored[0]!.authorization).toBeUndefined();
  });

  it("gives no token to another host, even where the Hub sends a question about a file there", async () => {
    hub.bare = true;
    hub.silent = true;
    await pull({ token: "hf_secret" });
    expect(hub.stored.filter(({ method }) => method === "HEAD")).toHaveLength(1);
    expect(hub.stored.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
  });

  it("goes into the folders of its name, and never out of its own folder", async () => {
    const file = (path: string): HubFile => ({ path, bytes: 8, sum: null });
    const fetching = (path: string) =>
      downloadFiles(join(folder, "in"), { name: NAME, commit: COMMIT, files: [] }, [file(path)], {
        endpoint: hub.endpoint,
      });
    for (const path of [
      "../x.gguf",
      "/x.gguf",
      "a/../../x.gguf",
      "a//x.gguf",
      "./x.gguf",
      "a\\x.gguf",
      "C:x",
      "x\n.gguf",
      "\u001b[2Jx.gguf",
    ])
      await expect(fetching(path), path).rejects.toThrow(/names a file outside the model's folder/);
    expect(fs.readdirSync(folder)).toEqual([]);
    expect(hub.requests).toEqual([]);
    await fetching("deep/er/config.json");
    expect(fs.readFileSync(join(folder, "in/deep/er/config.json"), "utf8")).toBe('{"a": 1}');
  });

  it("believes no checksum that would be a path", async () => {
    hub.sum = "../../../../x";
    expect((await failing()).message).toMatch(/something else than a list of files/);
  });

  it("takes sizes and checksums from headers where the listing has none", async () => {
    hub.bare = true;
    const files = await pull();
    expect(files.map(({ bytes, sum }) => [bytes, sum])).toEqual([
      [8, { kind: "git", hex: gitSum(Buffer.from('{"a": 1}')) }],
      [2, { kind: "git", hex: gitSum(Buffer.from("{}")) }],
      [200_000, { kind: "sha256", hex: sha256(weights) }],
    ]);
  });

  it("asks for files as they are: a mirror that compresses changes no length", async () => {
    hub.bare = true;
    hub.compresses = true;
    const files = await pull();
    expect(files.map(({ bytes }) => bytes)).toEqual([8, 2, 200_000]);
    expect(fs.readFileSync(join(folder, WEIGHTS)).equals(weights)).toBe(true);
    expect(new Set([...hub.requests, ...hub.stored].map(({ encoding }) => encoding))).toEqual(
      new Set(["identity"]),
    );
  });

  it("asks for a file's first byte where HEAD says no length", async () => {
    hub.bare = true;
    hub.lengthless = true;
    hub.silent = true;
    const files = await pull({ unchecked: true });
    expect(files.map(({ bytes }) => bytes)).toEqual([8, 2, 200_000]);
  });

  it("brings weights without a checksum only where that was asked for", async () => {
    hub.unsummed = true;
    const error = await failing();
    expect(error.message).toBe(
      `The server names no checksum for "${WEIGHTS}": what arrives could not be compared.`,
    );
    expect(error.remedy).toContain("--unchecked");
    expect(fs.readdirSync(folder)).toEqual([]);
    const files = await pull({ unchecked: true });
    expect(files.map(({ sum }) => sum)).toEqual([null, null, null]);
    expect(fs.readFileSync(join(folder, WEIGHTS)).equals(weights)).toBe(true);
  });

  it("computes git's checksum as git does", async () => {
    const file = join(folder, "x");
    fs.writeFileSync(file, "hello\n");
    // `printf 'hello\n' | git hash-object --stdin`
    expect(await checksum(file, "git")).toBe("ce013625030ba8dba906f756967f9e9ca394464a");
    expect(await checksum(file, "sha256")).toBe(
      "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    );
  });
});

describe("an interruption", () => {
  it("is continued within the same call, each time from the last byte", async () => {
    hub.faults.set(WEIGHTS, [
      { kind: "cut", after: 50_000 },
      { kind: "cut", after: 30_000 },
      { kind: "status", status: 503 },
    ]);
    await pull();
    expect(fs.readFileSync(join(folder, WEIGHTS)).equals(weights)).toBe(true);
    expect(partials()).toEqual([]);
    const starts = ranges().map((range) => Number(/\d+/.exec(range ?? "0")![0]));
    expect(starts).toHaveLength(4);
    expect(starts[0]).toBe(0);
    expect(starts[1]).toBeGreaterThan(0);
    expect(starts[2]).toBeGreaterThan(starts[1]!);
    expect(starts[3]).toBe(starts[2]);
  });

  it("leaves a partial file that the next call continues", async () => {
    hub.faults.set(WEIGHTS, [{ kind: "cut", after: 120_000 }]);
    const error = await failing({ tries: 1 });
    expect(error.message).toMatch(/^No answer from 127.0.0.1:\d+ \(/);
    expect(error.remedy).toContain("the same command continues from there");
    const [partial] = partials();
    const size = fs.statSync(join(folder, partial!)).size;
    expect(size).toBeGreaterThan(0);
    await pull();
    expect(ranges().at(-1)).toBe(`bytes=${size}-`);
    expect(fs.readFileSync(join(folder, WEIGHTS)).equals(weights)).toBe(true);
  });

  it("by silence counts as one", async () => {
    hub.faults.set(WEIGHTS, [{ kind: "silence", after: 1000 }]);
    await pull({ silenceMs: 200 });
    expect(ranges()).toEqual([undefined, "bytes=1000-"]);
  });

  it("begins again where the server knows no ranges", async () => {
    hub.faults.set(WEIGHTS, [{ kind: "cut", after: 50_000 }, { kind: "no ranges" }]);
    await pull();
    expect(fs.readFileSync(join(folder, WEIGHTS)).equals(weights)).toBe(true);
  });

  it("does not continue bytes of another version, nor a partial file that is too long", async () => {
    fs.writeFileSync(join(folder, `${WEIGHTS}.ffffffffffff.part`), "other");
    fs.writeFileSync(join(folder, `${WEIGHTS}.${sha256(weights).slice(0, 12)}.part`), Buffer.alloc(300_000));
    await pull();
    expect(ranges()).toEqual([undefined]);
  });
});

describe("what goes wrong, in words", () => {
  it("another checksum: the file is removed, and the next call brings the right one", async () => {
    hub.faults.set(WEIGHTS, [{ kind: "other bytes" }]);
    const error = await failing();
    expect(error.message).toBe(
      `${WEIGHTS} arrived with another checksum than the Hub's ${sha256(weights)}; it was removed.`,
    );
    expect(error.remedy).toMatch(/^Run the command again/);
    expect(fs.readdirSync(folder).sort()).toEqual(["config.json", "tokenizer.json"]);
    await pull();
    expect(fs.readFileSync(join(folder, WEIGHTS)).equals(weights)).toBe(true);
  });

  it("a damaged partial file is caught by the same checksum", async () => {
    fs.writeFileSync(join(folder, `${WEIGHTS}.${sha256(weights).slice(0, 12)}.part`), Buffer.alloc(1000, 9));
    expect((await failing()).message).toContain("another checksum");
    expect(partials()).toEqual([]);
  });

  it("a small file's git checksum counts too", async () => {
    hub.faults.set("config.json", [{ kind: "other bytes" }]);
    expect((await failing()).message).toContain(
      `another checksum than the Hub's ${gitSum(Buffer.from('{"a": 1}'))}`,
    );
  });

  it("no such model, no such revision, no name", async () => {
    const options = { endpoint: hub.endpoint };
    await expect(listModel("org/none", "main", options)).rejects.toThrow(
      /^There is no model org\/none on 127/,
    );
    await expect(listModel(NAME, "v9", options)).rejects.toThrow('org/tiny-model has no revision "v9".');
    for (const name of ["../etc", "a/b/c", "a b", "/x", "..", "https://x/y"])
      await expect(listModel(name, "main", options)).rejects.toThrow("is no name of a model");
  });

  it("a gated model: where to accept the terms, and how to log in", async () => {
    hub.gated = "hf_secret";
    const error = await failing();
    expect(error.message).toBe(`${NAME} is gated: its authors want to know who downloads it.`);
    expect(error.remedy).toContain(`Accept their terms on ${hub.endpoint}/${NAME}`);
    expect(error.remedy).toContain(`HF_TOKEN=hf_... sputnik pull ${NAME}`);
    expect((await failing({ token: "wrong" })).remedy).toContain("with the account of your HF_TOKEN");
  });

  it.each(["hf-mirror.com", "https://", "file:///etc", "nonsense:1"])("HF_ENDPOINT=%s", async (endpoint) => {
    await expect(listModel(NAME, "main", { endpoint })).rejects.toThrow(
      `HF_ENDPOINT is no address: "${endpoint}".`,
    );
  });

  it.each<[string, string]>([
    ["https://user:secret@hub.example", "before or after hub.example"],
    ["http://secret@hub.example/x", "before or after hub.example"],
    ["https://hub.example/?token=secret", "before or after hub.example"],
    ["user:secret@hub.example", 'HF_ENDPOINT is no address: "…@hub.example"'],
    ["https://user:secret@", 'HF_ENDPOINT is no address: "…@"'],
  ])("HF_ENDPOINT=%s: refused without the secret in the words", async (endpoint, message) => {
    const error: unknown = await listModel(NAME, "main", { endpoint }).catch((caught: unknown) => caught);
    expect(isUserError(error, "hub")).toBe(true);
    expect(String(error)).toContain(message);
    expect(String(error)).not.toContain("secret");
    expect(() => hubFromEnvironment({ HF_ENDPOINT: endpoint })).toThrow(message);
  });

  it("a token is one word: line ends around it go, others are named without it", () => {
    expect(hubFromEnvironment({ HF_TOKEN: " hf_abc\r\n" }).token).toBe("hf_abc");
    expect(hubFromEnvironment({ HF_TOKEN: "\n" }).token).toBeUndefined();
    for (const token of ["hf_sec\nret", "hf_sec ret", "hf_secré", "hf_sec\u200b"]) {
      let error: unknown;
      try {
        hubFromEnvironment({ HF_TOKEN: token });
      } catch (caught) {
        error = caught;
      }
      expect(String(error)).toMatch(/^UserError: HF_TOKEN has a blank, a line end or another character/);
      expect(String(error)).not.toContain("sec");
    }
  });

  it("plain http is named, but not on this machine", () => {
    expect(insecure({})).toBeNull();
    expect(insecure({ endpoint: "http://127.0.0.1:8080" })).toBeNull();
    expect(insecure({ endpoint: "http://localhost" })).toBeNull();
    expect(insecure({ endpoint: "http://hub.example:80/x" })).toBe(
      "HF_ENDPOINT is plain http: whoever is between here and hub.example can read and change what is fetched.",
    );
    expect(insecure({ endpoint: "http://127.0.0.1.example", token: "hf_secret" })).toMatch(
      /HF_TOKEN goes there too\.$/,
    );
  });

  it("no network", async () => {
    await expect(listModel(NAME, "main", { endpoint: "http://127.0.0.1:9" })).rejects.toThrow(
      /^No answer from 127.0.0.1:9 \(/,
    );
    await expect(listModel(NAME, "main", { endpoint: "http://no-such-host.invalid" })).rejects.toMatchObject({
      message: expect.stringMatching(/^No answer from no-such-host.invalid \(E/),
      remedy: expect.stringContaining("HF_ENDPOINT"),
    });
  });

  it("a disk without room, before anything is fetched; one that fills up keeps the partial file", async () => {
    const little = vi.spyOn(fs, "statfsSync").mockReturnValue({ bavail: 1, bsize: 4096 } as fs.StatsFs);
    expect((await failing()).message).toContain("needs 0.0 GB more space");
    little.mockRestore();
    expect(hub.stored).toEqual([]);
    let left = 100_000;
    const write = fs.writeSync.bind(fs) as (...args: unknown[]) => number;
    const filling = vi.spyOn(fs, "writeSync").mockImplementation(((...args: unknown[]) => {
      if (left <= 0) throw Object.assign(new Error("full"), { code: "ENOSPC" });
      left -= Number(args[3]);
      return write(...args);
    }) as typeof fs.writeSync);
    const error = await failing();
    filling.mockRestore();
    expect(error.message).toMatch(/^The disk is full: .*part could not be written\./);
    expect(partials()).toHaveLength(1);
    await pull();
    expect(ranges().at(-1)).toMatch(/^bytes=[1-9]/);
  });

  it("a person's own file of other content is not replaced, one in the cache is", async () => {
    fs.writeFileSync(join(folder, "config.json"), '{"a": 2}');
    expect((await failing()).message).toBe(
      `${join(folder, "config.json")} is already there, with other content.`,
    );
    await pull({ replace: true });
    expect(fs.readFileSync(join(folder, "config.json"), "utf8")).toBe('{"a": 1}');
  });
});

describe("which files", () => {
  const model = (...paths: string[]) => ({
    name: "org/m",
    commit: COMMIT,
    files: paths.map((path): HubFile => ({ path, bytes: 1, sum: null })),
  });
  const names = (...paths: string[]) => neededFiles(model(...paths)).map(({ path }) => path);

  it("shards with their index, never other formats or folders", () => {
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const index = "model.safetensors.index.json";
    expect(
      names(
        "config.json",
        "original/model.safetensors",
        "consolidated.safetensors",
        ...shards,
        index,
        "x-Q8_0.gguf",
      ),
    ).toEqual(["config.json", index, ...shards]);
    expect(names("model.safetensors", ...shards, index)).toEqual(["model.safetensors"]);
    // As in DeepSeek-R1.
    const six = ["model-00001-of-000163.safetensors", "model-00163-of-000163.safetensors"];
    expect(names("config.json", index, ...six)).toEqual(["config.json", index, ...six]);
  });

  it("one GGUF, the most exact that is not needlessly large, or the named one", () => {
    const ggufs = ["m-Q4_K_M.gguf", "m-F32.gguf", "m.q8_0.gguf", "m-IQ2.gguf"];
    expect(names("config.json", ...ggufs)).toEqual(["m.q8_0.gguf"]);
    expect(names("m-IQ2.gguf", "m-F32.gguf")).toEqual(["m-F32.gguf"]);
    expect(neededFiles(model(...ggufs), "m-IQ2.gguf").map(({ path }) => path)).toEqual(["m-IQ2.gguf"]);
    expect(() => neededFiles(model(...ggufs), "x.gguf")).toThrow(/no GGUF file "x.gguf"/);
  });

  it("the files that the index names, whatever they are called", () => {
    const shards = ["model.safetensors-00001-of-00002.safetensors", "part two.safetensors"];
    const index = "model.safetensors.index.json";
    const all = model("config.json", index, ...shards, "model-00001-of-00009.safetensors");
    const weight_map = { a: shards[0], b: shards[1], c: shards[0] };
    expect(neededFiles(all, undefined, { weight_map }).map(({ path }) => path)).toEqual([
      "config.json",
      index,
      ...shards,
    ]);
    const gone = { weight_map: { ...weight_map, d: "model-00003-of-00003.safetensors" } };
    expect(() => neededFiles(all, undefined, gone)).toThrow(
      /lacks 1 of the 3 files that its index names: model-00003-of-00003.safetensors/,
    );
    const tools = "additional_chat_templates/tool_use.jinja";
    const talking = model("config.json", "model.safetensors", "chat_template.jinja", tools);
    expect(neededFiles(talking).map(({ path }) => path)).toContain(tools);
    for (const bad of [
      {},
      null,
      { weight_map: { a: "../x" } },
      { weight_map: { a: 1 } },
      { weight_map: { a: ".." } },
      { weight_map: { a: shards[0], b: "config.json" } },
      { weight_map: { a: "pytorch_model.bin" } },
    ])
      expect(() => neededFiles(all, undefined, bad), JSON.stringify(bad)).toThrow(
        /names no files of its own/,
      );
  });

  it.each<[string, string[], string[]]>([
    ["no projector", ["mmproj-model-f16.gguf", "m-Q4_K_M.gguf", "m-mmproj-Q8_0.gguf"], ["m-Q4_K_M.gguf"]],
    ["no importance matrix", ["m-imatrix.gguf", "imatrix_unsloth.gguf", "m-Q2_K.gguf"], ["m-Q2_K.gguf"]],
    ["a model made with one", ["m-imatrix-Q4_K_M.gguf"], ["m-imatrix-Q4_K_M.gguf"]],
    ["no adapter", ["m-lora-f16.gguf", "lora-m.gguf", "m-IQ4_XS.gguf"], ["m-IQ4_XS.gguf"]],
    ["no drafting module", ["m-MTP-Q8_0.gguf", "m-draft-Q8_0.gguf", "m-Q5_K_M.gguf"], ["m-Q5_K_M.gguf"]],
    ["a readable type before others", ["m-IQ3_M.gguf", "m-Q3_K_M.gguf", "m-TQ1_0.gguf"], ["m-Q3_K_M.gguf"]],
    ["Q4_K_M is no Q4_K, and XL none of M", ["m-UD-Q4_K_XL.gguf", "m-Q4_K_M.gguf"], ["m-Q4_K_M.gguf"]],
    ["capitals, blanks and small letters", ["my model q6_k.GGUF", "x-F32.GGUF"], ["my model q6_k.GGUF"]],
    [
      "all parts of a split file",
      ["BF16/m-BF16-00002-of-00002.gguf", "BF16/m-BF16-00001-of-00002.gguf", "m-IQ2_M.gguf"],
      ["BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf"],
    ],
    [
      "a type that the folder names",
      ["Q4_0/m-00001-of-00001.gguf", "Q8_0/m-00001-of-00001.gguf"],
      ["Q8_0/m-00001-of-00001.gguf"],
    ],
    ["one file of no known type", ["model.gguf", "README.md"], ["model.gguf"]],
  ])("of GGUF files: %s", (_, files, chosen) => {
    expect(names("config.json", ...files)).toEqual(chosen);
  });

  it("--file takes all parts, from any of them", () => {
    const parts = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    expect(neededFiles(model(...parts), parts[1]).map(({ path }) => path)).toEqual(parts);
    expect(() => neededFiles(model(parts[1]!), parts[1])).toThrow(
      /lacks 1 of the 2 parts of m-00002-of-00002.gguf: m-00001-of-00002.gguf/,
    );
  });

  it.each<[string, string[], RegExp]>([
    [
      "types that are not read",
      ["m-IQ3_M.gguf", "m-IQ1_S.gguf"],
      /types that are not read here alone: m-IQ3_M.gguf, m-IQ1_S/,
    ],
    [
      "no model at all",
      ["mmproj-F16.gguf", "m-imatrix.gguf"],
      /no language model among its GGUF files: mmproj-F16/,
    ],
    [
      "several models",
      ["a-7b-Q8_0.gguf", "a-13b-Q8_0.gguf"],
      /several models in GGUF: a-7b-Q8_0.gguf, a-13b/,
    ],
    [
      "an adapter alone",
      ["adapter_config.json", "adapter_model.safetensors"],
      /org\/m is an adapter, not a model/,
    ],
    ["later parts alone", ["m-Q8_0-00002-of-00002.gguf"], /no language model among|lacks/],
  ])("refused before anything is fetched: %s", (_, files, message) => {
    expect(() => names("README.md", ...files)).toThrow(message);
  });

  it("safetensors that nothing names are not taken for none", () => {
    expect(() => names("config.json", "model-00001-of-00002.safetensors", "vae/x.safetensors")).toThrow(
      "org/m has neither model.safetensors nor model.safetensors.index.json, so nothing says which of its files are the model: model-00001-of-00002.safetensors, vae/x.safetensors.",
    );
  });

  it("pickles are refused with the reason", () => {
    expect(() => names("config.json", "pytorch_model.bin")).toThrow(
      /neither safetensors nor a GGUF file: it has config.json, pytorch_model.bin/,
    );
  });
});
