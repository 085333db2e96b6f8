import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isMap, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { isUserError, UserError } from "../../src/lib/errors.ts";
import { architectureOf, type DecoderConfig } from "../../src/models/config.ts";
import { loadRecipe, parseRecipe, problemsOf, type RecipeProblem } from "../../src/recipe/load.ts";
import { recipeShape } from "../../src/recipe/model.ts";
import type { GrpoStage, Recipe } from "../../src/recipe/schema.ts";
import { recipeWarnings } from "../../src/recipe/validate.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";

const recipes = readdirSync("recipes")
  .filter((file) => file.endsWith(".yaml"))
  .map((file) => `recipes/${file}`);
/** Kept apart from the shipped recipes, whose values are tuned. */
const tiny = readFileSync("test/fixtures/recipe.yaml", "utf8");

function refusal(text: string): { message: string; problems: RecipeProblem[] } {
  try {
    parseRecipe(text, "r.yaml");
  } catch (error) {
    if (!isUserError(error, "recipe")) throw error;
    return { message: error.message, problems: problemsOf(error) };
  }
  throw new Error("the recipe was accepted");
}

/** The tiny recipe with `from` replaced, which must occur. */
function edited(...edits: [from: string, to: string][]): string {
  return edits.reduce((text, [from, to]) => {
    expect(text).toContain(from);
    return text.replace(from, to);
  }, tiny);
}

describe.each(recipes)("%s", (file) => {
  const text = readFileSync(file, "utf8");

  test("is valid", () => {
    expect(loadRecipe(file).stages.length).toBeGreaterThan(0);
    expect(recipeWarnings(loadRecipe(file))).toEqual([]);
  });

  test("every key misspelt in turn is found, with its line, column and the right key", () => {
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines });
    const keys: { name: string; start: number; siblings: string[] }[] = [];
    visit(document, {
      Pair(_, { key }) {
        // A part that other places reuse: a mistake in it is found where it is used.
        return isScalar(key) && String(key.value).startsWith("x-") ? visit.SKIP : undefined;
      },
      Map(_, map) {
        const siblings = map.items.map(({ key }) => (isScalar(key) ? String(key.value) : ""));
        for (const { key } of map.items) {
          if (isScalar(key) && key.range && !/^(x-|<<$)/.test(String(key.value)))
            keys.push({ name: String(key.value), start: key.range[0], siblings });
        }
      },
    });
    expect(isMap(document.contents)).toBe(true);
    expect(keys.length).toBeGreaterThan(40);
    for (const { name, start, siblings } of keys) {
      const slips = [
        `${name}${name.at(-1)}`,
        name.length > 2 ? `${name.slice(0, 1)}${name.slice(2)}` : `${name}x`,
        `${name.slice(0, -2)}${name.at(-1)}${name.at(-2) ?? ""}`,
      ];
      for (const slip of slips) {
        if (slip === name || siblings.includes(slip)) continue;
        const wrong = `${text.slice(0, start)}${slip}${text.slice(start + name.length)}`;
        const error = refusal(wrong);
        const { line, col } = lines.linePos(start);
        expect(error.problems[0], `${slip} for ${name} on line ${line}`).toMatchObject({
          line,
          column: col,
          suggestion: name,
        });
        expect(error.problems, `${slip} for ${name}`).toHaveLength(1);
        expect(error.message).toContain(`r.yaml:${line}:${col}: Unknown key "${slip}"`);
        expect(error.message).toContain(`Did you mean "${name}"?`);
      }
    }
  });
});

