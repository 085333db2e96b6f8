import { expect, it } from "vitest";
import {
  type FamilyRelationships,
  familyRelationships,
} from "../../../src/tasks/families/family-relationships.ts";
import { answered, testFamily } from "./family-tests.ts";
import { remembered } from "./remembered.ts";

interface Read {
  parents: Map<string, string[]>;
  spouse: Map<string, string>;
  women: Set<string>;
}

/** The story's facts, from its text. */
function read(question: string): Read {
  const facts: Read = { parents: new Map(), spouse: new Map(), women: new Set() };
  for (const [, husband, wife, children] of question.matchAll(/(\w+) and his wife (\w+) have (.*?)\./g)) {
    facts.spouse.set(husband!, wife!).set(wife!, husband!);
    facts.women.add(wife!);
    for (const [, sex, name] of children!.matchAll(/a (daughter|son) called (\w+)/g)) {
      facts.parents.set(name!, [husband!, wife!]);
      if (sex === "daughter") facts.women.add(name!);
    }
  }
  return facts;
}

/** Whether `a` is to `b` what the word says, by the definitions of the words. */
function holds({ parents, spouse, women }: Read, word: string, a: string, b: string): boolean {
  const parentsOf = (name: string) => parents.get(name) ?? [];
  const isParent = (x: string, y: string) => parentsOf(y).includes(x);
  const isSibling = (x: string, y: string) => x !== y && parentsOf(x).some((parent) => isParent(parent, y));
  const isGrandparent = (x: string, y: string) => parentsOf(y).some((parent) => isParent(x, parent));
  const isUncle = (x: string, y: string) => parentsOf(y).some((parent) => isSibling(x, parent));
  const spouseOf = (name: string) => spouse.get(name) ?? "";
  const isInLaw = (x: string, y: string) => isSibling(spouseOf(x), y) || isSibling(x, spouseOf(y));
  const meanings: Record<string, [boolean | null, (x: string, y: string) => boolean]> = {
    mother: [true, isParent],
    father: [false, isParent],
    daughter: [true, (x, y) => isParent(y, x)],
    son: [false, (x, y) => isParent(y, x)],
    wife: [true, (x, y) => spouseOf(y) === x],
    husband: [false, (x, y) => spouseOf(y) === x],
    sister: [true, isSibling],
    brother: [false, isSibling],
    grandmother: [true, isGrandparent],
    grandfather: [false, isGrandparent],
    granddaughter: [true, (x, y) => isGrandparent(y, x)],
    grandson: [false, (x, y) => isGrandparent(y, x)],
    "mother-in-law": [true, (x, y) => isParent(x, spouseOf(y))],
    "father-in-law": [false, (x, y) => isParent(x, spouseOf(y))],
    "daughter-in-law": [true, (x, y) => isParent(y, spouseOf(x))],
    "son-in-law": [false, (x, y) => isParent(y, spouseOf(x))],
    aunt: [true, isUncle],
    uncle: [false, isUncle],
    niece: [true, (x, y) => isUncle(y, x)],
    nephew: [false, (x, y) => isUncle(y, x)],
    "sister-in-law": [true, isInLaw],
    "brother-in-law": [false, isInLaw],
    cousin: [null, (x, y) => parentsOf(x).some((parent) => isUncle(parent, y))],
    "great-grandmother": [true, (x, y) => parentsOf(y).some((parent) => isGrandparent(x, parent))],
    "great-grandfather": [false, (x, y) => parentsOf(y).some((parent) => isGrandparent(x, parent))],
    "great-granddaughter": [true, (x, y) => parentsOf(x).some((parent) => isGrandparent(y, parent))],
    "great-grandson": [false, (x, y) => parentsOf(x).some((parent) => isGrandparent(y, parent))],
  };
  const meaning = meanings[word];
  return meaning !== undefined && (meaning[0] ?? women.has(a)) === women.has(a) && meaning[1](a, b);
}

const WORDS =
  "mother father daughter son wife husband sister brother grandmother grandfather granddaughter grandson mother-in-law father-in-law daughter-in-law son-in-law aunt uncle niece nephew sister-in-law brother-in-law cousin great-grandmother great-grandfather great-granddaughter great-grandson".split(
    " ",
  );
