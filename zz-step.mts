import { readFileSync, existsSync } from "node:fs";
const root = process.argv[2], runs = Number(process.argv[3]);
process.chdir(root);
const plan = await import(existsSync(`${root}/src/plan/plan.ts`) ? `${root}/src/plan/plan.ts` : `${root}/src/recipe/plan.ts`);
const { parseRecipe } = await import(`${root}/src/recipe/load.ts`);
const { bindShape } = await import(`${root}/src/graph/tensor.ts`);
const rt = await import(`${root}/src/runtime/session.ts`);
const { stages } = plan.planRecipe(parseRecipe(readFileSync(`${root}/recipes/tiny-r1-zero.yaml`, "utf8"), "r.yaml"), {});
const graph = stages[0].programs[0].graph;
const engine = existsSync(`${root}/src/lib/debug.ts`) ? new (await import(`${root}/src/runtime/engine.ts`)).Engine() : null;
const session = engine ? await engine.session(graph, "step") : await rt.Session.create(graph, { name: "step" });
const feeds: any = {};
for (const { name, dtype, shape } of session.inputs) { const v = rt.allocate(dtype, bindShape(shape, {})); if (dtype === "f32") v.data.fill(0.01); feeds[name] = v; }
const fetches = session.allocateOutputs(session.outputs.map((o: any) => o.name));
for (let i = 0; i < 3; i++) await session.run(feeds, fetches);
const times: number[] = [];
for (let i = 0; i < runs; i++) { const s = performance.now(); await session.run(feeds, fetches); times.push(performance.now() - s); }
times.sort((a, b) => a - b);
console.log(root.split("/").pop(), "min", times[0].toFixed(1), "median", times[runs >> 1].toFixed(1), "ms");
