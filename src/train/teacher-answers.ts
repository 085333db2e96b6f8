/** The answers of a teacher to a stage's problems, each written down as it comes, so that none is asked for twice. */
import { existsSync } from "node:fs";
import { UserError } from "../lib/errors.ts";
import { Journal, readJournal } from "../lib/journal.ts";
import type { Problem, Task } from "../tasks/problem.ts";
import { verdictsOf } from "../tasks/verdict.ts";
import { type Answer, Endpoint, type EndpointOptions, isOver, type Spent, spentOn } from "./endpoint.ts";
import type { Group, Sample } from "./rollout.ts";

/** A line of the file. */
type Line = Answer & { problem: string; sample: number };

/** What the answers in the file have cost. */
export const spentIn = (file: string, options: EndpointOptions): Spent =>
  spentOn(existsSync(file) ? readJournal<Line>(file) : [], options);

export class TeacherAnswers {
  private readonly options: EndpointOptions;
  private readonly endpoint: Endpoint;
  private readonly journal: Journal<Line>;
  private readonly known: Map<string, Answer>;

  /** @throws UserError where the key is not set */
  constructor(options: EndpointOptions, file: string) {
    this.options = options;
    this.endpoint = new Endpoint(options);
    const lines = existsSync(file) ? readJournal<Line>(file) : [];
    this.known = new Map(lines.map(({ problem, sample, ...answer }) => [`${problem}#${sample}`, answer]));
    this.journal = new Journal(file);
  }

  get over(): boolean {
    return isOver(spentOn(this.known.values(), this.options), this.options);
  }

  /**
   * Groups of the completions that the teacher gave, verified; problems without any are left out.
   * @throws UserError where no request of several succeeded, or the endpoint refuses them; answers that came are in the file
   */
  async groups(
    task: Task,
    problems: readonly Problem[],
    settings: { samples: number; temperature: number; topP?: number; maxNewTokens: number },
  ): Promise<{ groups: Group[]; failed: number }> {
    const wanted = problems.flatMap((problem) =>
      Array.from({ length: settings.samples }, (_, sample) => ({ problem, sample })),
    );
    const open = wanted.filter(({ problem, sample }) => !this.known.has(`${problem.id}#${sample}`));
    let [next, failed, answered] = [0, 0, 0];
    let refusal: unknown = null;
    const work = async (): Promise<void> => {
      while (next < open.length && refusal === null && !this.over) {
        const { problem, sample } = open[next++];
        try {
          const answer = await this.endpoint.ask(problem, settings);
          if (answer === null) failed++;
          else {
            answered++;
            this.known.set(`${problem.id}#${sample}`, answer);
            this.journal.append({ problem: problem.id, sample, ...answer });
          }
        } catch (error) {
          refusal ??= error;
        }
      }
    };
    await Promise.all(Array.from({ length: this.options.concurrency }, work));
    if (refusal !== null) throw refusal;
    if (failed > 0 && answered === 0) throw this.silent(failed);
    const given = wanted.flatMap((one) => {
      const answer = this.known.get(`${one.problem.id}#${one.sample}`);
      return answer === undefined ? [] : [{ ...one, answer }];
    });
    const verdicts = await verdictsOf(
      task,
      given.map(({ problem, answer }) => ({ problem, completion: answer.text })),
    );
    const samples = given.map(({ answer }, i) => sampleOf(task, answer, verdicts[i]));
    const groups = problems
      .map((problem) => ({ problem, samples: samples.filter((_, i) => given[i].problem === problem) }))
      .filter((group) => group.samples.length > 0);
    return { groups, failed };
  }

  private silent(failed: number): UserError {
    return new UserError({
      kind: "stage",
      where: this.options.url,
      what: `the teacher gave no usable answer to ${failed} requests, each tried ${this.options.retries + 1} times`,
      remedy: "The answers so far are kept: start the same command again when the endpoint answers.",
      data: { path: ["teacher"] },
    });
  }

  close(): void {
    this.journal.close();
  }
}

/** A completion without ids: it is text of another tokenizer. */
function sampleOf(
  task: Task,
  { text, finish, completionTokens }: Answer,
  verdict: Sample["verdict"],
): Sample {
  const steps = task.checkSteps?.(text);
  const perCharacter = completionTokens / Math.max(1, text.length);
  return {
    ...{ ids: [], logProbs: [], mask: [], ends: [], prompt: [], spoken: null },
    ...{ text, finish, verdict, tokens: completionTokens, components: {} },
    reward: verdict.value === null ? null : 0,
    steps: steps?.map(({ index, holds }) => ({ holds, position: Math.floor(index * perCharacter) })) ?? null,
  };
}
