/** What StrykerJS mutates of each folder, and the tests that it runs for it: code that needs no session. */
export interface Part {
  mutate: readonly string[];
  tests: readonly string[];
}

const sources = (folder: string, names: readonly string[]): string[] =>
  names.map((name) => `src/${folder}/${name}.ts`);
const tests = (folder: string, names: readonly string[]): string[] =>
  names.map((name) => `test/${folder}/${name}.test.ts`);

/** A mutant of a module's constants runs all tests of its part, so parts are small. */
const tasks = (names: readonly string[], by: readonly string[]): Part => ({
  mutate: sources("tasks", names),
  tests: tests("tasks", by),
});

export const FOLDERS: Record<string, readonly Part[]> = {
  // A thread per verdict, and times of a million characters, are measured by tests of their own.
  tasks: [
    tasks(
      ["rows", "split-rows", "jsonl", "jsonl-file"],
      ["rows", "split-rows", "jsonl", "registry", "pitfalls", "judge"],
    ),
    tasks(["stream", "registry", "prompt", "problem"], ["stream", "registry", "judge", "generated"]),
    tasks(
      ["number", "number-answer", "extract", "marked-answers", "judge"],
      ["number", "number-answer", "extract", "judge", "pitfalls"],
    ),
    tasks(
      ["thought-equations", "thought-tokens", "thought-value", "expression"],
      ["thought-equations", "expression", "countdown-user"],
    ),
    tasks(
      ["equations", "arithmetic", "word-problems"],
      ["equations", "arithmetic", "word-problems", "judge"],
    ),
    tasks(
      [...["countdown", "countdown-generate", "countdown-input", "countdown-solve"], "countdown-attempts"],
      ["countdown", "countdown-user", "countdown-attempts", "generated", "judge", "pitfalls"],
    ),
  ],
  eval: [{ mutate: ["src/eval/*.ts"], tests: ["test/eval/!(*.slow).test.ts"] }],
  ledger: [{ mutate: ["src/ledger/*.ts"], tests: ["test/ledger/*.test.ts"] }],
  train: [
    {
      mutate: [
        ...sources("train", [
          ...["advantages", "microbatch", "schedule", "data", "rewards", "grpo-metrics", "signals"],
          "whole-rows",
        ]),
      ],
      tests: tests("train", [
        ...["schedule", "data", "rewards", "grpo-metrics", "whole-rows", "importance", "microbatch"],
        "grpo-loss",
      ]),
    },
  ],
  sample: [["scheduler", "sampling", "cache", "prompts", "requests", "outputs"]].map((names) => ({
    mutate: sources("sample", names),
    tests: tests("sample", [...names, "likeliest", "verify", "pieces", "logits"]),
  })),
};
