import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { lower } from "../../src/graph/lower.ts";
import { input, matmul } from "../../src/graph/ops.ts";
import { Graph } from "../../src/graph/tensor.ts";
const SIZE=256;
const graph = new Graph(); const x = input(graph, "x", "f32", [SIZE, SIZE]); let y = matmul(x, x); for (let i = 0; i < 8; i++) y = matmul(y, x); graph.output("out", y);
const model = lower(graph).bytes;
const [mode, rounds] = [process.argv[2], Number(process.argv[3])];
for (let r=0;r<rounds;r++){
  const w = new Worker(new URL("./worker.mjs", import.meta.url), { workerData: { model, size: SIZE } });
  w.on("error",(e)=>console.log("err",e.message));
  if (mode!=="create") await once(w,"message"); else await new Promise(f=>setTimeout(f, 5*r%150));
  if (mode==="run") { w.postMessage(1000); await new Promise(f=>setTimeout(f, r%25)); }
  if (mode==="idle") { w.postMessage(1); await once(w,"message"); }
  await w.terminate();
}
console.log("alive", mode);
