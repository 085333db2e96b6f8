/** The claim that R1 was trained for about 6 million dollars: what it is true of, and what it leaves out. */
import { amortised, clusterPrice, EXPERIMENTS, kilowattHours, LIFE_YEARS, PUE } from "./costs.ts";
import { gpus } from "./gpus.ts";
import { estimated, type Firmness, type SourceName } from "./sources.ts";
import { type System, systems } from "./systems.ts";

/** One way to read the claim, or a figure that is set beside it. */
export interface Reading {
  reading: string;
  /** US dollars: one number, or from and to, or words; `null` is unknown. */
  dollars: readonly number[] | string | null;
  covers: string;
  /** "computed" by us, from figures that the sources give. */
  firmness: Firmness | "computed";
  sources: readonly SourceName[];
}

export interface Verdict {
  claim: string;
  /** GPU hours and rent of the two final runs, and GPT-4's rent over theirs. */
  sums: { gpuHours: number; v3: number; r1: number; both: number; gpt4OverBoth: number };
  true: Reading[];
  not: Reading[];
  comparisons: Reading[];
}

/** What a price of each method is of. */
export const COVERS = {
  rented: "the final run at a cloud's price",
  amortised: "its share of hardware, and power",
  bought: "the whole cluster",
  stated: "its maker's words, scope unknown",
} as const;

/** Facts that no preset has. */
const FACTS = {
  /** All runs over the final one. */
  trials: [estimated(2, "lambert"), estimated(4, "lambert")],
  servers: estimated(51e6, "register", "256 servers of 8"),
  fleet: [estimated(1.3e9, "semianalysis"), estimated(1.6e9, "semianalysis")],
};

const reading = (
  name: string,
  dollars: Reading["dollars"],
  covers: string,
  [firmness, ...sources]: [Reading["firmness"], ...SourceName[]],
): Reading => ({ reading: name, dollars, covers, firmness, sources });

export function verdict(): Verdict {
  const { "deepseek-v3": v3, "deepseek-r1": r1 } = systems;
  const { rents, purchase, watts } = gpus.H800;
  const [assumed, listed] = rents;
  const [v3Hours, r1Hours, cards] = [v3.gpuHours.value, r1.gpuHours.value, v3.gpus.value];
  const hours = v3Hours + r1Hours;
  const rent = (of: number): number => of * assumed.value;
  const owned = amortised(hours, purchase.value, kilowattHours(hours, watts, PUE));
  const [least, , most] = EXPERIMENTS;
  const at = (of: number): string => `${of.toLocaleString("en-US")} H800 hours at $${assumed.value}`;
  return {
    claim: "R1 was trained for about 6 million dollars",
    sums: {
      ...{ gpuHours: hours, v3: rent(v3Hours), r1: rent(r1Hours), both: rent(hours) },
      gpt4OverBoth: systems["gpt-4"].dollars[1].amount.value / rent(hours),
    },
    true: [
      reading("V3, the base: one run", [rent(v3Hours)], at(v3Hours), ["published", "v3"]),
      reading("R1 from V3: RL, SFT data", [rent(r1Hours)], at(r1Hours), ["published", "r1"]),
      reading("both: the 6 million", [rent(hours)], "the two final runs", ["computed", "v3", "r1"]),
      reading("both, on GPUs of one's own", [owned], `price over ${LIFE_YEARS} years, and power`, [
        ...(["computed", "epochCosts"] as const),
      ]),
    ],
    not: [
      reading(
        "both, at a listed rent",
        [hours * listed.value],
        `$${listed.value} an hour, ${listed.by}, ${listed.date}`,
        ["computed", "epochCosts"],
      ),
      reading(
        "V3, trials and failures",
        FACTS.trials.map(({ value }) => value * rent(v3Hours)),
        "2 to 4 times the final run",
        ["estimated", "lambert"],
      ),
      reading(
        "both with all experiments",
        [rent(hours) * least, rent(hours) * most],
        `x ${least} (V3's floor) to ${most} (OpenAI)`,
        ["estimated", "epochExperiments"],
      ),
      reading(
        `${cards.toLocaleString("en-US")} H800, bought`,
        [FACTS.servers.value, clusterPrice(cards, purchase.value)],
        "servers of V3's cluster; network",
        ["estimated", "register", "epochCosts"],
      ),
      reading(
        "all GPUs of the company",
        FACTS.fleet.map(({ value }) => value),
        "servers for all that it does",
        ["estimated", "semianalysis"],
      ),
      reading("salaries, data, old models", null, "nothing is published", ["published"]),
    ],
    comparisons: ([systems["gpt-4"], systems["claude-3.5-sonnet"]] as System[]).flatMap(
      ({ title, dollars }) =>
        dollars.map(({ method, amount }) =>
          reading(`${title}, ${method}`, "words" in amount ? amount.words : [amount.value], COVERS[method], [
            amount.firmness,
            amount.source,
          ]),
        ),
    ),
  };
}
