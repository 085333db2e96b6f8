const S = "/work/main/src/";
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
const s = await Session.create(g, { profile: "/tmp/x/t" });
const params = initialise(specs, 1); const T = 4096;
const batch = batchFeeds({ ids: Int32Array.from({ length: T }, (_, i) => i % 512), targets: Int32Array.from({ length: T }, (_, i) => (i * 7) % 512), weights: new Float32Array(T).fill(1 / T), batch: 16, seq: 256 });
const feeds: any = { ...Object.fromEntries(params), ...batch };
for (const sp of specs) { feeds[sp.name + ".m"] = allocate("f32", sp.shape); feeds[sp.name + ".v"] = allocate("f32", sp.shape); }
for (const [k, v] of Object.entries(stepScalarValues(1, 1e-3, 0, 0.9, 0.95))) feeds[k] = scalar(v as number);
const fetches: any = {}; for (const o of s.outputs) if (o.name.endsWith(".next")) fetches[o.name] = allocate("f32", o.shape as number[]);
const N = 8; const ts: number[] = [];
for (let i = 0; i < N + 2; i++) { const t = performance.now(); await s.run(feeds, fetches); ts.push(performance.now() - t); }
console.log("ms", ts.map((t) => t.toFixed(0)).join(" "));
await s.release();
const f = readdirSync("/tmp/x").filter((f) => f.startsWith("t_")).sort().pop()!;
const ev = JSON.parse(readFileSync("/tmp/x/" + f, "utf8")).filter((e: any) => e.cat === "Node" && e.name.endsWith("_kernel_time"));
const tab = (key: (e: any) => string, n: number) => { const by = new Map<string, [number, number]>(); for (const e of ev) { const k = key(e); const o = by.get(k) ?? [0, 0]; by.set(k, [o[0] + e.dur / (N + 2) / 1000, o[1] + 1 / (N + 2)]); } const total = [...by.values()].reduce((a, b) => a + b[0], 0); console.log("total", total.toFixed(1)); for (const [k, v] of [...by].sort((a, b) => b[1][0] - a[1][0]).slice(0, n)) console.log("  ", v[0].toFixed(2).padStart(8), (100 * v[0] / total).toFixed(1).padStart(5) + "%", v[1].toFixed(0).padStart(5), k); };
tab((e) => e.args.op_name, 24);
tab((e) => e.name.replace(/layers\.\d+/, "L").replace(/#\d+_kernel_time/, "").replace(/optimizer\..*\./, "optimizer.*.").slice(0, 70), 60);
rmSync("/tmp/x/" + f);
