/** The pages of `sputnik plan`, each at most 100 columns wide. */
import color from "picocolors";
import { EXPERIMENTS, LIFE_YEARS, type Numerator } from "../plan/scale/costs.ts";
import { type Gpu, gpus } from "../plan/scale/gpus.ts";
import type { ChosenPlan, Origin } from "../plan/scale/input.ts";
import { gigabytes } from "../plan/scale/memory.ts";
import { CREDIT, type Figure, type SourceName, sources } from "../plan/scale/sources.ts";
import { type System, systemNamed, systems } from "../plan/scale/systems.ts";
import type { TrainingInput, TrainingPlan } from "../plan/scale/training.ts";
import { COVERS, type Reading, type Verdict } from "../plan/scale/verdict.ts";
import { printable } from "./printable.ts";
import { commandLine, duration, percent, short, table, whole } from "./screen.ts";

const WIDTH = 100;
const UNKNOWN = "unknown";

/** $0.0021, $294,000, $5.576 M, $140 M, $1.60 B. */
function money(dollars: number | null): string {
  if (dollars === null) return UNKNOWN;
  if (dollars >= 999.5e6) return `$${(dollars / 1e9).toFixed(2)} B`;
  if (dollars >= 99.95e6) return `$${(dollars / 1e6).toFixed(0)} M`;
  if (dollars >= 9.9995e6) return `$${(dollars / 1e6).toFixed(1)} M`;
  if (dollars >= 1e6) return `$${Number((dollars / 1e6).toFixed(3))} M`;
  return `$${amount(dollars)}`;
}

/** Whole numbers from 100 up, two or three digits below. */
const amount = (value: number): string =>
  value >= 100 ? whole(value) : Number(value.toPrecision(value < 1 ? 2 : 3)).toString();

const known = (value: number | null, as: (value: number) => string): string =>
  value === null ? UNKNOWN : as(value);

/** 671 B, 14.8 T. */
const count = (value: number): string => short(value).replace(/G$/, "B");

/** Numbers the sources of a page as they are cited, and lists them. */
class Citations {
  readonly #names: SourceName[] = [];

  mark(names: readonly SourceName[]): string {
    for (const name of names) if (!this.#names.includes(name)) this.#names.push(name);
    return `[${names.map((name) => this.#names.indexOf(name) + 1).join(",")}]`;
  }

  /** "measured [1]", and what the figure says beside. */
  of({ firmness, source, note }: Omit<Figure, "value">): string {
    return `${firmness} ${this.mark([source])}${note === undefined ? "" : `: ${note}`}`;
  }

  list(): string {
    const line = (name: SourceName, i: number): string =>
      wrap(`[${i + 1}] ${sources[name].cite}, ${sources[name].url}`, "    ");
    return this.#names.map(line).join("\n");
  }
}

/** Lines of at most `WIDTH` columns; those after the first begin with `indent`. */
function wrap(text: string, indent = ""): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line !== "" && line.length + 1 + word.length > WIDTH) lines.push(indent + word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join("\n");
}

// ── the verdict ─────────────────────────────────────────────────────────────────────────────────────────────────────

