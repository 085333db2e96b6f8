/** Where a graph's time goes, by the lines of the model that made its nodes. */
import fs from "node:fs";
import { join } from "node:path";
import { bindShape } from "../graph/tensor.ts";
import { Random } from "../lib/random.ts";
import { scratchFolder } from "../lib/scratch.ts";
import { Engine } from "../runtime/engine.ts";
import { allocate, type HostValue } from "../runtime/value.ts";
import type { Program } from "./programs.ts";

/** An event of ONNX Runtime's trace; durations are in microseconds. */
export interface TraceEvent {
  cat?: string;
  name: string;
  ts: number;
  dur: number;
  args?: Record<string, unknown>;
}

export interface ProfileRow {
  /** A line of the model, such as "layers.0.attn.q.grad". */
  path: string;
  /** ONNX operators, most expensive first. */
  ops: string;
  seconds: number;
  share: number;
}

export interface Profile {
  /** Of the fastest run. */
  seconds: number;
  runs: number;
  byPath: ProfileRow[];
  byOp: ProfileRow[];
}

/** The first run allocates and is left out. */
const WARM_UP = 1;

/** Runs the program on random values and sums the runtime's trace. `vocabulary` bounds the ids. */
export async function profileProgram(
  program: Program,
  vocabulary: number,
  { runs = 8, engine = new Engine() }: { runs?: number; engine?: Engine } = {},
): Promise<Profile> {
  const { path: folder, remove } = scratchFolder("profile");
  try {
    const { device, threads } = engine;
    const profiled = new Engine({ device, threads, profile: join(folder, "trace") });
    const session = await profiled.session(program.graph, program.name);
    const feeds = randomFeeds(program, vocabulary);
    for (let run = 0; run < runs + WARM_UP; run++) await session.run(feeds);
    await session.release();
    const [file] = fs.readdirSync(folder);
    return summariseTrace(JSON.parse(fs.readFileSync(join(folder, file), "utf8")) as TraceEvent[]);
  } finally {
    remove();
  }
}

/** Ids within the vocabulary, positions from 0 in each row, the first indices, and small normal numbers otherwise. */
function randomFeeds({ graph, sizes }: Program, vocabulary: number): Record<string, HostValue> {
  const feeds: Record<string, HostValue> = {};
  for (const [name, { dtype, shape }] of graph.inputs) {
    const value = allocate(dtype, bindShape(shape, sizes));
    const random = new Random(1, "profile", name);
    const row = value.shape.at(-1) ?? 1;
    const whole: Record<string, (i: number) => number> = {
      positions: (i) => i % row,
      completionIndices: (i) => i,
      inverseIndices: (i) => Math.min(i, sizes.completionTokens),
    };
    for (let i = 0; i < value.data.length; i++) {
      // Second moments are squares: all numbers are positive, so no root has a negative operand.
      value.data[i] =
        dtype === "i32"
          ? (whole[name]?.(i) ?? random.integer(0, vocabulary - 1))
          : 0.02 * Math.abs(random.normal());
    }
    feeds[name] = value;
  }
  return feeds;
}

/** Sums the fastest run, which other programs on the machine disturbed least. */
export function summariseTrace(events: readonly TraceEvent[]): Profile {
  const runs = events.filter(({ name }) => name === "model_run").slice(WARM_UP);
  const kernels = events.filter(({ cat, name }) => cat === "Node" && name.endsWith("_kernel_time"));
  const within = ({ ts, dur }: TraceEvent): TraceEvent[] =>
    kernels.filter((kernel) => kernel.ts >= ts && kernel.ts <= ts + dur);
  const sum = (list: readonly TraceEvent[]): number => list.reduce((total, { dur }) => total + dur, 0);
  const fastest = runs.map(within).sort((a, b) => sum(a) - sum(b))[0] ?? [];
  const total = sum(fastest);
  const group = (keyOf: (event: TraceEvent) => string): ProfileRow[] => {
    const rows = new Map<string, { time: number; ops: Map<string, number> }>();
    for (const event of fastest) {
      const row = rows.get(keyOf(event)) ?? { time: 0, ops: new Map<string, number>() };
      const op = String(event.args?.op_name ?? "unknown");
      row.time += event.dur;
      row.ops.set(op, (row.ops.get(op) ?? 0) + event.dur);
      rows.set(keyOf(event), row);
    }
    return [...rows]
      .sort((a, b) => b[1].time - a[1].time)
      .map(([path, { time, ops }]) => ({
        path,
        ops: [...ops]
          .sort((a, b) => b[1] - a[1])
          .map(([op]) => op)
          .join(" "),
        seconds: time / 1e6,
        share: total === 0 ? 0 : time / total,
      }));
  };
  return {
    seconds: total / 1e6,
    runs: runs.length,
    byPath: group(({ name }) => pathOf(name)),
    byOp: group(({ args }) => String(args?.op_name)),
  };
}

/** "layers.0.attn.q.grad.MatMul#12_kernel_time" -> "layers.0.attn.q.grad"; nodes that the runtime made stay as they are. */
export function pathOf(name: string): string {
  const node = name.replace(/_kernel_time$/, "");
  const ours = /^(.+)\.[A-Za-z0-9]+#\d+/.exec(node);
  return ours === null ? `(runtime) ${node.replace(/[#_]?\d+/g, "")}` : ours[1];
}
