/** From the start of a process to the first token of the shipped model, in an empty project that installed the package. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median, type Row } from "./rows.ts";

const RUNS = 7;
const SCRIPT = `import { loadModel } from "sputnik-r1";
const model = await loadModel();
for await (const { text } of model.generate("82, 27, 11 make 44\\n<think>\\n", { stream: true })) {
  process.stdout.write(text);
  process.exit(0);
}
`;

export function firstToken(): Row {
  const project = mkdtempSync(join(tmpdir(), "sputnik-first-token-"));
  const npm = (cwd: string, ...words: string[]) =>
    execFileSync("npm", words, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  try {
    const packed = npm(process.cwd(), "pack", "--silent", "--pack-destination", project).trim().split("\n");
    writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
    npm(project, "install", "--prefer-offline", "--no-audit", "--no-fund", packed[packed.length - 1]);
    writeFileSync(join(project, "ask.js"), SCRIPT);
    const seconds = Array.from({ length: RUNS }, () => {
      const start = performance.now();
      const text = execFileSync(process.execPath, ["ask.js"], { cwd: project, encoding: "utf8" });
      if (text === "") throw new Error("the model said nothing");
      return (performance.now() - start) / 1000;
    });
    return {
      name: "library/first-token-seconds",
      value: median(seconds),
      spread: [Math.min(...seconds), Math.max(...seconds)],
      unit: "s",
      atMost: 2,
      note: `${RUNS} processes in an empty project`,
    };
  } finally {
    rmSync(project, { recursive: true });
  }
}
