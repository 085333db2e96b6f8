/**
 * Does a conclusion follow from two to four premises about groups? The statements are Aristotle's four, and every group has
 * a member, as in the traditional syllogism.
 */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family } from "./family.ts";
import { readWord } from "./readers.ts";

const FORMS = ["all", "no", "some", "some-not"] as const;
type Form = (typeof FORMS)[number];

export interface Statement {
  form: Form;
  subject: string;
  predicate: string;
}

export interface Syllogism {
  premises: Statement[];
  conclusion: Statement;
}

const GROUPS =
  "ants bakers bears birds cats chefs clerks cooks dogs doctors farmers fish foxes frogs goats horses judges lions mice nurses owls pilots poets singers snakes swans teachers tigers whales writers".split(
    " ",
  );

const LEVELS: readonly { premises: number; forms: readonly Form[]; text: string }[] = [
  { premises: 2, forms: ["all", "no"], text: "two premises with all or no" },
  { premises: 2, forms: FORMS, text: "two premises with all, no, some or some are not" },
  { premises: 3, forms: FORMS, text: "three such premises" },
  { premises: 4, forms: FORMS, text: "four such premises" },
];

export const syllogism = family<"syllogism", Syllogism>({
  kind: "syllogism",
  levels: LEVELS.map(({ text }) => text),
  example: {
    data: {
      premises: [
        { form: "all", subject: "kings", predicate: "men" },
        { form: "no", subject: "men", predicate: "trees" },
      ],
      conclusion: { form: "some", subject: "kings", predicate: "trees" },
    },
    thought: "Every king is a man, and no man is a tree. So no king is a tree.",
  },
  draw,
  question: ({ premises, conclusion }) =>
    `Each of these groups has at least one member. ${premises.map((premise) => `${capital(say(premise))}.`).join(" ")} Does it follow that ${say(conclusion)}? Answer yes or no.`,
  content: ({ premises, conclusion }) => [...premises.map(say).sort(), say(conclusion)].join(". "),
  read: (text) => readWord(text, ["yes", "no"]),
  solve: ({ premises, conclusion }) => (follows(premises, conclusion) ? "yes" : "no"),
});

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

function say({ form, subject, predicate }: Statement): string {
  return form === "some-not" ? `some ${subject} are not ${predicate}` : `${form} ${subject} are ${predicate}`;
}

/** What premises are drawn from: each joins two neighbours in the chain of groups, and the conclusion joins its ends. */
interface Chain {
  groups: string[];
  forms: readonly Form[];
  /** Whether a statement may name the later group first. */
  isTurned: boolean;
}

/** "yes" and "no" are equally likely. A derivation proves the one, a model without the conclusion the other. */
function draw(random: Random, level: number): Drawn<Syllogism> | null {
  const { premises, forms } = LEVELS[level - 1]!;
  const groups = random.shuffle([...GROUPS]).slice(0, premises + 1);
  const chain = { groups, forms, isTurned: level > 1 };
  const answer = random.pick(["yes", "no"]);
  for (let attempt = 0; attempt < 200; attempt++) {
    const data = answer === "yes" ? drawProvable(random, chain) : drawRefutable(random, chain);
    if (data === null) continue;
    if (chain.isTurned) random.shuffle(data.premises);
    return { data, answer };
  }
  return null;
}

function turned(random: Random, form: Form, pair: readonly [string, string], { isTurned }: Chain): Statement {
  const [subject, predicate] = isTurned && random.uniform() < 0.5 ? [pair[1], pair[0]] : pair;
  return { form, subject, predicate };
}

const links = ({ groups }: Chain) => groups.slice(1).map((group, i) => [groups[i]!, group] as const);
const ends = ({ groups }: Chain) => [groups[0]!, groups.at(-1)!] as const;

/** Random premises, and one of the conclusions that are derived from them. */
function drawProvable(random: Random, chain: Chain): Syllogism | null {
  const premises = links(chain).map((pair) => turned(random, random.pick(chain.forms), pair, chain));
  const [first, last] = ends(chain);
  const derived = consequences(premises).filter(
    ({ form, subject, predicate }) =>
      chain.forms.includes(form) &&
      ((subject === first && predicate === last) ||
        (chain.isTurned && subject === last && predicate === first)),
  );
  return derived.length > 0 ? { premises, conclusion: random.pick(derived) } : null;
}

