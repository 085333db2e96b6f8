const S = "/work/main/src/";
const { decoderParameters } = await import(S + "models/dense.ts");
const { initialise } = await import(S + "models/layers.ts");
const { traceDecode } = await import(S + "sample/engine.ts");
const { Session, f32, i32, scalar } = await import(S + "runtime/session.ts");
import { readdirSync, readFileSync } from "node:fs";
const MODEL = { vocabSize: 512, layers: 4, width: 256, heads: 4, kvHeads: 4, headDim: 64, ffn: 704, maxPositions: 256, ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: false };
const p = Object.fromEntries(initialise(decoderParameters(MODEL), 1));
for (const W of [128]) {
  const s = await Session.create(traceDecode(MODEL), { name: "decode", profile: "/tmp/x/p" + W });
  const B = 64; const feeds: any = { ...p, scale: scalar(1), ids: i32(new Int32Array(B), [B, 1]), positions: i32(new Int32Array(B).fill(W - 1), [B, 1]), mask: f32(new Float32Array(B * W), [B, 1, 1, W]) };
  for (let l = 0; l < 4; l++) for (const k of ["keys", "values"]) feeds[`${k}.${l}`] = f32(new Float32Array(B * 4 * W * 64).fill(0.1), [B, 4, W, 64]);
  const fetches = s.allocateOutputs(s.outputs.map((o: any) => o.name), { batch: B });
  const n = 100; for (let i = 0; i < 20; i++) await s.run(feeds, fetches);
  const ts: number[] = []; for (let i = 0; i < n; i++) { const t = performance.now(); await s.run(feeds, fetches); ts.push(performance.now() - t); }
  ts.sort((a, b) => a - b); console.log("window", W, "median", ts[n >> 1].toFixed(2), "min", ts[0].toFixed(2));
  await s.release();
  const f = readdirSync("/tmp/x").filter((f) => f.startsWith("p" + W + "_")).sort().pop()!;
  const ev = JSON.parse(readFileSync("/tmp/x/" + f, "utf8")).filter((e: any) => e.cat === "Node" && e.name.endsWith("_kernel_time"));
  const by = new Map<string, [number, number]>(); for (const e of ev) { const k = e.args.op_name + " " + e.name.replace(/layers\.\d+/, "L").replace(/#\d+_kernel_time/, "").slice(0, 40); const o = by.get(k) ?? [0, 0]; by.set(k, [o[0] + e.dur / (n + 20) / 1000, o[1] + 1 / (n + 20)]); }
  const total = [...by.values()].reduce((a, b) => a + b[0], 0); console.log("sum of nodes", total.toFixed(2), "nodes", ev.length / (n + 20));
  for (const [k, v] of [...by].sort((a, b) => b[1][0] - a[1][0]).slice(0, 40)) console.log("  ", v[0].toFixed(3), v[1].toFixed(0), k);
}