describe("errors", () => {
  test("show every problem at once, in order, with the lines quoted, on one screen", () => {
    const error = refusal(
      edited(
        ["layers: 4", "layrs: 4"],
        ["groupSize: 8", "groupSize: 1"],
        ["lr: 0.01,", "lr: fast,"],
        ["kl: 0.01", "kl: -1"],
        ["maxNewTokens: 360", "maxNewTokens: 360.5"],
        ["advantage: grpo", "advantage: ppo"],
        ["keep: 2", "keep: 0"],
        ["    batch: 8\n", ""],
      ),
    );
    expect(error.problems.map(({ line }) => line)).toEqual([8, 26, 38, 52, 53, 56, 60, 73]);
    expect(error.message.split("\n").length).toBeLessThanOrEqual(24);
    expect(error.message).toContain('38:34: "lr" is the text "fast". Expected a number.\n');
    expect(error.message).toContain("    optimizer: { kind: muon, lr: fast, adamLr");
    expect(error.message).toContain('"batch" is missing in stage 1. Expected a number.');
    expect(error.message).toContain('"advantage" is the text "ppo". Expected grpo, dr-grpo or rloo.');
    expect(error.message).toContain("And 2 more, on line 60, 73.");
  });

  test("of YAML's grammar have their line", () => {
    expect(refusal("name: x\nseed: [1, 2\n").problems[0]).toMatchObject({ line: 3 });
    expect(refusal(`${tiny}\nname: again\n`).message).toContain("Map keys must be unique");
    expect(refusal("model: *nowhere\n").message).toContain("Unresolved alias");
    expect(refusal("").message).toContain("Expected a block of keys");
  });

  test("of a missing file name it", () => {
    expect(() => loadRecipe("recipes/none.yaml")).toThrow(/^recipes\/none\.yaml: There is no such file/);
    expect(() => loadRecipe("recipes")).toThrow(/This is a folder/);
  });

  test("of what YAML allows and a recipe has no use for are in words", () => {
    expect(refusal(`${tiny}---\nname: b\n`).message).toMatch(/A second document begins here/);
    expect(refusal(edited(["seed: 1", "seed: !foo 1"])).message).toMatch(/:4:7: Unresolved tag: !foo/);
    expect(refusal(edited(["  layers: 4", "\tlayers: 4"])).problems).toEqual([
      expect.objectContaining({
        line: 8,
        message: "YAML does not allow tabs here: indent with blanks.",
      }),
    ]);
    expect(refusal("").message).toContain("The recipe is empty");
  });

  test("in a long line are shown with what stands around them", () => {
    const long = `{ name: r, seed: 1, description: ${JSON.stringify("x".repeat(200))}, sed: 1 }`;
    const lines = refusal(long).message.split("\n");
    const quoted = lines.findIndex((line) => line.includes(`Unknown key "sed"`)) + 1;
    const column = lines[quoted + 1]!.indexOf("^");
    expect(lines[quoted]!.slice(column)).toMatch(/^sed: 1 }/);
    expect(lines[quoted]!.length).toBeLessThan(110);
  });

  test("of a file that is no text name what it is (D4)", () => {
    const path = join(temporaryFolder(), "r.yaml");
    writeFileSync(path, "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 7\n");
    expect(() => loadRecipe(path)).toThrow(
      /r\.yaml: Expected a recipe in YAML, found a Git LFS pointer to a file of 7/,
    );
    writeFileSync(path, Buffer.from("name: caf\xe9\n", "latin1"));
    expect(() => loadRecipe(path)).toThrow(/Line 1: .*not UTF-8 \(byte 0xE9\)/);
  });

  test("list the possible keys where none is near", () => {
    expect(refusal(edited(["keep: 2", "keep: 2, dog: 1"])).message).toContain(
      "No other key is allowed here.",
    );
    const message = refusal(edited(["seed: 1", "seed: 1\nzzzzzzzz: 1"])).message;
    expect(message).toContain("Other keys that are allowed here: description, hardware.");
  });
});

const grpoOf = (recipe: Recipe): GrpoStage => recipe.stages.find((stage) => stage.kind === "grpo")!;

