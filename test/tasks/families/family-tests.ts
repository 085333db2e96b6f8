/** What every procedural family must do, whatever it asks: one call of `testFamily` in the family's own test file. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FamilyProblem } from "../../../src/tasks/families/family.ts";
import type { Task } from "../../../src/tasks/problem.ts";
import type { TaskInput } from "../../../src/tasks/registry.ts";
import { taskFrom } from "../../../src/tasks/registry.ts";
import { anyText } from "../any-text.ts";

export interface Expected<D> {
  kind: TaskInput["kind"];
  levels: number;
  /** Judges an answer from the question's text alone, by other means than the solver's. */
  isRight(question: string, answer: string): boolean;
  /** How hard a problem is; its mean must grow from level to level. */
  measure(problem: FamilyProblem<D>): number;
  /** Different problems among the first 1,000 of the training split, by level. */
  distinct: readonly number[];
  /** Answers in the right form to a problem, at least one of them wrong; the right one may be among them. */
  others(problem: FamilyProblem<D>): string[];
  /** Other forms of the right answer that count. */
  equal(answer: string, problem: FamilyProblem<D>): string[];
  /** What is no answer at all, beside the attacks below. */
  refused(answer: string, problem: FamilyProblem<D>): string[];
}

/** A completion that begins inside the thought, as the prompts of the templates leave it. */
export const answered = (answer: string) => `Let me see.\n</think>\n<answer>${answer}</answer>`;

/** The question of a plain prompt. */
export const questionOf = (prompt: string) => prompt.slice(0, prompt.indexOf("\n<think>\n"));

const range = (length: number) => Array.from({ length }, (_, i) => i);
/** As characters that only look like ASCII. */
const fullWidth = (text: string) =>
  text.replace(/[!-~]/g, (character) => String.fromCharCode(character.charCodeAt(0) + 0xfee0));

