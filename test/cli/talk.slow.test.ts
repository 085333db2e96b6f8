/** `chat` with a chat model and `complete`, as a person runs them. */

import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { saveModel } from "../../src/checkpoint/folder.ts";
import { SHIPPED } from "../../src/run/find-model.ts";
import { complete } from "../../src/sample/complete.ts";
import { PAIRS, start, tail, trainFiller, trainTalker } from "../sample/filler.ts";
import { asParameters } from "../support/parameters.ts";
import { sputnik, temporaryFolder } from "./command.ts";

vi.setConfig({ testTimeout: 240_000 });

/** Its answers are the code that it was trained on; the template lets it read a conversation. */
const TEMPLATE =
  "{{ bos_token }}{% for m in messages %}// {{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}const act = {% endif %}";
const cwd = temporaryFolder();
beforeAll(async () => {
  const {
    model,
    parameters: values,
    release,
  } = await trainFiller(async (by) => {
    for (const [word, what] of PAIRS) {
      const asked = { prefix: start, suffix: tail(what), sampling: { temperature: 0 }, maxNewTokens: 9 };
      if ((await complete(by, asked)).text !== word) return false;
    }
    return true;
  });
  await release();
  const parameters = asParameters(values);
  saveModel(join(cwd, "filler"), { ...model, parameters });
  const talker = await trainTalker();
  saveModel(join(cwd, "talker"), {
    ...{ ...talker, parameters: asParameters(talker.parameters) },
    tokenizerConfig: { chat_template: TEMPLATE },
  });
}, 400_000);
afterAll(() => fs.rmSync(cwd, { recursive: true }));

describe("complete", () => {
  const [word, what] = PAIRS[1];
  const text = `${start}<FILL>${tail(what)}`;
  const filled = text.replace("<FILL>", word);

  test("a file with a marker, standard input, or the two parts: filled, or the hole alone", async () => {
    fs.writeFileSync(join(cwd, "a.ts"), text);
    fs.writeFileSync(join(cwd, "before"), start);
    fs.writeFileSync(join(cwd, "after"), tail(what));
    const run = async (args: string[], input?: string) => {
      const { code, stdout, stderr } = await sputnik(["complete", "filler", ...args], { cwd, input });
      expect(code, stderr).toBe(0);
      return stdout;
    };
    expect(await run(["a.ts"])).toBe(filled);
    expect(await run(["--hole"], text)).toBe(word);
    expect(await run(["--prefix", "before", "--suffix", "after"])).toBe(filled);
    expect(await run(["--marker", "???", "--hole"], text.replace("<FILL>", "???"))).toBe(word);
    expect(await run(["a.ts", "--precision", "int8"])).toBe(filled);
    fs.writeFileSync(join(cwd, "marked.ts"), `\uFEFF${text}`);
    fs.writeFileSync(join(cwd, "wide.ts"), `\uFEFF${text}`, "utf16le");
    for (const file of ["marked.ts", "wide.ts"]) expect(await run([file])).toBe(filled);
    const json = JSON.parse(await run(["a.ts", "--json"])) as Record<string, unknown>;
    expect(json).toMatchObject({ model: "filler", hole: word, tokens: word.length + 1, finish: "stop" });
  });

  test("what it can't do is told", async () => {
    const failure = async (args: string[], input?: string) => {
      const { code, stderr, stdout } = await sputnik(["complete", ...args], { cwd, input });
      expect([code, stdout]).toEqual([1, ""]);
      return stderr;
    };
    expect(await failure(["filler"], "a<FILL>b<FILL>c")).toContain("one can be filled at a time");
    expect(await failure(["filler"], "")).toContain("no text to continue");
    expect(await failure(["filler", "missing.ts"])).toContain("Check the path");
    // The shipped model's vocabulary is closed: it has no tokens for a hole.
    expect(await failure([SHIPPED], "1<FILL>2")).toMatch(/no tokens for one[\s\S]*--marker/);
    expect(await failure(["filler", "a.ts", "--suffix", "after"])).toContain("not both");
    expect(await failure(["filler", "a.ts", "--precision", "int3"])).toContain("int4-offset");
  });
});

describe("chat with a chat model", () => {
  const talk = (args: string[], input: string) => sputnik(["chat", "talker", ...args], { cwd, input });

  test("each line of a pipe is a conversation of its own", async () => {
    const { code, stdout, stderr } = await talk(["--temperature", "0"], "a\n\nb\na\n");
    expect(code, stderr).toBe(0);
    const alone = (await talk(["--temperature", "0"], "a\n")).stdout;
    expect(alone.trim()).not.toBe("");
    expect(stdout.startsWith(alone)).toBe(true);
    expect(stdout.endsWith(alone)).toBe(true);
    expect(stdout.length).toBeGreaterThan(2 * alone.length);
  });

  test("--max-tokens, --system and --seed count", async () => {
    const short = await talk(["--temperature", "0", "--max-tokens", "2"], "a\n");
    expect(short.stdout.trim()).toHaveLength(2);
    const noise = async (...args: string[]) => (await talk(["--temperature", "2", ...args], "a\n")).stdout;
    const once = await noise("--seed", "3");
    expect(await noise("--seed", "3")).toBe(once);
    expect(await noise("--seed", "3", "--system", "b")).not.toBe(once);
  });

  test("a message without room is an error, and the next line is answered", async () => {
    const { code, stdout, stderr } = await talk(["--temperature", "0"], `${"x".repeat(500)}\na\n`);
    expect(code).toBe(1);
    expect(stderr).toContain("Send a shorter one.");
    expect(stdout.trim()).not.toBe("");
  });

  test("a model of a task has no use for a system message", async () => {
    const { code, stderr } = await sputnik(["chat", "filler", "--system", "Be kind."], { cwd, input: "a\n" });
    expect([code, stderr]).toEqual([1, expect.stringContaining("no chat template")]);
  });

  // `script` lends the command a terminal.
  test.skipIf(spawnSync("script", ["--version"]).status !== 0)(
    "at a terminal what was said is kept until /new",
    async () => {
      const main = new URL("../../dist/cli/main.js", import.meta.url).pathname;
      const command = `${process.execPath} ${main} chat talker --temperature 0 --max-tokens 4`;
      const input = [..."abcdefgh"].map((letter) => `${letter.repeat(12)}\n`).join("");
      // Its input stays open, as a person's does: closing it would end the talk in the middle of an answer.
      const run = (lines: string) =>
        new Promise<{ status: number | null; stdout: string }>((resolve) => {
          const child = spawn("script", ["-qec", command, "/dev/null"], { cwd });
          let stdout = "";
          child.stdout.on("data", (data) => {
            stdout += data;
          });
          child.on("close", (status) => resolve({ status, stdout }));
          child.stdin.write(`${lines}/exit\n`);
        });
      const long = await run(input);
      expect(long.status, long.stdout).toBe(0);
      expect(long.stdout).toContain("oldest");
      expect(long.stdout).toContain("4 tokens");
      expect((await run(input.replaceAll("\n", "\n/new\n"))).stdout).not.toContain("oldest");
      expect((await run("/nonsense\n/help\n/temperature hot\n")).stdout).toMatch(
        /There is no \/nonsense.*\/system TEXT.*may be 0 to 2/s,
      );
    },
  );
});
