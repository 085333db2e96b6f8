#!/usr/bin/env node
/** The command `sputnik`. Each command has a file; it is loaded when it is called, so that help is instant. */
// The first import, because the other modules load ONNX Runtime.
import "../runtime/no-telemetry.ts";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { NUMERATORS } from "../plan/scale/costs.ts";
import { RUN_NAME, RUN_NAME_RULE } from "../recipe/name.ts";
import {
  amount,
  json,
  port,
  precision,
  real,
  seed,
  share,
  temperature,
  threads,
  topP,
  whole,
  withEngine,
} from "./options.ts";
import { fail } from "./screen.ts";
import { survive } from "./terminal.ts";

const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };

const program = new Command("sputnik")
  .description("An open R1 that anyone can train, run and audit, in TypeScript.")
  .version(version)
  .showHelpAfterError("(sputnik help shows the commands, sputnik help COMMAND its options)");

const runName = (text: string): string => {
  if (RUN_NAME.test(text)) return text;
  throw new InvalidArgumentError(RUN_NAME_RULE);
};
/** What `findModel` takes. */
const SOME_MODEL = "a run, a folder of a run, checkpoint or model, a GGUF file, or a pulled model's name";
const list = (text: string): number[] => text.split(",").map(whole(2, 6));

program
  .command("train")
  .argument("<recipe>", "a YAML file, such as recipes/tiny-r1-zero.yaml")
  .description("run a recipe, or resume an interrupted run of it")
  .option("--name <name>", "name of the run's folder below runs/ (the recipe's name)", runName)
  .option("--fresh", "begin again; an earlier run is kept under another name")
  .option("--no-reuse", "run every stage, also those that a run beside it has done in the same way")
  .option("--quiet", "a line from time to time instead of a progress bar")
  .addOption(json(" at the end"))
  .option("--dry-run", "say shapes, memory, FLOPs, time and cost; compute and write nothing")
  .option("--pass-rate <share>", "with --dry-run: the share of RL's samples that are right", real(0, 1))
  .option("--answer-tokens <count>", "with --dry-run: mean tokens of an answer", whole(1, 1_000_000))
  .option("--profile", "measure some training steps and say where their time goes; write nothing")
  .option("--serve", "show the run and a chat on a page while it runs")
  .addOption(port("that page"))
  .addOption(threads("all that this process may use"))
  .action(async (recipe, options) => (await import("./train.ts")).train(recipe, withEngine(options)));

program
  .command("chat")
  .argument("[model]", `${SOME_MODEL} (the shipped model)`)
  .description("talk to a chat model, or give a trained one problems and watch it think")
  .addOption(temperature(" (the model's own, or 0.6)"))
  .addOption(topP("of a chat model: "))
  .option(
    "--max-tokens <count>",
    "of a chat model: longest answer (what there is room for; 1,024 for piped lines)",
    whole(1),
  )
  .option("--system <text>", "of a chat model: an instruction for the conversation")
  .addOption(seed("makes the answers repeatable"))
  .addOption(precision())
  .option("--serve", "talk on a page instead")
  .addOption(port("that page"))
  .action(async (model, options) => (await import("./chat.ts")).chat(model, options));

program
  .command("complete")
  .argument("<model>", SOME_MODEL)
  .argument("[file]", "a text with <FILL> where the hole is, or to be continued (standard input)")
  .description("fill the hole in a text, or continue it")
  .option("--marker <text>", "marks the hole", "<FILL>")
  .option("--prefix <file>", "the text before the hole, instead of FILE")
  .option("--suffix <file>", "the text after the hole")
  .option("--hole", "print only what fills the hole")
  .option("--max-tokens <count>", "longest filling", whole(1), 256)
  .addOption(temperature("").default(0))
  .addOption(topP())
  .addOption(seed("makes a filling repeatable").default(0))
  .addOption(precision())
  .addOption(threads("by the size of the model"))
  .addOption(json())
  .action(async (model, file, options) =>
    (await import("./complete.ts")).completeText(model, file, withEngine(options)),
  );

