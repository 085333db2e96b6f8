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
      ["rows", "jsonl-rows", "jsonl"],
      ["rows", "jsonl-rows", "jsonl", "registry", "pitfalls", "verdict"],
    ),
    tasks(["stream", "registry", "prompt", "problem"], ["stream", "registry", "verdict", "generated"]),
    tasks(
      ["number", "number-answer", "extract", "marked-answers", "verdict"],
      ["number", "number-answer", "extract", "verdict", "pitfalls"],
    ),
    tasks(
      ["thought-equations", "thought-marks", "thought-tokens", "thought-value", "expression", "steps"],
      ["thought-equations", "thought-marks", "expression", "countdown-user", "steps"],
    ),
    tasks(
      ["equations", "arithmetic", "word-problems"],
      ["equations", "arithmetic", "word-problems", "verdict"],
    ),
    tasks(
      [...["countdown", "countdown-generate", "countdown-input", "countdown-solve"], "countdown-attempts"],
      ["countdown", "countdown-user", "countdown-attempts", "generated", "verdict", "pitfalls"],
    ),
    tasks(
      ["define", "probe", "attacks", "curriculum", "solved"],
      ["define", "probe", "attacks", "curriculum", "solved"],
    ),
    tasks(["environment", "conversation", "tool-calls"], ["environment", "tool-calls"]),
    tasks(["language", "readable"], ["readable"]),
    tasks(["instructions", "mixture"], ["instructions", "mixture"]),
    { mutate: sources("tasks", ["effort"]), tests: tests("train", ["effort"]) },
    { mutate: ["src/tasks/families/*.ts"], tests: ["test/tasks/families/*.test.ts"] },
  ],
  eval: [
    {
      mutate: sources("eval", ["compare", "completions", "evaluate", "interval", "problems", "statistics"]),
      tests: ["test/eval/!(*.slow).test.ts"],
    },
  ],
  ledger: [{ mutate: ["src/ledger/*.ts"], tests: ["test/ledger/*.test.ts"] }],
  train: [
    {
      mutate: [
        ...sources("train", [
          ...["advantages", "effort", "microbatch", "schedule", "rewards", "rollout", "learning", "meter"],
        ]),
      ],
      tests: tests("train", [
        ...[
          "schedule",
          "rewards",
          "learning",
          "importance",
          "microbatch",
          "grpo-loss",
          "grpo-step",
          "effort",
        ],
      ]),
    },
  ],
  data: [
    { mutate: sources("data", ["packing"]), tests: tests("data", ["packed-stream", "packed-examples"]) },
  ],
  sample: [["scheduler", "sampling", "cache", "prompts", "requests", "outputs"]].map((names) => ({
    mutate: sources("sample", names),
    tests: tests("sample", [...names, "likeliest", "verify", "pieces", "logits"]),
  })),
};
