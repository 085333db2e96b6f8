/** Documents of several sources, in the shares that were asked for. */
import { expect, test } from "vitest";
import { dataSchema } from "../../src/data/options.ts";
import { documentSource } from "../../src/data/sources.ts";
import { Random } from "../../src/lib/random.ts";
import { taskFrom } from "../../src/tasks/registry.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";

const model = { tokenizer: new CompactTokenizer() };
const attempts = (singles: number) => ({
  ...{ kind: "countdown-attempts", numbers: [2], hint: 1, maxAttempts: 1, goOn: 0.5, maxResult: 100 },
  singles,
});
/** Single equations have no prompt to leave out, and solved problems do. */
const mix = dataSchema.parse({
  kind: "mix",
  parts: [
    { share: 3, data: attempts(1) },
    { share: 1, data: attempts(0) },
  ],
});

test("shares are kept in every stretch, and no document of a part is left out or comes twice", () => {
  const source = documentSource(mix, model, { seed: 1, stage: "sft" });
  const documents = Array.from({ length: 2400 }, (_, i) => source(i));
  const single = documents.map(({ trainFrom }) => trainFrom === 1);
  for (let from = 0; from + 40 <= 2400; from += 40)
    expect(single.slice(from, from + 40).filter(Boolean).length).toBe(30);
  const solved = documents.filter((_, i) => !single[i]);
  const alone = documentSource(dataSchema.parse(attempts(0)), model, {
    seed: new Random(1, "part", 1).uint32(),
    stage: "sft",
  });
  expect(solved).toEqual(Array.from({ length: 600 }, (_, i) => alone(i)));
});

test("parts with equal options draw different documents", () => {
  const twice = dataSchema.parse({
    kind: "mix",
    parts: [
      { share: 1, data: attempts(0) },
      { share: 1, data: attempts(0) },
    ],
  });
  const source = documentSource(twice, model, { seed: 1, stage: "sft" });
  expect(source(0).ids).not.toEqual(source(1).ids);
});

test("a share of solved problems has another problem's answer", () => {
  const data = dataSchema.parse({
    kind: "task",
    task: { kind: "instructions", languages: ["en"] },
    wrong: 0.25,
  });
  const bilingual = { tokenizer: new CompactTokenizer("bilingual") };
  const source = documentSource(data, bilingual, { seed: 1, stage: "pretrain" });
  const task = taskFrom({ kind: "instructions", languages: ["en"] });
  const right = Array.from({ length: 800 }, (_, index) => {
    const { ids, trainFrom } = source(index);
    const problem = task.generate({ seed: 1, split: "train", index });
    expect(bilingual.tokenizer.decode(ids.slice(1, trainFrom))).toBe(problem.prompt);
    return task.verify(problem, bilingual.tokenizer.decode(ids.slice(trainFrom, -1))).value;
  });
  // Another problem may have the same answer, such as a count of 3.
  const share = right.filter((value) => value === 0).length / right.length;
  expect(share).toBeGreaterThan(0.19);
  expect(share).toBeLessThan(0.31);
});

test("attempts are asked at an effort; a single equation has no problem to ask", () => {
  const source = (data: object) =>
    documentSource(dataSchema.parse({ ...attempts(0.5), ...data }), model, { seed: 1, stage: "sft" });
  const [plain, asked] = [source({}), source({ effort: 50 })];
  const prefix = model.tokenizer.encode("50\n");
  const changed = Array.from({ length: 100 }, (_, i) => {
    const [before, after] = [plain(i), asked(i)];
    if (before.trainFrom === 1) expect(after).toEqual(before);
    else {
      expect(after.ids).toEqual([before.ids[0], ...prefix, ...before.ids.slice(1)]);
      expect(after.trainFrom).toBe(before.trainFrom + prefix.length);
    }
    return before.trainFrom !== 1;
  });
  expect(changed.filter(Boolean).length).toBeGreaterThan(30);
});
