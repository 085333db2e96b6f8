/** What a person reads: figures, lines of progress, Markdown, errors. */
import { describe, expect, test } from "vitest";
import { billLine } from "../../src/cli/dry-run.ts";
import { renderMarkdown } from "../../src/cli/markdown.ts";
import { lineProgress } from "../../src/cli/progress.ts";
import { bytes, duration, percent, runTime, short, table } from "../../src/cli/screen.ts";
import type { RunEvent } from "../../src/events.ts";

const plain = (text: string): string =>
  text.replace(new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, "g"), "");

describe("figures", () => {
  test.each([
    [0, "0"],
    [999, "999"],
    [999.6, "1.00 k"],
    [1234567, "1.23 M"],
    [6.05e13, "60.5 T"],
  ])("%d as %s", (value, text) => expect(short(value)).toBe(text));

  test.each([
    [0.25, "0.3 s"],
    [9.4, "9.4 s"],
    [45.2, "45 s"],
    [100, "2 min"],
    [5990, "1 h 40 min"],
    [1e6, "12 days"],
    [Number.NaN, "unknown"],
  ])("%d seconds as %s", (value, text) => expect(duration(value)).toBe(text));

  test("a run's time in milliseconds, where it is that short", () => {
    expect([runTime(0.00425), runTime(0.9), runTime(24)]).toEqual(["4.25 ms", "900.00 ms", "24 s"]);
  });

  test("a bill of a plan: what is known, and which key of the recipe is missing for the rest", () => {
    expect(billLine({ watts: 65, dollarsPerHour: 0.05 }, 2)).toBe(
      "Bill: 130.0 Wh at 65 W (hardware.watts); $0.1000 at $0.05 an hour (hardware.dollarsPerHour).",
    );
    expect(billLine({ watts: null, dollarsPerHour: 0 }, 2)).toMatch(
      /^Bill: energy is known once .*\(hardware\.watts\); \$0\.0000 at/,
    );
    expect(billLine({ watts: 1, dollarsPerHour: null }, 2)).toMatch(
      /; cost is known once .*dollarsPerHour\)\.$/,
    );
  });

  test("bytes and shares", () => {
    expect(bytes(1023)).toBe("1023 B");
    expect(bytes(3196416)).toBe("3.0 MiB");
    expect(percent(0.857, 1)).toBe("85.7 %");
    expect(percent(null)).toBe("-");
  });

  test("a table sets numbers to the right", () => {
    expect(
      plain(
        table(
          ["name", "count"],
          [
            ["a", "7"],
            ["bc", "1,234"],
          ],
        ),
      )
        .split("\n")
        .map((line) => line.trimEnd()),
    ).toEqual(["name  count", "a         7", "bc    1,234"]);
  });
});

test("lines of progress: milestones, and no more than one step in ten seconds", () => {
  const lines: string[] = [];
  const progress = lineProgress((line) => lines.push(plain(line)));
  const stage = { name: "r1-zero", kind: "grpo", totalSteps: 100 } as const;
  const step = (number: number): RunEvent => ({
    ...{ type: "metrics", stage: "r1-zero", step: number, totalSteps: 100, secondsLeft: 100 - number },
    metrics: { "pass@1": 0.5, "length/mean": 61.7, validity: null },
  });
  progress.show({
    type: "run",
    name: "x",
    folder: "runs/x",
    seed: 1,
    parameters: 799104,
    stages: [stage],
    startedAt: "",
    resumedAt: 40,
  });
  progress.show({ type: "stage", index: 0, stage });
  for (let number = 1; number <= 100; number++) progress.show(step(number));
  progress.show({ type: "notice", level: "warning", message: "Nothing was learned." });
  expect(lines).toEqual([
    "x: 799,104 parameters, runs/x, resumed from step 40",
    "stage r1-zero (grpo, 100 steps)",
    "r1-zero 1/100  pass@1 50 %  length 62  left 99 s",
    "r1-zero 100/100  pass@1 50 %  length 62  left 0.0 s",
    "note Nothing was learned.",
  ]);
});

test("Markdown for a terminal: no pictures, no rules, aligned tables", () => {
  const text =
    "# Title\n\nA **bold** word, `code`.\n\n![curve](x.svg)\n\n| a | b |\n| --- | --- |\n| x \\| y | 1 |\n\n```yaml\nname: x\n```\n";
  const lines = plain(renderMarkdown(text))
    .split("\n")
    .map((line) => line.trimEnd());
  expect(lines).toEqual(["Title", "", "A bold word, code.", "", "a      b", "x | y  1", "", "  name: x"]);
});
