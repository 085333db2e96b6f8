/** A peer system as a child process that runs steps on demand, so that its steps alternate with ours. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("peers/", import.meta.url));

export class Peer {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  }

  /** Starts PyTorch; `SPUTNIK_PEER_PYTHON` names an interpreter that has torch. */
  static async pytorch(mode: "eager" | "compile"): Promise<Peer | null> {
    return Peer.python("pytorch_train.py", ["--mode", mode, "--interactive"]);
  }

  /** A script of `peers/` in Python. */
  static async python(script: string, args: string[]): Promise<Peer | null> {
    const python = process.env.SPUTNIK_PEER_PYTHON ?? "python3";
    return Peer.start(python, [script, ...args], here);
  }

  /** A script beside this file, as a process of its own. */
  static async script(name: string, args: string[]): Promise<Peer | null> {
    const path = fileURLToPath(new URL(name, import.meta.url));
    return Peer.start(process.execPath, ["--import", "tsx", path, ...args], process.cwd());
  }

  /** A script of another checkout of this repository, by its path there. */
  static async inFolder(folder: string, script: string): Promise<Peer | null> {
    return Peer.start(process.execPath, ["--import", "tsx", script], folder);
  }

  static async jaxJs(): Promise<Peer | null> {
    const folder = `${here}jax-js`;
    if (!existsSync(`${folder}/node_modules`)) {
      console.error("jax-js is not installed: run `npm ci` in bench/peers/jax-js");
      return null;
    }
    return Peer.start("npx", ["tsx", "train.ts", "--interactive"], folder);
  }

  /** A peer of `peers/<name>/package.json`, run by this Node and the repository's tsx. */
  static async node(name: string, script: string, args: string[]): Promise<Peer | null> {
    const folder = `${here}${name}`;
    if (!existsSync(`${folder}/node_modules`)) {
      console.error(`${name} is not installed: run \`npm ci\` in bench/peers/${name}`);
      return null;
    }
    return Peer.start(process.execPath, ["--import", "tsx", script, ...args], folder);
  }

  private static async start(command: string, args: string[], cwd: string): Promise<Peer | null> {
    const child = spawn(command, args, { cwd, stdio: ["pipe", "pipe", "inherit"] });
    const failed = new Promise<null>((resolve) => {
      child.on("error", () => resolve(null));
      child.on("exit", () => resolve(null));
    });
    const peer = new Peer(child);
    const ready = await Promise.race([peer.read(), failed]);
    if (ready === null) console.error(`the peer "${command} ${args.join(" ").slice(0, 200)}" did not start`);
    return ready === null ? null : peer;
  }

  private async read(): Promise<Record<string, unknown> | null> {
    for (;;) {
      const { value, done } = await this.lines.next();
      if (done) return null;
      if (value.startsWith("{")) return JSON.parse(value) as Record<string, unknown>;
    }
  }

  /** The answer to one line. */
  async ask(line: string): Promise<Record<string, unknown>> {
    this.child.stdin?.write(`${line}\n`);
    const answer = await this.read();
    if (answer === null) throw new Error("the peer ended in the middle of a measurement");
    return answer;
  }

  /** Milliseconds of each of `count` steps. */
  async steps(count: number): Promise<number[]> {
    return (await this.ask(`step ${count}`)).ms_per_step as number[];
  }

  /** Ends a process that answers "quit" with its peak memory, in bytes. */
  async peakBytes(): Promise<number> {
    return (await this.ask("quit")).peak_bytes as number;
  }

  /** Ends the process and waits until it is gone. */
  async quit(): Promise<void> {
    const gone = new Promise<void>((resolve) => this.child.on("exit", () => resolve()));
    this.child.stdin?.write("quit\n");
    await gone;
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}
