/**
 * The first module of the thread in which a run computes. It loads the other modules folder by folder: loading all of them
 * together opens hundreds of files, which may pass the limit of a process that also serves a page.
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