describe("sense", () => {
  const cases: [string, [string, string][], RegExp][] = [
    ["one completion a group", [["groupSize: 8", "groupSize: 1"]], /A group needs at least 2 completions/],
    ["greedy RL", [["temperature: 1.0", "temperature: 0"]], /at 0 all completions of a group are equal/],
    [
      "reference without KL",
      [["kl: 0.01", "kl: 0\n    referenceEvery: 9"]],
      /no reference policy to replace/,
    ],
    [
      "too many mini-batches",
      [["miniBatches: 1", "miniBatches: 129"]],
      /128 completions a step .* use at most 128/,
    ],
    ["answers past the positions", [["maxNewTokens: 360", "maxNewTokens: 512"]], /512 positions/],
    ["rows past the positions", [["sequence: 384", "sequence: 513"]], /Rows of 513 tokens/],
    ["a range that never clips", [["ratio: token", "ratio: sequence"]], /would never clip/],
    [
      "a divisor without use",
      [["aggregation: token-mean", "aggregation: token-mean\n    aggregationLength: 9"]],
      /has no effect/,
    ],
    [
      "no reward",
      [["{ accuracy: 1.0, format: 0.1 }", "{ accuracy: 0, format: 0 }"]],
      /nothing can be learned/,
    ],
    ["tokens and steps", [["tokens: 6000000", "tokens: 6000000\n    steps: 9"]], /not both/],
    ["neither", [["    tokens: 6000000\n", ""]], /give tokens or steps/],
    ["less than a step", [["tokens: 6000000", "tokens: 3071"]], /One step takes 3072 tokens/],
    ["endless warm-up", [["warmup: 5,", "warmup: 140,"]], /never ends in a stage of 140/],
    ["same names", [["name: base-exam", "name: base"]], /Two stages are called "base"/],
    ["same labels", [["label: final", "label: base"]], /label "base"/],
    [
      "heads that do not divide",
      [["heads: 4\n  kvHeads: 4", "heads: 5"]],
      /"heads" is 5. Expected a divisor of hiddenSize 128. Use 4 heads/,
    ],
    ["odd heads", [["hiddenSize: 128", "hiddenSize: 100"]], /"headDim" is 25. Expected an even number/],
    [
      "greedy repeats",
      [["samples: 1\n    temperature: 0.6", "samples: 8\n    temperature: 0"]],
      /are the same/,
    ],
    [
      "Muon for an adapter (B10)",
      [
        [
          "optimizer: { kind: adamw",
          "lora: { rank: 2, alpha: 4 }\n    optimizer: { kind: muon, adamLr: 0.001",
        ],
      ],
      /only the two thin halves of an adapter are trained: use kind: adamw/,
    ],
    [
      "penalty from the first token",
      [["epochs: 1", "epochs: 1\n    overlong: { mode: soft, buffer: 360 }"]],
      /every completion would be punished/,
    ],
  ];
  test.each(cases)("%s is refused with a sentence", (_, edits, pattern) => {
    const { problems } = refusal(edited(...edits));
    expect(problems).toHaveLength(1);
    expect(problems[0]!.message).toMatch(pattern);
    expect(problems[0]!.line).toBeGreaterThan(0);
  });

  test("answers longer than any trained row are allowed, with a warning", () => {
    const recipe = parseRecipe(edited(["sequence: 384", "sequence: 128"]), "r.yaml");
    expect(recipeWarnings(recipe)).toEqual([
      expect.stringContaining("no training row before it is longer than 128"),
    ]);
  });
});

describe("files as editors save them", () => {
  test.each<[string, (text: string) => string | Buffer]>([
    ["a byte-order mark", (text) => `\uFEFF${text}`],
    ["UTF-16", (text) => Buffer.from(`\uFEFF${text}`, "utf16le")],
    ["UTF-16, big end first", (text) => Buffer.from(`\uFEFF${text}`, "utf16le").swap16()],
    ["Windows' line ends", (text) => text.replaceAll("\n", "\r\n")],
    ["carriage returns", (text) => text.replaceAll("\n", "\r")],
  ])("with %s are the same recipe (D4)", (_, save) => {
    const path = join(temporaryFolder(), "r.yaml");
    writeFileSync(path, save(tiny));
    expect(loadRecipe(path)).toEqual(parseRecipe(tiny, "r.yaml"));
  });
});

describe("merge keys (D11)", () => {
  // Lines 1 and 2 hold the part; "batch" and "sequence" leave the stage.
  const merged = (part: string, use = "<<: *part"): string =>
    `x-part: &part ${part}\n${edited(["    sequence: 384\n    batch: 8\n", `    ${use}\n`])}`;

  test("bring what they name, and give way to what the block says itself", () => {
    const plain = parseRecipe(tiny, "r.yaml");
    expect(parseRecipe(merged("{ batch: 8, sequence: 384 }"), "r.yaml")).toEqual(plain);
    expect(parseRecipe(merged("{ batch: 8, sequence: 384 }", "<<: [*part]"), "r.yaml")).toEqual(plain);
    expect(parseRecipe(merged("{ batch: 9, sequence: 384 }", "<<: *part\n    batch: 8"), "r.yaml")).toEqual(
      plain,
    );
  });

  test("have their mistakes where these stand", () => {
    expect(refusal(merged("{ batch: 0, sequence: 384 }")).problems[0]).toMatchObject({ line: 1, column: 24 });
    expect(refusal(merged("{ batch: 8, sequense: 384 }")).problems).toEqual([
      expect.objectContaining({ line: 1, suggestion: "sequence" }),
    ]);
    const use =
      merged("{}")
        .split("\n")
        .findIndex((line) => line.includes("<<")) + 1;
    for (const wrong of ["<<: 5", "<<: *nobody"])
      expect(refusal(merged("{ batch: 8, sequence: 384 }", wrong)).problems[0]).toMatchObject({
        line: use,
        message: expect.stringContaining("What << merges must be a block of keys"),
      });
    expect(refusal(merged("\n  a: 1\n  <<: *part")).message).toContain("leads to itself");
  });

  test("and a part at the top without x- is told its name", () => {
    expect(refusal(merged("{ batch: 8, sequence: 384 }").replace("x-part", "part")).message).toContain(
      '"x-part"',
    );
  });
});

