import { expect, it } from "vitest";
import { type Statement, type Syllogism, syllogism } from "../../../src/tasks/families/syllogism.ts";
import { answered, testFamily } from "./family-tests.ts";
import { remembered } from "./remembered.ts";

/**
 * What is there of two groups x and y, in bits: 1 for what is in neither, 2 in x only, 4 in y only, 8 in both. Two groups are
 * in one of 16 such states.
 */
const BIT = (x: boolean, y: boolean) => 1 << (Number(x) + 2 * Number(y));
const STATES = Array.from({ length: 16 }, (_, state) => state);

/** States of (a, b) and of (b, c), and the states of (a, c) that some model of the three groups joins with them. */
const JOINED = new Map<string, Set<number>>();
for (let model = 0; model < 256; model++) {
  let [ab, bc, ac] = [0, 0, 0];
  for (let thing = 0; thing < 8; thing++) {
    if (((model >> thing) & 1) === 0) continue;
    const [a, b, c] = [1, 2, 4].map((bit) => (thing & bit) !== 0) as [boolean, boolean, boolean];
    [ab, bc, ac] = [ab | BIT(a, b), bc | BIT(b, c), ac | BIT(a, c)];
  }
  const key = `${ab} ${bc}`;
  JOINED.set(key, (JOINED.get(key) ?? new Set()).add(ac));
}

const MEANING: Record<string, (state: number) => boolean> = {
  all: (state) => (state & 2) === 0,
  no: (state) => (state & 8) === 0,
  some: (state) => (state & 8) !== 0,
  "some not": (state) => (state & 2) !== 0,
};
const swapped = (state: number) => (state & 9) | ((state & 2) << 1) | ((state & 4) >> 1);

interface Read {
  quantifier: string;
  groups: [string, string];
}

function statement(text: string): Read {
  const [, first, x, not, y] = /^(all|no|some) (\w+) are (not )?(\w+)$/i.exec(text)!;
  return { quantifier: first!.toLowerCase() + (not ? " not" : ""), groups: [x!, y!] };
}

/** The states of (x, y) in which the statement is true and both groups have a member. */
function statesOf({ quantifier, groups }: Read, x: string): number[] {
  const true_ = STATES.filter(
    (state) => MEANING[quantifier]!(state) && (state & 10) !== 0 && (state & 12) !== 0,
  );
  return groups[0] === x ? true_ : true_.map(swapped);
}

/** Goes from group to group along the premises, over all models. */
const answerOf = remembered((question) => {
  const [, given, asked] = /^Each of .* member\. (.*)\. Does it follow that (.*)\? Answer yes or no\.$/.exec(
    question,
  )!;
  const premises = given!.split(". ").map(statement);
  const conclusion = statement(asked!);
  const [first, last] = conclusion.groups;
  let at = first;
  let states: number[] = [];
  for (let left = premises; left.length > 0; ) {
    const next: Read = left.find(({ groups }) => groups.includes(at))!;
    const steps = statesOf(next, at);
    const joined = (ab: number) => steps.flatMap((bc) => [...(JOINED.get(`${ab} ${bc}`) ?? [])]);
    states = at === first ? steps : [...new Set(states.flatMap(joined))];
    at = next.groups.find((group) => group !== at)!;
    left = left.filter((other) => other !== next);
  }
  expect(at).toBe(last);
  expect(states.length, "a model of the premises").toBeGreaterThan(0);
  return states.every(MEANING[conclusion.quantifier]!) ? "yes" : "no";
});

testFamily<Syllogism>({
  kind: "syllogism",
  levels: 4,
  isRight: (question, answer) => answer === answerOf(question),
  measure: ({ data: { premises } }) =>
    premises.length + premises.filter(({ form }) => form.startsWith("some")).length,
  distinct: [997, 1000, 1000, 1000],
  others: () => ["yes", "no"],
  equal: (answer) => [
    answer.toUpperCase(),
    answer[0]!.toUpperCase() + answer.slice(1),
    `${answer}.`,
    `**${answer}**`,
  ],
  refused: (answer) => [
    ...["yes no", "yes, no", "yes/no", "true", "false", "y", "n", "1", "0", "maybe", "It follows", "not no"],
    ...[`${answer}, it is so`, `${answer}!`, `not ${answer}`, answer + answer, answer.slice(0, 1)],
  ],
});

const task = syllogism.make(syllogism.options.parse({ kind: "syllogism" }));
const [a, b, c] = ["ants", "birds", "cats"];
const all = (subject: string, predicate: string): Statement => ({ form: "all", subject, predicate });
const no = (subject: string, predicate: string): Statement => ({ form: "no", subject, predicate });
const some = (subject: string, predicate: string): Statement => ({ form: "some", subject, predicate });
const someNot = (subject: string, predicate: string): Statement => ({ form: "some-not", subject, predicate });

it.each<[string, Statement[], Statement, "yes" | "no"]>([
  ["Barbara", [all(b, c), all(a, b)], all(a, c), "yes"],
  ["Celarent", [no(b, c), all(a, b)], no(a, c), "yes"],
  ["Darii", [all(b, c), some(a, b)], some(a, c), "yes"],
  ["Ferio", [no(b, c), some(a, b)], someNot(a, c), "yes"],
  ["Baroco", [all(c, b), someNot(a, b)], someNot(a, c), "yes"],
  ["Bocardo", [someNot(b, c), all(b, a)], someNot(a, c), "yes"],
  ["Darapti, which needs a member", [all(b, c), all(b, a)], some(a, c), "yes"],
  ["Felapton, which needs a member", [no(b, c), all(b, a)], someNot(a, c), "yes"],
  ["an undistributed middle", [all(a, b), some(b, c)], some(a, c), "no"],
  ["an undistributed middle with not", [all(a, b), someNot(b, c)], someNot(a, c), "no"],
  ["all in the wrong direction", [all(a, b), all(b, c)], all(c, a), "no"],
  ["an illicit major", [all(b, c), no(a, b)], no(a, c), "no"],
  ["two negative premises", [no(a, b), no(b, c)], no(a, c), "no"],
  ["two particular premises", [some(a, b), some(b, c)], some(a, c), "no"],
])("the solver knows %s", (_name, premises, conclusion, right) => {
  const problem = { id: "", prompt: "", level: 1, data: { premises, conclusion }, answer: right };
  expect(task.solve!(problem)).toBe(right);
  const wrong = right === "yes" ? "no" : "yes";
  expect(task.verify(problem, answered(wrong))).toMatchObject({
    value: 0,
    reason: `answer is ${wrong}, not ${right}`,
  });
});

it("yes and no are equally frequent, whatever the conclusion's form", () => {
  for (const level of [1, 2, 3, 4]) {
    const one = syllogism.make(syllogism.options.parse({ kind: "syllogism", difficulty: [level] }));
    const drawn = Array.from({ length: 1000 }, (_, index) =>
      one.generate({ seed: 1, split: "train", index }),
    );
    const yes = drawn.filter(({ answer }) => answer === "yes").length;
    expect(Math.abs(yes - 500), `${yes} of level ${level}`).toBeLessThan(60);
  }
});
