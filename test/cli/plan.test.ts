/** The pages of `sputnik plan`: their words, their width, and the same as JSON. */
import { stripVTControlCharacters } from "node:util";
import { describe, expect, it, test, vi } from "vitest";
import { amount, share } from "../../src/cli/options.ts";
import { type PlanCommand, plan } from "../../src/cli/plan.ts";
import { CREDIT } from "../../src/plan/scale/sources.ts";
import { systems } from "../../src/plan/scale/systems.ts";

const pages = new Map<string, string>();

/** What the command prints, without colours and trailing blanks. */
function printed(target?: string, options: PlanCommand = {}): string {
  const key = JSON.stringify([target, options]);
  const before = pages.get(key);
  if (before !== undefined) return before;
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  plan(target, options);
  const text = log.mock.calls.map(([line]) => String(line)).join("\n");
  log.mockRestore();
  const plain = stripVTControlCharacters(text).replace(/ +$/gm, "");
  pages.set(key, plain);
  return plain;
}

const line = (page: string, start: string): string | undefined =>
  page
    .split("\n")
    .find((one) => one.startsWith(start))
    ?.replace(/ {2,}/g, " | ");

describe("the first page", () => {
  const page = printed();

  it("says in which sense the claim is true, and in which it is not", () => {
    expect(page.replace(/\n/g, " ")).toContain(
      "True, as rent: the final runs of V3 ($5.576 M) and of R1 from V3 ($294,000) took 2.935 million GPU hours, which are worth $5.87 M at $2 an hour. The hours were counted; the price is DeepSeek's assumption.",
    );
    expect(page.replace(/\n/g, " ")).toContain(
      "Not true, as the cost of making R1: trials, failed runs, hardware, salaries and data are not in it.",
    );
    expect(page.replace(/\n/g, " ")).toContain(
      "Rent beside rent, GPT-4 took about 13 times as much, by an estimate.",
    );
  });

  it("shows each reading with what it counts, how firm it is and its source", () => {
    expect(line(page, "both: the 6 million")).toBe(
      "both: the 6 million | $5.87 M | the two final runs | computed [1,2]",
    );
    expect(line(page, "V3, trials")).toBe(
      "V3, trials and failures | $11.2 M to $22.3 M | 2 to 4 times the final run | estimated [4]",
    );
    expect(line(page, "salaries")).toBe("salaries, data, old models | unknown | nothing is published");
    expect(line(page, "GPT-4, stated")).toBe(
      "GPT-4, stated | more than $100 M | its maker's words, scope unknown | published [9]",
    );
    expect(page).toContain("[1] DeepSeek-V3, table 1 and section 4, https://arxiv.org/abs/2412.19437");
    expect(page).toContain(CREDIT);
  });

  it("is one JSON document for programs", () => {
    const { sums, credit, sources } = JSON.parse(printed(undefined, { json: true }));
    expect(sums.both).toBe(5_870_000);
    expect(credit).toContain("Epoch AI");
    expect(sources.r1.url).toBe("https://arxiv.org/abs/2501.12948");
  });
});