export function testFamily<D>(expected: Expected<D>): void {
  const { kind } = expected;
  const make = (options: object = {}) =>
    taskFrom({ kind, ...options } as TaskInput) as unknown as Required<Task<FamilyProblem<D>>>;
  const atLevel = (level: number, template = "plain") => make({ difficulty: [level], template });
  const problems = (level: number, count: number, split: "train" | "validation" | "test" = "train") => {
    const task = atLevel(level);
    return range(count).map((index) => task.generate({ seed: 1, split, index }));
  };
  /** The first of a level's training split, drawn once for all tests but that of equal keys. */
  const thousands = new Map<number, FamilyProblem<D>[]>();
  const known = (level: number, count: number) => {
    if (!thousands.has(level)) thousands.set(level, problems(level, 1000));
    return thousands.get(level)!.slice(0, count);
  };
  const levels = range(expected.levels).map((i) => i + 1);
  const task = make();
  const wrongOf = (problem: FamilyProblem<D>) =>
    expected.others(problem).filter((answer) => !expected.isRight(questionOf(problem.prompt), answer));

  describe.each(levels)(`${kind} of level %d`, (level) => {
    it("has right answers, by its generator and by its solver, in 300 problems", () => {
      for (const problem of known(level, 300)) {
        const question = questionOf(problem.prompt);
        const solved = task.solve({ ...problem, answer: "" });
        expect(expected.isRight(question, problem.answer), `${question} ${problem.answer}`).toBe(true);
        expect(expected.isRight(question, solved), `${question} ${solved}`).toBe(true);
        for (const answer of [problem.answer, solved])
          expect(task.verify(problem, answered(answer))).toMatchObject({
            ...{
              value: 1,
              kind: "right",
              canonical: answer,
              extracted: answer,
              format: true,
              reason: "right",
            },
          });
        const wrong = wrongOf(problem);
        expect(wrong.length).toBeGreaterThan(0);
        for (const answer of wrong.slice(0, 6))
          expect(task.verify(problem, answered(answer)), answer).toMatchObject({ value: 0, kind: "wrong" });
      }
    });

    it("is the same for the same key, different for others, and in one split only", () => {
      const seen = new Map<string, string>();
      for (const split of ["train", "validation", "test"] as const) {
        const drawn = problems(level, 150, split);
        expect(problems(level, 150, split)).toEqual(drawn);
        for (const problem of drawn) {
          const content = task.content(problem);
          expect(seen.get(content) ?? split).toBe(split);
          seen.set(content, split);
          expect(problem.level).toBe(level);
          expect(JSON.parse(JSON.stringify(problem))).toEqual(problem);
        }
      }
      expect(problems(level, 1)[0]!.id).toBe(`${kind}/1/train/0`);
      const other = atLevel(level).generate({ seed: 2, split: "train", index: 0 });
      expect(other.prompt).not.toBe(problems(level, 1)[0]!.prompt);
    });

    it("repeats itself no more often than is known", () => {
      const contents = new Set(known(level, 1000).map(task.content));
      expect(contents.size).toBe(expected.distinct[level - 1]);
    });
  });

  it(`${kind} is harder at each level`, () => {
    const means = levels.map((level) => {
      const all = known(level, 300).map(expected.measure);
      return all.reduce((sum, value) => sum + value, 0) / all.length;
    });
    for (const level of levels.slice(1))
      expect(means[level - 1], `levels ${means}`).toBeGreaterThan(means[level - 2]!);
  });

  describe(`${kind}'s verifier`, () => {
    const some = levels.flatMap((level) => known(level, 12));
    const each = (test: (problem: FamilyProblem<D>, right: string, wrong: string) => void) => {
      for (const problem of some) test(problem, problem.answer, wrongOf(problem)[0]!);
    };
    const verify = (problem: FamilyProblem<D>, completion: string) => task.verify(problem, completion);

    it("counts other forms of the right answer", () =>
      each((problem, right) => {
        for (const form of [right, `\n${right}\n`, ` \t${right} `, ...expected.equal(right, problem)])
          expect(verify(problem, answered(form)), form).toMatchObject({ value: 1, canonical: right });
        expect(verify(problem, `<think>\n${answered(right)}\nDone.`)).toMatchObject({
          value: 1,
          format: true,
        });
        expect(verify(problem, `${answered(right)}<|im_end|>`)).toMatchObject({ value: 1, format: true });
      }));

    it("reads no answer where there is none, or more than one", () =>
      each((problem, right, wrong) => {
        for (const completion of [
          ...["", "</think>", right, `a</think>${right}`, `a</think>The answer is ${right}.`],
          `<answer>${right}</answer></think>`,
          `a</think><answer>${right}`,
          `a</think>${right}</answer>`,
          `a</think></answer>${right}<answer>`,
          `a</think><ANSWER>${right}</ANSWER>`,
          `a</think>&lt;answer&gt;${right}&lt;/answer&gt;`,
          `a</think>#### ${right}`,
          `a</think>\\boxed{${right}}`,
          `${answered(wrong)}<answer>${right}</answer>`,
          `${answered(right)}<answer>${wrong}</answer>`,
          answered(right) + answered(right),
          answered(`<answer>${right}</answer>`),
          ...["", " \n ", "?", "*", ".*", "**", "`", ".", "[object Object]"].map(answered),
          ...[`the answer is ${right}`, `${right} because it is so`, `${right}; ${wrong}`].map(answered),
          ...[`${right} or ${wrong}`, `${wrong} or ${right}`, `${right} / ${wrong}`].map(answered),
          ...[`not ${right} but ${right}`, `"${right}"`, `<b>${right}</b>`, `= ${right}`].map(answered),
          answered(expected.others(problem).concat(right).join(" or ")),
          ...[fullWidth(right), `\u00a0${right}`, `\ufeff${right}`, `${right}\u0000`, `${right}\u200b`].map(
            answered,
          ),
          ...[`${right}\u0301`, `\u202e${right}`, `${right}\u2028`].map(answered),
          ...["process.exit(1)", `${right};process.exit(1)`, '{"valueOf": 1}', "__proto__"].map(answered),
          ...["(", "<", "1", "a", "$", `${right} `].map((unit) => answered(unit.repeat(5000))),
          answered(problem.prompt),
          answered(questionOf(problem.prompt)),
          problem.prompt,
          ...expected.refused(right, problem).map(answered),
        ])
          expect(verify(problem, completion), completion.slice(0, 200)).toMatchObject({
            ...{ value: 0, kind: "unparsed", canonical: null },
          });
      }));

    it("pays no list of all answers, in the block or out of it", () =>
      each((problem, right, wrong) => {
        const all = [...expected.others(problem), right];
        for (const separator of [", ", ",", "\n", " ", " and ", "|", "/", "; "])
          expect(verify(problem, answered([...new Set(all)].join(separator))).value, separator).toBe(0);
        for (const word of ["null", "undefined", "NaN", "any", "all"])
          expect(verify(problem, answered(word)).value).toBe(0);
        const inThought = `${all.map((answer) => `<answer>${answer}</answer>`).join("")}${answered(wrong)}`;
        expect(verify(problem, inThought)).toMatchObject({ value: 0, kind: "wrong", format: false });
        expect(verify(problem, all.map(answered).join("\n"))).toMatchObject({ value: 0, kind: "unparsed" });
      }));

    it("reads an answer without knowledge of the right one", () =>
      each((problem, right, wrong) => {
        const [own, foreign] = [problem, { ...problem, answer: wrong }].map((one) =>
          verify(one, answered(right)),
        );
        expect([foreign!.extracted, foreign!.canonical]).toEqual([own!.extracted, own!.canonical]);
        expect(verify(problem, answered(wrong)).canonical).toBe(wrong);
      }));

    it("leaves a problem unscored whose own answer cannot be used", () =>
      each((problem, right) => {
        for (const gold of [undefined, null, 5, "", "?", [right]])
          expect(verify({ ...problem, answer: gold as string }, answered(right)), String(gold)).toMatchObject(
            { value: null, kind: "unscored" },
          );
        const bare = { id: "", prompt: "" } as FamilyProblem<D>;
        expect(verify(bare, answered(right)).value).toBeNull();
      }));

    it("takes little time for 200,000 characters, and refuses a million", () =>
      [some[0]!].forEach((problem) => {
        const right = problem.answer;
        const chat = make({ template: "chat" });
        for (const unit of [
          `<answer>${right}</answer>`,
          `${right} `,
          "#### 1\n",
          "<",
          "####",
          `#### ${right}\n`,
        ]) {
          const start = performance.now();
          for (const one of [task, chat])
            expect([0, 1]).toContain(one.verify(problem, unit.repeat(200_000 / unit.length)).value);
          expect(performance.now() - start, unit).toBeLessThan(5000);
        }
        expect(verify(problem, `${"a".repeat(1_000_000)}${answered(right)}`)).toMatchObject({
          ...{ value: 0, reason: "completion longer than 1000000 characters" },
        });
      }));

    it("never throws", () => {
      fc.assert(
        fc.property(anyText, fc.constantFrom(...some), (text, problem) => {
          expect(verify(problem, text).value).toBe(0);
          expect([0, 1]).toContain(verify(problem, answered(text)).value);
          expect(verify(problem, answered(problem.answer + text + problem.answer)).value).toBe(0);
        }),
        { numRuns: 300, seed: 1 },
      );
    });
  });

  it(`${kind} in a chat begins with an example in the answer's form, and is answered behind ####`, () => {
    for (const level of levels) {
      const [plain] = problems(level, 1) as [FamilyProblem<D>];
      const chat = atLevel(level, "chat");
      const problem = chat.generate({ seed: 1, split: "train", index: 0 });
      expect({ ...problem, prompt: "", messages: [] }).toEqual({ ...plain, prompt: "", messages: [] });
      const [system, question, example, own] = problem.messages!;
      expect(problem.messages!.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
      expect(system!.content).toContain("####");
      expect(own!.content).toBe(questionOf(plain.prompt));
      expect(problem.prompt).toBe(own!.content);
      const [thought, shown] = example!.content.split("\n#### ") as [string, string];
      expect(thought.length).toBeGreaterThan(10);
      expect(expected.isRight(question!.content, shown), example!.content).toBe(true);

      const right = problem.answer;
      const wrong = wrongOf(plain)[0]!;
      const verify = (completion: string) => chat.verify(problem, completion);
      for (const completion of [`So.\n#### ${right}`, `#### ${right}`, `So.\n#### ${right}<|im_end|>`])
        expect(verify(completion)).toMatchObject({ value: 1, format: true, canonical: right });
      for (const completion of [
        `#### ${right}\n#### ${right}`,
        answered(right),
        `#### ${right} ####`,
        `#### ${right}\n${"That was all, and it took long. ".repeat(15)}`,
        `${"so, ".repeat(10_000)}\n#### ${right}\n${"\n".repeat(5000)}.`,
        `**#### ${right}**`,
      ])
        expect(verify(completion), completion).toMatchObject({ value: 1, format: false });
      for (const completion of [
        ...[`#### ${right}\n#### ${wrong}`, `#### ${wrong}\n#### ${right}`, `#### ${right}\n#### ?`],
        ...[
          right,
          `So ${right}`,
          "####",
          "####\n####",
          `#### ${right} or ${wrong}`,
          `### ${right}`,
          example!.content,
        ],
        ...[`#### ${right}</think>`, `#### ${right}\n<answer>`],
      ])
        if (completion !== example!.content || !completion.endsWith(`#### ${right}`))
          expect(verify(completion).value, completion).toBe(0);
      expect(verify(`#### ${right}</think>\n#### ${wrong}`)).toMatchObject({ value: 0, canonical: wrong });
      expect(verify(`#### ${wrong}\n<answer>${right}</answer>`)).toMatchObject({ value: 1, format: false });
    }
  });

  it(`${kind} has R1's template, levels in any mixture, and no others`, () => {
    const key = { seed: 3, split: "validation", index: 5 } as const;
    const r1 = make({ template: "r1" }).generate(key);
    expect(r1.prompt).toContain(`User: ${questionOf(make().generate(key).prompt)} Assistant:\n<think>\n`);
    const mixed = make({ difficulty: [1, expected.levels] });
    const drawn = range(100).map((index) => mixed.generate({ ...key, index }).level);
    expect(new Set(drawn)).toEqual(new Set([1, expected.levels]));
    for (const difficulty of [[0], [expected.levels + 1], [], [1.5], 1])
      expect(() => make({ difficulty }), JSON.stringify(difficulty)).toThrow();
    expect(make().name).toBe(kind);
  });
}
