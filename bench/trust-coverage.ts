/**
 * `trust/coverage-2`, `-8`, `-30`: how often the 95 % interval of pass@1 holds the true score, by simulation. Each
 * problem's chance of success is drawn from a Beta distribution, hard, easy or both at once, and its samples from
 * that chance; the truth is the distribution's mean. A row's value is its worst scenario.
 */
import { pairedDifference, passAt1, type Tally } from "../src/eval/statistics.ts";
import { Random } from "../src/lib/random.ts";
import type { Row } from "./rows.ts";

/** Beta(a, b): from problems that are nearly all or nearly never solved to problems that are all alike. */
export const DIFFICULTIES: readonly (readonly [a: number, b: number])[] = [
  [1, 1],
  [0.5, 0.5],
  [0.1, 0.9],
  [0.9, 0.1],
  [0.3, 3],
  [3, 0.3],
  [0.2, 1.8],
  [0.05, 0.45],
  [5, 5],
  [50, 50],
];

export const SAMPLES = [16, 64] as const;

/** Marsaglia and Tsang's method (2000), with the boost for shapes below 1. */
function gamma(random: Random, shape: number): number {
  if (shape < 1) return gamma(random, shape + 1) * random.uniform() ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(random.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
  }
}

function beta(random: Random, [a, b]: readonly [number, number]): number {
  const x = gamma(random, a);
  return x / (x + gamma(random, b));
}

function answers(random: Random, chance: number, samples: number): Tally {
  let right = 0;
  for (let i = 0; i < samples; i++) if (random.uniform() < chance) right++;
  return { samples, right };
}

export interface Coverage {
  difficulty: readonly [number, number];
  samples: number;
  /** Share of simulations whose interval holds the truth. */
  covered: number;
  /** Mean width of the intervals. */
  width: number;
}

/** One scenario per difficulty and number of samples. */
export function coverage(problems: number, simulations: number, seed = 1): Coverage[] {
  return DIFFICULTIES.flatMap((difficulty) =>
    SAMPLES.map((samples) => {
      const random = new Random(seed, "coverage", problems, samples, ...difficulty);
      const truth = difficulty[0] / (difficulty[0] + difficulty[1]);
      let [covered, width] = [0, 0];
      for (let run = 0; run < simulations; run++) {
        const tallies = Array.from({ length: problems }, () =>
          answers(random, beta(random, difficulty), samples),
        );
        const [low, high] = passAt1(tallies).interval;
        if (low <= truth && truth <= high) covered++;
        width += high - low;
      }
      return { difficulty, samples, covered: covered / simulations, width: width / simulations };
    }),
  );
}

/** How often two evaluations of one model, on the same problems, are called different. */
export function falseAlarms(problems: number, simulations: number, seed = 1): number[] {
  return DIFFICULTIES.flatMap((difficulty) =>
    [1, 4, 64].map((samples) => {
      const random = new Random(seed, "alarms", problems, samples, ...difficulty);
      let alarms = 0;
      for (let run = 0; run < simulations; run++) {
        const chances = Array.from({ length: problems }, () => beta(random, difficulty));
        const score = (chance: number) => answers(random, chance, samples).right / samples;
        if (pairedDifference(chances.map(score), chances.map(score)).significant) alarms++;
      }
      return alarms / simulations;
    }),
  );
}

/** The rows of the benchmark `trust` that need no model; about two minutes on one core. */
export function trustCoverage(simulations = 2000): Row[] {
  return [2, 8, 30].map((problems) => {
    const scenarios = coverage(problems, simulations);
    const worst = scenarios.reduce((a, b) => (b.covered < a.covered ? b : a));
    const width = scenarios.reduce((sum, scenario) => sum + scenario.width, 0) / scenarios.length;
    return {
      name: `trust/coverage-${problems}`,
      value: worst.covered,
      unit: "share of intervals that hold the truth, worst scenario",
      atLeast: 0.93,
      note: `Beta(${worst.difficulty.join(", ")}) x ${worst.samples} samples; ${scenarios.length} scenarios x ${simulations} simulations; mean width ${width.toFixed(2)}`,
    };
  });
}
