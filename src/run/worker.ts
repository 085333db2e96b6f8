/**
 * The first module of the thread in which a run computes: it loads the others a folder at a time. All at once they would
 * have hundreds of files open, and where few may be open the page's visitors hold some of them.
 */
const FOLDERS = [
  () => import("../graph/ops.ts"),
  () => import("../models/architectures.ts"),
  () => import("../checkpoint/model.ts"),
  () => import("../tokenizer/load.ts"),
  () => import("../tasks/registry.ts"),
  () => import("../sample/sampler.ts"),
  () => import("../train/grpo.ts"),
  () => import("../recipe/schema.ts"),
  () => import("./run.ts"),
  () => import("./thread.ts"),
];
for (const load of FOLDERS) await load();