program
  .command("eval")
  .argument("[model]", `${SOME_MODEL} (the shipped model)`)
  .description(
    "an evaluation: pass@1 and pass@k with intervals, maj@k, the truth of the thoughts; settings of the run's recipe",
  )
  .option(
    "--task <task>",
    "a kind of task, such as countdown or equations, jsonl:FILE, or ./my-task.ts (the recipe's)",
  )
  .option("--numbers <list>", "numbers of a countdown problem, such as 3 or 3,4", list)
  .option("--problems <count>", "different problems (the recipe's; of a file all, else 200)", whole(1))
  .addOption(
    new Option("--split <split>", "of the problems: what no training saw, or all of a file").choices([
      ...["train", "validation", "test", "all"],
    ]),
  )
  .option("--samples <count>", "completions per problem (the recipe's, or 4)", whole(1))
  .addOption(temperature(" (the recipe's, or the model's own)"))
  .addOption(topP())
  .option("--top-k <count>", "only so many of the likeliest tokens", whole(1))
  .option("--max-tokens <count>", "longest completion (the recipe's, the model's own, or 1,024)", whole(1))
  .addOption(
    new Option(
      "--template <form>",
      "of the prompt (the recipe's, or chat where the model has a template)",
    ).choices([...["chat", "plain", "r1", "none"]]),
  )
  .option("--seed <seed>", "chooses the problems and the completions (the recipe's, or 1)", whole(0))
  .option("--effort <level>", "a number before the problem: how long to think (the recipe's)", whole(0, 100))
  .addOption(precision())
  .addOption(threads("by the size of the model"))
  .option("--out <file>", "store the completions there, or continue with those that it holds")
  .option("--from <file>", "verify stored completions again, without a model")
  .option("--compare <evaluations...>", "two stored evaluations or RUN:LABEL, problem by problem")
  .addOption(json())
  .action(async (model, options) => (await import("./eval.ts")).evaluate(model, withEngine(options)));

program
  .command("new")
  .argument("<what>", "task")
  .argument("<name>", "of its files, such as letter-count")
  .description("write NAME.ts, a small task of your own, and its test NAME.test.ts")
  .action(async (what, name) => (await import("./new-task.ts")).newTask(what, name));

program
  .command("task")
  .description("look at a task of your own (sputnik task try FILE)")
  .command("try")
  .argument(
    "<file>",
    "TypeScript or JavaScript whose default export is defineTask or defineEnvironment; it is run",
  )
  .description(
    "show its problems, verdicts and speed, and attack its verifier: exit code 1 if an attack passes",
  )
  .option("--difficulty <level>", "what generate gets (1)", real(-1e9, 1e9))
  .addOption(new Option("--template <form>", "of the prompt (plain)").choices(["plain", "r1", "chat"]))
  .option("--options <json>", "what the file's default export gets, where that is a function")
  .option("--time-limit <seconds>", "of a verdict (2)", real(0.001, 3600))
  .option("--problems <count>", "problems to draw (200)", whole(1, 100_000))
  .addOption(seed("draws other problems (1)"))
  .option(
    "--completion <texts...>",
    "completions to judge, of the first problem; for an environment, its turns",
  )
  .option("--completion-file <files...>", "files with a completion each, of the first problem")
  .addOption(json())
  .action(async (file, options) => (await import("./task-try.ts")).tryTask(file, options));

program
  .command("plan")
  .argument(
    "[model]",
    "a preset, a recipe, or a folder or file with a config.json (the verdict on R1's 6 million)",
  )
  .description(
    "FLOPs, memory, hours, dollars and energy of a training on GPUs, and what R1 and its rivals cost",
  )
  .option("--list", "presets and GPUs, with what is known of them")
  .option("--parameters <count>", "instead of a model: its parameters, such as 671B", amount)
  .option("--active <count>", "those that a token uses (all)", amount)
  .option("--tokens <count>", "of the pretraining, such as 14.8T", amount)
  .option("--context <count>", "tokens of a sequence (4096)", amount)
  .option("--rl-steps <count>", "steps of GRPO", whole(1))
  .option("--problems <count>", "problems of a step (32)", whole(1))
  .option("--group <count>", "completions of a problem (16)", whole(1))
  .option("--prompt-tokens <count>", "mean tokens of a prompt (128)", amount)
  .option("--completion-tokens <count>", "mean tokens of a completion", amount)
  .option("--scores <count>", "passes that only score: old policy, reference (2)", whole(0, 2))
  .option("--rollout-rate <count>", "tokens a second that a GPU samples (the roofline)", amount)
  .option("--gpu <name>", "H800, H100, ... (the preset's, or H100)")
  .option("--gpus <count>", "how many (the preset's, or the fewest that hold the model)", whole(1, 1e7))
  .option("--mfu <share>", "utilisation, such as 0.39 (the preset's, or 0.375)", share)
  .addOption(new Option("--numerator <what>", "what --mfu counts (causal)").choices(NUMERATORS))
  .addOption(new Option("--peak <dtype>", "what --mfu is a share of (bf16)").choices(["bf16", "fp8"]))
  .option("--uptime <share>", "of the hours, in which the training moves on (1)", share)
  .option("--price <dollars>", "rent of a GPU for an hour (a dated price)", amount)
  .option("--pue <factor>", "power of the hall over that of its computers (1.25)", real(1, 3))
  .option("--sequences <count>", "that a GPU trains on at once (1)", whole(1))
  .addOption(json())
  .action(async (model, options) => (await import("./plan.ts")).plan(model, options));

