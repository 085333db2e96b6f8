const S = process.env.SRC!;
const { decoderParameters } = await import(S + "models/dense.ts");
const { initialise } = await import(S + "models/layers.ts");
const { TrainStep } = await import(S + "train/step.ts");
const { batchFeeds, languageModelLoss } = await import(S + "train/language-model.ts");
const MODEL = { vocabSize: 512, layers: 4, width: 256, heads: 4, kvHeads: 4, headDim: 64, ffn: 704, maxPositions: 256, ropeTheta: 10_000, normEps: 1e-6, tieEmbeddings: false };
const specs = decoderParameters(MODEL);
const O = { kind: "adamw" as const, rate: 1e-3, betas: [0.9, 0.95] as [number, number], epsilon: 1e-8, decay: 0.1, clip: 1, momentum: 0 };
const out: any = {};
for (let round = 0; round < 3; round++) for (const B of [16, 8, 4]) {
  const T = B * 256; const batch = batchFeeds({ ids: Int32Array.from({ length: T }, (_, i) => i % 512), targets: Int32Array.from({ length: T }, (_, i) => (i * 7) % 512), weights: new Float32Array(T).fill(1 / 4096), batch: B, seq: 256 });
  const step = await TrainStep.create(specs, initialise(specs, 1), languageModelLoss(MODEL, { batch: B, seq: 256, mask: "shared" }), O, { accumulate: B !== 16 });
  out[B] ??= [];
  for (let r = 0; r < 8; r++) { const t = performance.now(); if (B === 16) await step.step(batch, { rate: 1e-3, muonRate: 0 }); else { for (let k = 0; k < 16 / B; k++) await step.accumulate(batch); await step.applyUpdate({ rate: 1e-3, muonRate: 0 }); } if (r > 2) out[B].push(performance.now() - t); }
  await step.release();
}
for (const B of [16, 8, 4]) { const t = out[B].sort((a: number, b: number) => a - b); console.log(B, "median", t[7].toFixed(0), "min", t[0].toFixed(0)); }