describe("a plan", () => {
  it("shows inputs with their sources, stages, totals and the MFU by numerator", () => {
    const page = printed("deepseek-v3");
    expect(line(page, "MFU  ")).toBe(
      "MFU | 38.9 % of the BF16 peak, products, causal attention | measured [2]",
    );
    expect(line(page, "rent ")).toBe("rent | $2 a GPU hour | DeepSeek's assumption, 2024-12-27");
    expect(line(page, "pretraining")).toBe("pretraining | 14.8 T | 3.71e24 | 2.67 M | 2.66 M | $5.328 M");
    expect(line(page, "in all  ")).toBeDefined();
    expect(page).toContain("Unknown, and in no sum: the FLOP of post-training.");
    expect(line(page, "energy")).toMatch(
      /^energy \| 3,329,918 kWh = 3,330 MWh \| GPU hours x 700 W x 1.82 x 0.75 x PUE 1.25$/,
    );
    expect(line(page, "products, full attention ")).toBe(
      "products, full attention | 4.16e24 | 43.87 % | 21.92 %",
    );
    expect(line(page, "GPU hours")).toBe("GPU hours | 2,788,000 | measured [1]");
    expect(line(printed("deepseek-r1"), "  R1-Zero")).toBe(
      " | R1-Zero | 101,000 | measured [2]: 512 GPUs for 198 hours",
    );
  });

  it("says unknown where nothing is known", () => {
    const page = printed("claude-3.5-sonnet");
    expect(page).toContain("Nothing can be computed: its size is unknown.");
    for (const what of ["parameters", "tokens", "GPU", "GPU hours"])
      expect(line(page, `${what}  `)).toBe(`${what} | unknown`);
    expect(line(page, "stated  ")).toBe("stated | a few $10M's | published [2]");
    const free = printed(undefined, { parameters: 7e9, tokens: 1e12, gpu: "Ascend-910C" });
    expect(line(free, "rent ")).toBe("rent | unknown | none is known: give --price");
    expect(line(free, "rented")).toBe("rented | unknown | GPU hours x rent");
  });

  it("says that rollouts at the roofline are a bound, and where R1's base is", () => {
    expect(line(printed("recipes/tiny-r1-zero.yaml"), "r1-zero")).toMatch(/ \| at least 0\.0000/);
    expect(printed("deepseek-r1")).toMatch(/DeepSeek-V3, from which it was trained: .*plan deepseek-v3/);
    expect(printed("deepseek-r1").replace(/\n/g, " ")).toContain(
      "--completion-tokens sets the length of completions.",
    );
    expect(printed("deepseek-r1", { completionTokens: 8000 })).not.toContain("--completion-tokens");
  });

  it("is one JSON document for programs", () => {
    const { plan: found, origins } = JSON.parse(printed("gpt-3", { json: true }));
    expect(found.flop).toBeCloseTo(3.143e23, -20);
    expect(origins.gpus).toEqual({ value: 10_000, source: "epoch", firmness: "estimated" });
  });
});

test("lists presets and GPUs", () => {
  const page = printed(undefined, { list: true });
  expect(line(page, "deepseek-v3")).toBe(
    "deepseek-v3 | 671 B | 14.8 T | 3.30e24 | NVIDIA H800 SXM5 | 2.79 M",
  );
  expect(line(page, "H800")).toBe(
    "H800 | 2023-03-21 | 989 TFLOP/s | 1.98 PFLOP/s | 80 GB | 700 W | $2 $3.42 | $33,800",
  );
});

test.each<[string, string | undefined, PlanCommand]>([
  ["the verdict", undefined, {}],
  ["the list", undefined, { list: true }],
  ...Object.keys(systems).map((name): [string, string, PlanCommand] => [name, name, {}]),
])("%s fits 100 columns", (_, target, options) => {
  for (const one of printed(target, options).split("\n")) {
    expect(one.length, one).toBeLessThanOrEqual(100);
    expect(one).not.toMatch(/\[\d+m/);
  }
});

describe("numbers of the command line", () => {
  test.each([
    ["4096", 4096],
    ["1e9", 1e9],
    ["37B", 37e9],
    ["14.8T", 14.8e12],
    ["2.5k", 2500],
  ])("%s", (text, value) => expect(amount(text)).toBe(value));

  test.each(["-3", "0", "NaN", "Infinity", "1e999", "", ".", "1.2.3", "7 B", "7X", "0x10"])(
    "%s is refused",
    (text) => {
      expect(() => amount(text)).toThrow(/positive number/);
    },
  );

  test.each(["39", "1.01", "0", "-0.4", "NaN", "", "40%"])("a share of %s is refused", (text) => {
    expect(() => share(text)).toThrow(/0.39 for 39 %/);
  });

  it("takes shares up to 1", () => expect([share("0.39"), share("1")]).toEqual([0.39, 1]));
});
