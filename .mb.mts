const S = "/work/main/src/";
const { input, matmul } = await import(S + "graph/ops.ts");
const { Graph } = await import(S + "graph/tensor.ts");
const { Session, f32 } = await import(S + "runtime/session.ts");
const mk = (s: number[]) => f32(new Float32Array(s.reduce((a, b) => a * b)).map(() => Math.random() - 0.5), s);
const cases: any = {};
const add = (name: string, a: number[], b: number[], o: any = {}) => { const g = new Graph(); g.output("o", matmul(input(g, "a", "f32", a), input(g, "b", "f32", b), o)); cases[name] = { g, feeds: { a: mk(a), b: mk(b) } }; };
for (const [K, N] of [[256, 704], [704, 256], [256, 256]]) {
  add(`${K}x${N} fwd transB`, [4096, K], [N, K], { transB: true });
  add(`${K}x${N} fwd noT`, [4096, K], [K, N]);
  for (const c of [4, 8, 16]) { add(`${K}x${N} fwd transB chunk${c}`, [c, 4096 / c, K], [1, N, K], { transB: true }); add(`${K}x${N} noT chunk${c}`, [c, 4096 / c, K], [1, K, N]); }
  add(`${K}x${N} wgrad transA`, [4096, N], [4096, K], { transA: true });
  add(`${K}x${N} wgrad other`, [4096, K], [4096, N], { transA: true });
}
for (let round = 0; round < 2; round++) for (const k in cases) { const c = cases[k]; c.t ??= []; const ss = await Session.create(c.g); const f = ss.allocateOutputs(["o"]); for (let r = 0; r < 12; r++) { const t = performance.now(); await ss.run(c.feeds, f); if (r > 1) c.t.push(performance.now() - t); } await ss.release(); }
for (const k in cases) { const t = cases[k].t.sort((a: number, b: number) => a - b); console.log(k.padEnd(34), "median", t[10].toFixed(2), "min", t[0].toFixed(2), "GF med", (2 * 4096 * +k.split("x")[0] * +k.split("x")[1].split(" ")[0] / t[10] / 1e6).toFixed(0)); }
