/** `sputnik doctor`: what this machine offers to a run, measured. */
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { EnergyMeter } from "../ledger/energy.ts";
import { detectHardware } from "../ledger/hardware.ts";
import { threadCount } from "../runtime/device.ts";
import { Engine } from "../runtime/engine.ts";
import { measureMatmulRate } from "../runtime/measure.ts";
import { listSupportedBackends } from "../runtime/onnxruntime.ts";
import { onnxruntimeFolder, onnxruntimeVersion } from "../runtime/onnxruntime-folder.ts";
import { printableJson } from "./printable.ts";
import { bytes, short, table } from "./screen.ts";

/** Memory and disk that recipes/tiny-r1-zero.yaml takes, with room. */
const NEEDED = { memory: 2 * 2 ** 30, disk: 200 * 2 ** 20 };

export async function doctor({ json }: { json?: boolean }): Promise<void> {
  const hardware = detectHardware();
  const disk = fs.statfsSync(".");
  const facts = {
    ...hardware,
    threads: threadCount(),
    load: os.loadavg()[0],
    freeMemoryBytes: os.freemem(),
    freeDiskBytes: disk.bavail * disk.bsize,
    node: process.versions.node,
    onnxruntime: onnxruntimeVersion(),
    providers: providers(),
    energyCounter: EnergyMeter.open() !== null,
    matmulFlopsPerSecond: {
      allThreads: await measureMatmulRate(),
      oneThread: await measureMatmulRate(new Engine({ threads: 1 }), 5),
    },
  };
  const advice = advise(facts);
  if (json) return console.log(printableJson({ ...facts, advice }));
  const { allThreads, oneThread } = facts.matmulFlopsPerSecond;
  const quota = hardware.quotaCores === null ? "" : `, quota ${hardware.quotaCores}`;
  const rows = [
    ["processor", hardware.cpu],
    [
      "cores",
      `${hardware.cores}, of which this process may use ${hardware.allowedCores}${quota}; load ${facts.load.toFixed(1)}`,
    ],
    ["instructions", hardware.instructionSets.join(" ") || "unknown"],
    ["memory", `${bytes(hardware.memoryBytes)} for this process, ${bytes(facts.freeMemoryBytes)} free`],
    ["disk", `${bytes(facts.freeDiskBytes)} free here`],
    ["system", `${hardware.platform}, Node ${facts.node}, ONNX Runtime ${facts.onnxruntime}`],
    [
      "MatMul",
      `${short(allThreads, "FLOP/s")} with ${facts.threads} threads, ${short(oneThread, "FLOP/s")} with one`,
    ],
    [
      "energy",
      facts.energyCounter
        ? "the processor's counter can be read"
        : "no counter: state hardware.watts in the recipe for an estimate",
    ],
    ...facts.providers.map(({ name, state }, i) => [i === 0 ? "providers" : "", `${name}: ${state}`]),
  ];
  console.log(table(["", "this machine"], rows));
  for (const sentence of advice) console.log(`\n${sentence}`);
}

/** Of ONNX Runtime's execution providers: which come along, and whether CUDA's libraries were fetched. */
function providers(): { name: string; bundled: boolean; state: string }[] {
  const backends = listSupportedBackends();
  const found = backends.map(({ name, bundled }) => ({
    name,
    bundled,
    state:
      name === "cpu"
        ? "ready, used by default"
        : bundled
          ? "comes along, not used by training yet"
          : "not fetched",
  }));
  const cuda = cudaLibrary();
  return found.map((entry) => {
    if (entry.name !== "cuda") return entry;
    return {
      ...entry,
      state: cuda
        ? "libraries are fetched; training does not use them yet"
        : "one step away: npm run gpu:setup (Linux x64, CUDA 12, cuDNN 9)",
    };
  });
}

function cudaLibrary(): boolean {
  const libraries = join(onnxruntimeFolder(), "bin", "napi-v6", process.platform, process.arch);
  return fs.existsSync(join(libraries, "libonnxruntime_providers_cuda.so"));
}

function advise({
  memoryBytes,
  freeDiskBytes,
  allowedCores,
  load,
}: {
  memoryBytes: number;
  freeDiskBytes: number;
  allowedCores: number;
  load: number;
}): string[] {
  const advice: string[] = [];
  if (memoryBytes < NEEDED.memory)
    advice.push(
      `The default recipe takes up to ${bytes(NEEDED.memory)}: give this process more memory, or a smaller batch.`,
    );
  if (freeDiskBytes < NEEDED.disk)
    advice.push(
      `A run of the default recipe needs about ${bytes(NEEDED.disk)} on the disk: free some space.`,
    );
  if (load > allowedCores + 0.5)
    advice.push("Other programs are computing now, so these figures are lower than the machine's own.");
  return advice;
}
