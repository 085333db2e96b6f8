/** What StrykerJS mutates of each folder, and the tests that it runs for it: code that needs no session. */
export interface Folder {
  mutate: readonly string[];
  tests: readonly string[];
}

const pure = (folder: string, names: readonly string[]): Folder => ({
  mutate: names.map((name) => `src/${folder}/${name}.ts`),
  tests: names.map((name) => `test/${folder}/${name}.test.ts`),
});

export const FOLDERS: Record<string, Folder> = {
  // A thread per verdict, and times of a million characters, are measured by tests of their own.
  tasks: {
    mutate: ["src/tasks/*.ts", "!src/tasks/verifier-*.ts"],
    tests: ["test/tasks/!(linear-time|verifier-pool).test.ts"],
  },
  eval: { mutate: ["src/eval/*.ts"], tests: ["test/eval/!(coverage).test.ts"] },
  ledger: { mutate: ["src/ledger/*.ts"], tests: ["test/ledger/*.test.ts"] },
  train: {
    mutate: [
      // Advantages and aggregations; the ratios below them are traced.
      "src/train/grpo-loss.ts:41-103",
      ...["importance", "microbatch", "schedule", "data", "rewards", "grpo-metrics", "signals"].map(
        (name) => `src/train/${name}.ts`,
      ),
      "src/train/whole-rows.ts",
    ],
    tests: ["schedule", "data", "rewards", "grpo-metrics", "whole-rows", "importance", "grpo-loss"].map(
      (name) => `test/train/${name}.test.ts`,
    ),
  },
  sample: pure("sample", [
    "scheduler",
    "sampler",
    "cache",
    "likeliest",
    "prompts",
    "pieces",
    "requests",
    "outputs",
  ]),
};