program
  .command("graph")
  .argument("<recipe>", "a YAML file, such as recipes/tiny-r1-zero.yaml")
  .description("print the typed graph of a stage's step, and which form each op takes and why")
  .option("--stage <name>", "the stage (the recipe's first)")
  .addOption(json())
  .action(async (recipe, options) => (await import("./graph.ts")).graph(recipe, options));

program
  .command("report")
  .argument("<run>", "a run or its folder")
  .description("make report.md again from the run's files")
  .action(async (run) => (await import("./report.ts")).report(run));

program
  .command("export")
  .argument("<model>", SOME_MODEL)
  .argument("<target>", "a new or empty folder, or a file whose name ends with .gguf")
  .description("the newest model as a Hugging Face folder, a run's with bill and report, or as one GGUF file")
  .addOption(
    new Option("--dtype <type>", "of the matrices (F32 in a folder, F16 in a GGUF file)").choices([
      ...["F32", "F16", "BF16", "Q8_0"],
    ]),
  )
  .option("--force", "replace a model that is there already")
  .action(async (name, target, options) => (await import("./export.ts")).exportModel(name, target, options));

program
  .command("pull")
  .argument("<name>", "a model on the Hugging Face Hub, such as HuggingFaceTB/SmolLM2-135M-Instruct")
  .description("download a model, or resume an interrupted download (HF_ENDPOINT, HF_TOKEN)")
  .option("--revision <revision>", "branch, tag or commit (main)")
  .option("--to <folder>", "a new or empty folder (a cache, SPUTNIK_CACHE)")
  .option("--file <file>", "this GGUF file of the model")
  .option(
    "--unchecked",
    "accept weights from a server that names no checksums: only their sizes are compared",
  )
  .addOption(json())
  .action(async (name, options) => (await import("./pull.ts")).pull(name, options));

program
  .command("serve")
  .description("serve models over HTTP: --tinker for programs that train with the Python package tinker")
  .requiredOption("--tinker", "speak the API of tinker 0.38, so that tinker-cookbook trains on this machine")
  .option(
    "--model <model...>",
    `models that clients may name: NAME=MODEL, where MODEL is ${SOME_MODEL} (sputnik/tiny-r1-zero, the shipped model)`,
  )
  .option("--folder <folder>", "where clients' weights are saved", join("runs", "tinker"))
  .option("--host <host>", "address to listen on; others than this machine's own want a key", "127.0.0.1")
  .addOption(port("the server (4848, or the next free one)"))
  .option(
    "--api-key <key>",
    "ask clients for this key, which begins with tml- (none on a machine of one's own)",
  )
  .addOption(threads("all that this process may use"))
  .action(async (options) => (await import("./serve.ts")).serve(options));

program
  .command("schema")
  .description("print the JSON Schema of recipes, from which editors complete")
  .action(async () => (await import("./schema.ts")).schema());

program
  .command("doctor")
  .description("what this machine offers, measured")
  .addOption(json())
  .action(async (options) => (await import("./doctor.ts")).doctor(options));

program
  .command("start")
  .description("train recipes/tiny-r1-zero.yaml with a live page, then chat (npm start)")
  .option("--fresh", "begin again; an earlier run is kept under another name")
  .addOption(port("the page (4848, or the next free one)"))
  .addOption(threads("all that this process may use"))
  .action(async (options) => (await import("./start.ts")).start(withEngine(options)));

survive();
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = fail(error, process.argv.includes("--json"));
}