export function verdictPage({ claim, sums, comparisons, ...readings }: Verdict): string {
  const citations = new Citations();
  const part = (head: string, rows: readonly Reading[]): string =>
    table(
      [head, "dollars", "what it counts", "how firm"],
      // Columns of one width in the three tables.
      rows.map(({ reading, dollars, covers, firmness, sources: names }) => [
        reading.padEnd(26),
        (typeof dollars === "string" ? dollars : (dollars?.map(money).join(" to ") ?? UNKNOWN)).padEnd(18),
        covers.padEnd(34),
        names.length === 0 ? "" : `${firmness} ${citations.mark(names)}`,
      ]),
    );
  const { gpuHours, v3, r1, both, gpt4OverBoth } = sums;
  return [
    color.bold(`The claim: ${claim}.`),
    wrap(
      `True, as rent: the final runs of V3 (${money(v3)}) and of R1 from V3 (${money(r1)}) took ${(gpuHours / 1e6).toFixed(3)} million GPU hours, which are worth ${money(both)} at $2 an hour. The hours were counted; the price is DeepSeek's assumption.`,
    ),
    wrap(
      "Not true, as the cost of making R1: trials, failed runs, hardware, salaries and data are not in it. DeepSeek's paper itself says that research and ablations are left out.",
    ),
    part("true of", readings.true),
    part("not true of", readings.not),
    part("beside it", comparisons),
    wrap(
      `So "6 million against 100 million" sets the rent of two final runs beside a spoken total of unknown scope. Rent beside rent, GPT-4 took about ${gpt4OverBoth.toFixed(0)} times as much, by an estimate.`,
    ),
    citations.list(),
    wrap(
      `${commandLine("plan deepseek-v3")} computes these hours from the model's shape, ${commandLine("plan --list")} names all presets and GPUs, ${commandLine("plan --help")} the options of a plan of your own.`,
    ),
    color.dim(CREDIT),
  ].join("\n\n");
}