/** Premises that hold in a random model of three things, and a conclusion that does not. */
function drawRefutable(random: Random, chain: Chain): Syllogism | null {
  const members = new Map(chain.groups.map((group) => [group, random.integer(1, 7)]));
  const made = (pair: readonly [string, string], holds: boolean) =>
    chain.forms
      .map((form) => turned(random, form, pair, chain))
      .filter(
        ({ form, subject, predicate }) =>
          isTrue(form, members.get(subject)!, members.get(predicate)!) === holds,
      );
  const premises = links(chain).map((pair) => made(pair, true));
  const conclusions = made(ends(chain), false);
  return conclusions.length > 0 && premises.every((some) => some.length > 0)
    ? { premises: premises.map((some) => random.pick(some)), conclusion: random.pick(conclusions) }
    : null;
}

/** Of two groups as bits of their members. */
function isTrue(form: Form, subject: number, predicate: number): boolean {
  if (form === "all") return (subject & ~predicate) === 0;
  if (form === "no") return (subject & predicate) === 0;
  return form === "some" ? (subject & predicate) !== 0 : (subject & ~predicate) !== 0;
}

/** What the traditional rules derive: conversion, subalternation and the moods of two premises that they leave. */
function consequences(premises: readonly Statement[]): Statement[] {
  const found = new Map<string, Statement>();
  const queue = [...premises];
  const add = (form: Form, subject: string, predicate: string) => {
    if (subject !== predicate) queue.push({ form, subject, predicate });
  };
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (found.has(say(next))) continue;
    found.set(say(next), next);
    const { form, subject, predicate } = next;
    if (form === "all") add("some", subject, predicate);
    if (form === "no") add("some-not", subject, predicate);
    if (form === "no" || form === "some") add(form, predicate, subject);
    for (const other of [...found.values()])
      for (const [a, b] of [
        [next, other],
        [other, next],
      ] as const) {
        if (
          a.predicate === b.subject &&
          a.form !== "no" &&
          a.form !== "some-not" &&
          (b.form === "all" || b.form === "no")
        )
          // Barbara, Celarent, Darii, Ferio.
          add(a.form === "all" ? b.form : b.form === "all" ? "some" : "some-not", a.subject, b.predicate);
        // Baroco: all C are B, some A are not B.
        if (a.form === "all" && b.form === "some-not" && a.predicate === b.predicate)
          add("some-not", b.subject, a.subject);
        // Bocardo: some B are not C, all B are A.
        if (a.form === "all" && b.form === "some-not" && a.subject === b.subject)
          add("some-not", a.predicate, b.predicate);
      }
  }
  return [...found.values()];
}

/**
 * Whether the conclusion holds in every model of the premises: whether its denial contradicts them. A region is a set of
 * groups that something may belong to. "All" and "no" empty some regions; "some" and a group's member each need another one.
 */
function follows(premises: readonly Statement[], conclusion: Statement): boolean {
  const denial: Record<Form, Form> = { all: "some-not", no: "some", some: "no", "some-not": "all" };
  const all = [...premises, { ...conclusion, form: denial[conclusion.form] }];
  const terms = [...new Set(all.flatMap(({ subject, predicate }) => [subject, predicate]))];
  const within = (region: number, term: string) => ((region >> terms.indexOf(term)) & 1) === 1;
  /** Of "all" and "no" the regions that are empty, of the others those of which one is not. */
  const names = ({ form, subject, predicate }: Statement, region: number) =>
    within(region, subject) && within(region, predicate) === (form === "no" || form === "some");
  const universal = all.filter(({ form }) => form === "all" || form === "no");
  const regions = Array.from({ length: 2 ** terms.length }, (_, region) => region).filter(
    (region) => !universal.some((made) => names(made, region)),
  );
  const consistent =
    terms.every((term) => regions.some((region) => within(region, term))) &&
    all.every((made) => universal.includes(made) || regions.some((region) => names(made, region)));
  return !consistent;
}
