const S = process.env.SRC!;
import { readdirSync, readFileSync, rmSync } from "node:fs";
const { decoderParameters } = await import(S + "models/dense.ts");
const { initialise } = await import(S + "models/layers.ts");
const { traceStep } = await import(S + "train/step.ts");
const { batchFeeds, languageModelLoss } = await import(S + "train/language-model.ts");
const { Session, allocate, scalar } = await import(S + "runtime/session.ts");
const { stepScalarValues } = await import(S + "graph/optim.ts");
const MODEL = { vocabSize: 512, layers: 4, width: 256, heads: 4, kvHeads: 4, headDim: 64, ffn: 704, maxPositions: 256, ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: false };
const specs = decoderParameters(MODEL);
const g = traceStep(specs, languageModelLoss(MODEL, { batch: 16, seq: 256, mask: "shared" }), { kind: "adamw", rate: 1e-3, betas: [0.9, 0.95], epsilon: 1e-8, decay: 0.1, clip: 1, momentum: 0 });
const s = await Session.create(g, {});
const params = initialise(specs, 1); const T = 4096;
const batch = batchFeeds({ ids: Int32Array.from({ length: T }, (_, i) => i % 512), targets: Int32Array.from({ length: T }, (_, i) => (i * 7) % 512), weights: new Float32Array(T).fill(1 / T), batch: 16, seq: 256 });
const feeds: any = { ...Object.fromEntries(params), ...batch };
for (const sp of specs) { feeds[sp.name + ".m"] = allocate("f32", sp.shape); feeds[sp.name + ".v"] = allocate("f32", sp.shape); }
for (const [k, v] of Object.entries(stepScalarValues(1, 1e-3, 0, 0.9, 0.95))) feeds[k] = scalar(v as number);
const fetches: any = {}; for (const o of s.outputs) if (o.name.endsWith(".next")) fetches[o.name] = allocate("f32", o.shape as number[]);
const N = 10; const ts: number[] = [];
for (let i = 0; i < N + 2; i++) { const f0 = process.resourceUsage().minorPageFault, t = performance.now(); await s.run(feeds, fetches); ts.push(performance.now() - t); console.log("faults", process.resourceUsage().minorPageFault - f0); }
ts.splice(0,3); ts.sort((a,b)=>a-b); console.log("ms median", ts[ts.length>>1].toFixed(0), "min", ts[0].toFixed(0));
await s.release();