describe("presets", () => {
  const objective = / {4}advantage: grpo[\s\S]*? {4}optimizer/;
  const preset = (lines: string): GrpoStage =>
    grpoOf(parseRecipe(tiny.replace(objective, `${lines}\n    optimizer`), "r.yaml"));

  test("fill the slots as the paper does", () => {
    expect(preset("    preset: grpo")).toMatchObject({
      advantage: "grpo",
      aggregation: "sequence-mean",
      kl: 0.04,
      epochs: 1,
    });
    expect(preset("    preset: dr-grpo")).toMatchObject({
      advantage: "dr-grpo",
      aggregation: "constant",
      kl: 0,
    });
    expect(preset("    preset: dapo")).toMatchObject({
      aggregation: "token-mean",
      clip: { low: 0.2, high: 0.28 },
      miniBatches: 16,
      overlong: { mode: "soft", buffer: 72, penalty: 1 },
    });
    expect(preset("    preset: rloo")).toMatchObject({ advantage: "rloo", ratio: "token" });
    expect(preset("    preset: gspo")).toMatchObject({
      ratio: "sequence",
      clip: { low: 3e-4, high: 4e-4 },
      miniBatches: 4,
    });
  });

  test("give way to what the recipe says, key by key", () => {
    const stage = preset(
      "    preset: dapo\n    clip: { high: 0.3 }\n    overlong: { mode: mask }\n    kl: 0.02",
    );
    expect(stage).toMatchObject({ clip: { low: 0.2, high: 0.3 }, overlong: { mode: "mask" }, kl: 0.02 });
  });

  test("are one of those that exist", () => {
    const text = tiny.replace(objective, "    preset: dapoo\n    optimizer");
    expect(refusal(text).message).toContain("Expected grpo, dr-grpo, dapo, rloo or gspo.");
    expect(refusal(tiny.replace(objective, "    optimizer")).message).toContain("or a preset that sets it");
  });
});

/** The config of a recipe that asks for a dense model. */
function denseConfig({ config }: ReturnType<typeof recipeShape>): DecoderConfig {
  if (!("kvHeads" in config)) throw new Error("this one is DeepSeek-V3");
  return config;
}

describe("the families", () => {
  const shape = (lines: string) =>
    denseConfig(
      recipeShape(parseRecipe(edited(["  ropeTheta: 10000\n", `  ropeTheta: 10000\n${lines}`]), "r.yaml")),
    );

  test("a recipe may ask for Qwen3's norms and for scaled rotary positions", () => {
    const yarn = "{ kind: yarn, factor: 4, originalPositions: 128 }";
    const config = shape(`  qkNorm: true\n  ropeScaling: ${yarn}\n`);
    expect(architectureOf(config)).toBe("qwen3");
    expect(config.ropeScaling).toEqual({
      kind: "yarn",
      factor: 4,
      originalPositions: 128,
      betaFast: 32,
      betaSlow: 1,
    });
  });

  test("and for nothing that no family has", () => {
    expect(() => shape("  qkNorm: true\n  qkvBias: true\n")).toThrow(UserError);
    // 512 positions are not twice 128.
    expect(() => shape("  ropeScaling: { kind: dynamic, factor: 2, originalPositions: 128 }\n")).toThrow(
      /"ropeScaling.originalPositions" is 128. Expected 512 positions \/ factor 2/,
    );
    expect(() => shape("  ropeScaling: { kind: ntk, factor: 2 }\n")).toThrow(UserError);
  });
});
