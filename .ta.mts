const S = "/work/main/src/";
const { decoderParameters } = await import(S + "models/dense.ts");
const { initialise } = await import(S + "models/layers.ts");
const { traceAccumulation, traceStep } = await import(S + "train/step.ts");
const { batchFeeds, languageModelLoss } = await import(S + "train/language-model.ts");
const { Session, allocate, scalar } = await import(S + "runtime/session.ts");
const { stepScalarValues } = await import(S + "graph/optim.ts");
const MODEL = { vocabSize: 512, layers: 4, width: 256, heads: 4, kvHeads: 4, headDim: 64, ffn: 704, maxPositions: 256, ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: false };
const specs = decoderParameters(MODEL); const params = initialise(specs, 1);
const runs: any = {};
for (let round = 0; round < 3; round++)
for (const B of [16, 8, 4]) {
  const g = traceAccumulation(specs, languageModelLoss(MODEL, { batch: B, seq: 256, mask: "shared" }));
  const s = await Session.create(g); const T = B * 256;
  const feeds: any = { ...Object.fromEntries(params), ...batchFeeds({ ids: Int32Array.from({ length: T }, (_, i) => i % 512), targets: Int32Array.from({ length: T }, (_, i) => (i * 7) % 512), weights: new Float32Array(T).fill(1 / T), batch: B, seq: 256 }) };
  const fetches: any = {}; for (const sp of specs) { feeds[sp.name + ".sum"] = allocate("f32", sp.shape); fetches[sp.name + ".sum.next"] = allocate("f32", sp.shape); }
  runs[B] ??= [];
  for (let r = 0; r < 5; r++) { const t0 = performance.now(); for (let k = 0; k < 16 / B; k++) await s.run(feeds, fetches); if (r > 0) runs[B].push(performance.now() - t0); }
  await s.release();
}
for (const B of [16, 8, 4]) { const t = runs[B].sort((a: number, b: number) => a - b); console.log(B, "median", t[6].toFixed(0), "min", t[0].toFixed(0)); }
