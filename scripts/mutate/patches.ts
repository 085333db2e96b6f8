/** The committed mutants of code that needs a session: each is applied to a copy of the sources, and its test must fail. */
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Mutant } from "../../test/mutants/mutant.ts";
import type { Score } from "./score.ts";

/** Copies of the sources that mutants are tried in, side by side. */
const WORKERS = 2;
/** A test that runs longer than this was hung by its mutant, in milliseconds. */
const TIME_LIMIT = 180_000;

const COPIED = ["src", "test", "recipes", "package.json", "tsconfig.json", "vitest.config.ts"];
const LINKED = ["node_modules", "models", "dist"];

function makeCopy(index: number): string {
  const copy = resolve(`.cache/mutants/${index}`);
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  for (const name of COPIED) cpSync(name, join(copy, name), { recursive: true });
  for (const name of LINKED) symlinkSync(resolve(name), join(copy, name));
  return copy;
}

/** Whether the named tests pass in this copy; a test that is never found does not pass. */
function passes(copy: string, { test, name }: Mutant): Promise<boolean> {
  const vitest = join("node_modules", "vitest", "vitest.mjs");
  const words = [vitest, "run", test, "--bail", "1", "--reporter", "dot", ...(name ? ["-t", name] : [])];
  return new Promise((done) => {
    // A build would go through the link into the real dist.
    const env = { ...process.env, SPUTNIK_BUILT: "1" };
    const child = spawn(process.execPath, words, { cwd: copy, stdio: "ignore", detached: true, env });
    const timer = setTimeout(() => process.kill(-(child.pid as number), "SIGKILL"), TIME_LIMIT);
    child.on("exit", (code) => {
      clearTimeout(timer);
      done(code === 0);
    });
  });
}

async function isKilled(copy: string, mutant: Mutant): Promise<boolean> {
  const path = join(copy, mutant.file);
  const source = readFileSync(path, "utf8");
  if (source.split(mutant.find).length !== 2)
    throw new Error(
      `${mutant.file}: "${mutant.find}" is not there exactly once; bring the mutant up to date`,
    );
  writeFileSync(
    path,
    source.replace(mutant.find, () => mutant.replace),
  );
  try {
    return !(await passes(copy, mutant));
  } finally {
    writeFileSync(path, source);
  }
}

/** Tries the mutants; throws where a test fails without any mutant, since it would seem to kill all of them. */
export async function patchScore(mutants: readonly Mutant[]): Promise<Score> {
  const score: Score = { killed: 0, survivors: [], explained: 0 };
  const tried = mutants.filter(({ equivalent }) => equivalent === undefined);
  score.explained = mutants.length - tried.length;
  const tests = new Map(tried.map((mutant) => [`${mutant.test} ${mutant.name ?? ""}`, mutant]));
  const jobs = [
    ...[...tests.values()].map((mutant) => async (copy: string) => {
      if (!(await passes(copy, mutant)))
        throw new Error(`${mutant.test} ${mutant.name ?? ""} fails without a mutant, or has no such test`);
    }),
    ...tried.map((mutant) => async (copy: string) => {
      const killed = await isKilled(copy, mutant);
      if (killed) score.killed++;
      else
        score.survivors.push(
          `${mutant.file} ${JSON.stringify(mutant.find)} -> ${JSON.stringify(mutant.replace)}`,
        );
      console.log(`${killed ? "killed  " : "SURVIVED"} ${mutant.file}: ${mutant.find} -> ${mutant.replace}`);
    }),
  ];
  await Promise.all(
    Array.from({ length: WORKERS }, async (_, index) => {
      const copy = makeCopy(index);
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job(copy);
    }),
  );
  rmSync(".cache/mutants", { recursive: true, force: true });
  return score;
}
