import { expect, it } from "vitest";
import { type Family, family } from "../../../src/tasks/families/family.ts";
import { readWhole } from "../../../src/tasks/families/readers.ts";
import { answered } from "./family-tests.ts";

interface Product {
  product: number;
}

/** A factor of a number, of which there are several. */
const factors: Family<"factors", Product> = {
  kind: "factors",
  levels: ["products of numbers up to 5", "products of numbers up to 9"],
  example: { data: { product: 6 }, thought: "6 is 2 times 3." },
  draw(random, level) {
    const [a, b] = [random.integer(2, 1 + 4 * level), random.integer(2, 1 + 4 * level)];
    return { data: { product: a * b }, answer: String(a) };
  },
  question: ({ product }) => `Name a factor of ${product} between 1 and ${product}.`,
  read: readWhole,
  check(canonical, { product }) {
    const factor = Number(canonical);
    if (factor <= 1 || factor >= product) return `${canonical} is not between 1 and ${product}`;
    return product % factor === 0 ? null : `${canonical} is no factor of ${product}`;
  },
  solve: ({ product }) => {
    let factor = 2;
    while (product % factor !== 0) factor++;
    return String(factor);
  },
};

const make = (changes: Partial<Family<"factors", Product>> = {}, options: object = {}) => {
  const entry = family({ ...factors, ...changes });
  return entry.make(entry.options.parse({ kind: "factors", ...options }));
};
const problem = { id: "", prompt: "", level: 1, data: { product: 12 }, answer: "4" };

it.each([
  ["4", 1, "right", "right"],
  ["3", 1, "right", "right"],
  ["6", 1, "right", "right"],
  ["5", 0, "wrong", "5 is no factor of 12"],
  ["12", 0, "wrong", "12 is not between 1 and 12"],
  ["3, 4", 0, "unparsed", "not one plain number"],
])("where several answers are right, %s is judged by itself", (answer, value, kind, reason) => {
  const verdict = make().verify(problem, answered(answer));
  expect(verdict).toMatchObject({ value, kind });
  expect(verdict.reason).toContain(reason);
});

it("two right answers that differ are no answer", () => {
  const chat = make({}, { template: "chat" });
  expect(chat.verify(problem, "#### 3\n#### 4")).toMatchObject({
    ...{ value: 0, kind: "unparsed", canonical: null, extracted: "4", reason: "two answers differ: 3 and 4" },
  });
  expect(chat.verify(problem, "#### 3\n#### 3.0").value).toBe(1);
});

it("the chat's example is never drawn, whatever the template", () => {
  const drawn = (template: string, product: number) =>
    (["train", "validation", "test"] as const).flatMap((split) => {
      // Without the example, a split may have no problem at all.
      const task = make({ example: { ...factors.example, data: { product } } }, { template });
      return Array.from({ length: 50 }, (_, index) => {
        try {
          return task.generate({ seed: 1, split, index }).data.product;
        } catch {
          return 0;
        }
      });
    });
  expect(drawn("plain", 7)).toContain(6);
  expect(drawn("plain", 6)).not.toContain(6);
  expect(drawn("plain", 6)).toEqual(drawn("chat", 6));
});

it("a problem whose answer cannot be read is unscored, and so is one whose reader fails", () => {
  const verdict = (answer: unknown) => make().verify({ ...problem, answer: answer as string }, answered("4"));
  expect(verdict("four")).toMatchObject({
    value: null,
    reason: "verifier fault: gold not usable: answer is not one plain number",
  });
  expect(verdict(4)).toMatchObject({
    value: null,
    reason: "verifier fault: gold not usable: number, not a string",
  });
  const failing = make({
    read() {
      throw new Error("broken");
    },
  });
  expect(failing.verify(problem, answered("4"))).toMatchObject({
    ...{ value: null, kind: "unscored", reason: "verifier fault: broken" },
  });
});

it("too few problems for a split are an error that says so", () => {
  const one = make({ draw: () => ({ data: { product: 4 }, answer: "2" }) });
  const splits = (["train", "validation", "test"] as const).map((split) => {
    try {
      return one.generate({ seed: 1, split, index: 0 }).id;
    } catch (error) {
      return (error as Error).message;
    }
  });
  expect(splits.filter((text) => text.startsWith("factors/"))).toHaveLength(1);
  expect(splits.filter((text) => text.includes("its options allow too few problems"))).toHaveLength(2);
});

it("levels are described for the page of recipe keys, and 1 is the default", () => {
  const { options } = family(factors);
  expect(options.parse({ kind: "factors" })).toEqual({ kind: "factors", difficulty: [1], template: "plain" });
  expect(options.shape.difficulty.description).toBe(
    "1: products of numbers up to 5; 2: products of numbers up to 9. Drawn evenly.",
  );
});