// ── a plan ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export function planPage(chosen: ChosenPlan, plan: TrainingPlan | null): string {
  const { title, system, input, origins } = chosen;
  const citations = new Citations();
  const planned =
    input === null || plan === null || origins === null
      ? ["Nothing can be computed: its size is unknown."]
      : [
          table(["input", "value", "from"], inputsOf(input, plan, origins, citations)),
          stagesOf(plan, input),
          totalsOf(plan, input),
          ...(plan.utilisations.length === 0 ? [] : [utilisationsOf(plan)]),
        ];
  return [
    color.bold(printable(title)),
    ...planned,
    ...(system === null ? [] : [factsOf(system, citations)]),
    ...(system?.base === undefined
      ? []
      : [
          `${systemNamed(system.base).title}, from which it was trained: ${commandLine(`plan ${system.base}`)}`,
        ]),
    citations.list(),
    color.dim(CREDIT),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

const NUMERATORS: Record<Numerator, string> = {
  "6nd": "6 x active parameters x tokens",
  causal: "products, causal attention",
  full: "products, full attention",
  "causal+mtp": "products, causal attention, MTP",
  "full+mtp": "products, full attention, MTP",
};

function inputsOf(
  { model, gpu, utilisation, uptime, rollout, dollarsPerHour, pue, stages }: TrainingInput,
  { gpus: cards }: TrainingPlan,
  origins: NonNullable<ChosenPlan["origins"]>,
  citations: Citations,
): string[][] {
  const { value, numerator, peak } = utilisation;
  const from = (origin: Origin): string =>
    typeof origin === "string" ? origin : `${origin.firmness} ${citations.mark([origin.source])}`;
  const mtp = model.mtp === null ? "" : " with MTP";
  const rows: [string, string, Origin][] = [
    ["parameters", `${count(model.parameters)}${mtp}, ${count(model.active)} active`, origins.model],
    ["GPU", gpu === null ? UNKNOWN : chip(gpu), origins.gpu],
    ...(gpu?.note === undefined ? [] : [["", gpu.note, ""] as [string, string, Origin]]),
    ["GPUs", known(cards, whole), origins.gpus],
    ["MFU", `${percent(value, 1)} of the ${peak.toUpperCase()} peak, ${NUMERATORS[numerator]}`, origins.mfu],
    ["uptime", percent(uptime), origins.uptime],
    [
      "rollouts",
      rollout === null ? "as fast as memory and peak allow" : `${whole(rollout)} tokens/s a GPU`,
      origins.rollout,
    ],
    ["rent", known(dollarsPerHour, (price) => `$${price} a GPU hour`), origins.rent],
    ["purchase", known(gpu?.purchase?.value ?? null, (price) => `$${whole(price)} a GPU`), origins.purchase],
    ["PUE", String(pue), origins.pue],
  ];
  const samples = stages.some(({ rl }) => rl);
  return rows
    .filter(([what]) => samples || what !== "rollouts")
    .map(([what, text, origin]) => [what, text, from(origin)]);
}

const chip = ({ title, peak, memory, watts }: Gpu): string =>
  `${title}, ${short(peak.bf16, "FLOP/s")} BF16, ${memory / 1e9} GB, ${watts} W`;

function stagesOf(plan: TrainingPlan, { dollarsPerHour, stages }: TrainingInput): string {
  const { flop, hours, missing } = plan;
  const rows = plan.stages.map((stage) => [
    stage.name,
    known(stage.tokens, count),
    known(stage.flop, flops),
    known(stage.computedHours, (value) => `${stage.atLeast ? "at least " : ""}${gpuHours(value)}`),
    stage.givenHours === null ? "-" : gpuHours(stage.givenHours),
    money(stage.hours === null || dollarsPerHour === null ? null : stage.hours * dollarsPerHour),
  ]);
  const all = ["in all", "", known(flop, flops), "", known(hours, gpuHours), money(plan.dollars.rented)];
  const head = ["stage", "tokens", "FLOP", "GPU hours here", "GPU hours published", "rented"];
  const lacks = [
    ...(missing.flop.length === 0 ? [] : [`the FLOP of ${missing.flop.join(", ")}`]),
    ...(missing.hours.length === 0 ? [] : [`the hours of ${missing.hours.join(", ")}`]),
  ];
  const asks = stages.some(({ rl }) => rl === null) && !stages.some(({ rl }) => rl);
  const lengths = asks ? " --completion-tokens sets the length of completions." : "";
  const note = lacks.length === 0 ? [] : [wrap(`Unknown, and in no sum: ${lacks.join("; ")}.${lengths}`)];
  return [table(head, [...rows, all]), ...note].join("\n");
}

const gpuHours = (value: number): string => (value < 1000 ? amount(value) : short(value));

/** 3.71e+24 as people write it. */
const flops = (value: number): string => value.toExponential(2).replace("e+", "e");

function totalsOf(plan: TrainingPlan, { gpu, pue, model, stages }: TrainingInput): string {
  const { memory, dollars, gpus: cards, wallHours, kilowattHours } = plan;
  const factors = `x ${EXPERIMENTS.join(", ")}: V3's floor, a middle, OpenAI in 2024`;
  const watts = known(gpu?.watts ?? null, (value) => `${value} W`);
  const rows = [
    [
      "time",
      known(wallHours, (hours) => `${duration(hours * 3600)} on ${whole(cards ?? 0)} GPUs`),
      "GPU hours / GPUs",
    ],
    ["rented", money(dollars.rented), "GPU hours x rent"],
    ["with experiments", dollars.experiments.map((one) => money(one.dollars)).join(", "), factors],
    ["amortised", money(dollars.amortised), `bought x the hours' part of ${LIFE_YEARS} years, and power`],
    ["bought", money(dollars.bought), "GPUs x 1.64 for servers / 0.81 for the network"],
    [
      "energy",
      known(kilowattHours, (kwh) => `${amount(kwh)} kWh = ${amount(kwh / 1000)} MWh`),
      `GPU hours x ${watts} x 1.82 x 0.75 x PUE ${pue}`,
    ],
  ];
  if (memory === null) return table(["in all", "value", "how"], rows);
  const { details } = model;
  const kept =
    details === null
      ? "its shape is not known"
      : `blocks computed again; ${known(memory.kept, gigabytes)} if kept`;
  const cache = known(details && 2 * details.cache, (bytes) => `${whole(bytes)} bytes a token of a rollout`);
  rows.push(
    [
      "memory a GPU",
      `${gigabytes(memory.total)} of ${gigabytes(gpu?.memory ?? 0)}`,
      "states, and the larger of the others",
    ],
    ["  weights", gigabytes(memory.weights), "2 bytes a parameter, spread over all GPUs (ZeRO 3)"],
    ["  gradients", gigabytes(memory.gradients), "2 bytes a parameter"],
    ["  optimizer", gigabytes(memory.optimizer), "12 bytes: FP32 weights, two moments of Adam"],
    ["  activations", known(memory.activations, gigabytes), kept],
    ...(stages.some(({ rl }) => rl) ? [["  KV cache", known(memory.cache, gigabytes), cache]] : []),
  );
  return table(["in all", "value", "how"], rows);
}

function utilisationsOf({ utilisations }: TrainingPlan): string {
  const rows = utilisations.map(({ numerator, flop, bf16, fp8 }) => [
    NUMERATORS[numerator],
    flops(flop),
    percent(bf16, 2),
    percent(fp8, 2),
  ]);
  return table(["MFU of the first stage, counting", "FLOP", "of the BF16 peak", "of the FP8 peak"], rows);
}

// ── what is known ───────────────────────────────────────────────────────────────────────────────────────────────────

function factsOf(system: System, citations: Citations): string {
  const row = (what: string, figure: Figure | null, as: (value: number) => string): string[] => [
    what,
    known(figure?.value ?? null, as),
    figure === null ? "" : citations.of(figure),
  ];
  const { gpu, dollars, stages } = system;
  const rows = [
    row("parameters", system.parameters, count),
    row("active", system.active, count),
    row("tokens", system.tokens, count),
    row("FLOP", system.flop, flops),
    ["GPU", gpu === null ? UNKNOWN : gpus[gpu.name].title, gpu === null ? "" : citations.of(gpu)],
    row("GPUs", system.gpus, whole),
    row("GPU hours", system.gpuHours, whole),
    ...(stages.length < 2 ? [] : stages.map((stage) => row(`  ${stage.name}`, stage.gpuHours, whole))),
    row("MFU", system.utilisation, (value) => percent(value, 2)),
    ...(dollars.length === 0 ? [["dollars", UNKNOWN, ""]] : []),
    ...dollars.map(({ method, amount }) => [
      method,
      "words" in amount ? amount.words : money(amount.value),
      citations.of(amount),
    ]),
  ];
  const methods = dollars.map(({ method }) => `${method}: ${COVERS[method]}`);
  return [
    table([`known of ${system.title}`, "value", "how firm"], rows),
    ...methods.map((line) => color.dim(line)),
  ].join("\n");
}

export function listPage(): string {
  const presets = Object.entries(systems).map(([name, system]: [string, System]) => [
    name,
    known(system.parameters?.value ?? null, count),
    known(system.tokens?.value ?? null, count),
    known(system.flop?.value ?? null, flops),
    system.gpu === null ? UNKNOWN : gpus[system.gpu.name].title,
    known(system.gpuHours?.value ?? null, short),
  ]);
  const chips = Object.entries(gpus).map(([name, gpu]: [string, Gpu]) => [
    name,
    gpu.released,
    short(gpu.peak.bf16, "FLOP/s"),
    known(gpu.peak.fp8, (value) => short(value, "FLOP/s")),
    `${gpu.memory / 1e9} GB`,
    `${gpu.watts} W`,
    gpu.rents.length === 0 ? UNKNOWN : gpu.rents.map(({ value }) => `$${value}`).join(" "),
    known(gpu.purchase?.value ?? null, (value) => `$${whole(value)}`),
  ]);
  return [
    table(["preset", "parameters", "tokens", "FLOP", "GPU", "GPU hours"], presets),
    table(["GPU", "released", "BF16", "FP8", "memory", "power", "rent an hour", "bought"], chips),
    wrap("Peaks are of dense products. A plan takes the first rent; dates and sellers are in --json."),
    color.dim(CREDIT),
  ].join("\n\n");
}