const right = remembered((question) => {
  const [, person, other] = /What is (\w+) to (\w+)\?/.exec(question)!;
  const facts = read(question);
  const words = WORDS.filter((word) => holds(facts, word, person!, other!));
  // No other word is right too.
  expect(words).toHaveLength(1);
  return words[0];
});

/** Steps to a parent, a child or a spouse. */
const STEPS: readonly [RegExp, number][] = [
  [/^(?:mother|father|daughter|son|wife|husband)$/, 1],
  [/^(?:sister|brother|grand\w+|(?:mother|father|daughter|son)-in-law)$/, 2],
  [/^(?:aunt|uncle|niece|nephew|(?:sister|brother)-in-law|great.*)$/, 3],
  [/^cousin$/, 4],
];

testFamily<FamilyRelationships>({
  kind: "family-relationships",
  levels: 4,
  isRight: (question, answer) => right(question) === answer,
  measure: ({ answer }) => STEPS.find(([words]) => words.test(answer))![1],
  distinct: [1000, 1000, 1000, 1000],
  others: () => WORDS,
  equal: (answer) => [
    ...[
      answer.toUpperCase(),
      answer.replace(/^./, (letter) => letter.toUpperCase()),
      answer.replaceAll("-", " "),
    ],
    ...[`**${answer}**`, `${answer}.`, `\`${answer}\``],
  ],
  refused: (answer, { data }) => [
    ...[
      `${answer}s`,
      `the ${answer}`,
      `her ${answer}`,
      `${data.person} is ${data.other}'s ${answer}`,
      data.person,
    ],
    ...[
      "mum",
      "parent",
      "sibling",
      "in-law",
      "relative",
      "step-mother",
      answer.replace(/[aeo]/, "а"),
      `${answer}--`,
    ],
  ],
});

const make = (level: number) =>
  familyRelationships.make(
    familyRelationships.options.parse({ kind: "family-relationships", difficulty: [level] }),
  );

it("names are used once, and every level asks for all its words", () => {
  const words = [1, 2, 3, 4].map((level) => {
    const problems = Array.from({ length: 400 }, (_, index) =>
      make(level).generate({ seed: 2, split: "train", index }),
    );
    for (const { data } of problems) {
      const born = data.couples.flatMap(({ children }) => children.map(({ name }) => name));
      expect(new Set(born).size).toBe(born.length);
      const married = data.couples.flatMap(({ husband, wife }) => [husband, wife]);
      expect(new Set(married).size).toBe(married.length);
      expect(data.person).not.toBe(data.other);
    }
    return [...new Set(problems.map(({ answer }) => answer))];
  });
  expect(words.map(({ length }) => length)).toEqual([8, 8, 6, 9]);
  expect(new Set(words.flat())).toEqual(new Set(WORDS));
});

it("a sister-in-law is a spouse's sister, or a brother's wife", () => {
  const inLaws = Array.from({ length: 200 }, (_, index) =>
    make(3).generate({ seed: 3, split: "train", index }),
  ).filter(({ answer }) => answer.endsWith("-in-law"));
  const bySpouse = inLaws.filter(({ data: { couples, person, other } }) =>
    couples.some(({ children }) => {
      const names = children.map(({ name }) => name);
      return names.includes(person) && !names.includes(other);
    }),
  );
  expect(bySpouse.length).toBeGreaterThan(10);
  expect(inLaws.length - bySpouse.length).toBeGreaterThan(10);
});

it("a story in another order is the same problem, and the other way round another", () => {
  const problem = make(2).generate({ seed: 1, split: "train", index: 0 });
  const { couples, person, other } = problem.data;
  const content = (data: FamilyRelationships) => make(2).content!({ ...problem, data });
  expect(content({ ...problem.data, couples: couples.toReversed() })).toBe(content(problem.data));
  expect(content({ couples, person: other, other: person })).not.toBe(content(problem.data));
});

it("someone without a relation leaves the problem unsolved", () => {
  const problem = make(1).generate({ seed: 1, split: "train", index: 0 });
  expect(() => make(1).solve!({ ...problem, data: { ...problem.data, person: "Nobody" } })).toThrow(
    "no relative",
  );
  expect(make(1).verify(problem, answered(problem.answer)).value).toBe(1);
});
