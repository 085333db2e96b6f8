/** A teacher behind an OpenAI-compatible chat-completions endpoint, in place of a stage's model. */
import { z } from "zod";
import { UserError } from "../lib/errors.ts";
import { count, nonNegative, positive } from "../lib/schema.ts";
import type { Problem } from "../tasks/problem.ts";

/** HTTP addresses without a password, which would be stored with the recipe. */
const isPlain = (text: string): boolean => {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
};

/** Set for this purpose alone: a stranger's recipe names the address that the key is sent to. */
const KEY_VARIABLE = /^SPUTNIK_([A-Z0-9]+_)*KEY$/;

export const endpointOptions = z
  .strictObject({
    url: z
      .string()
      .refine(isPlain, {
        error: "The address of an endpoint is an http(s) URL without a user or a password.",
      })
      .describe("Base of the endpoint, such as https://api.deepseek.com/v1."),
    model: z.string().min(1).describe("The model's name there."),
    keyVariable: z
      .string()
      .regex(KEY_VARIABLE, {
        error: "The variable's name is SPUTNIK_..._KEY, so that no recipe can send another secret away.",
      })
      .optional()
      .describe(
        "The environment variable that holds the key, SPUTNIK_..._KEY. The key itself is never written anywhere.",
      ),
    system: z.string().min(1).optional().describe("A system message before each problem that is no chat."),
    concurrency: count.default(4).describe("Requests at a time."),
    requestsPerMinute: positive.optional().describe("Most requests that begin in a minute."),
    timeoutSeconds: positive.default(120).describe("Of a request."),
    retries: z.int().min(0).default(5).describe("Further attempts of a request that failed, with backoff."),
    price: z
      .strictObject({ input: nonNegative, output: nonNegative })
      .optional()
      .describe("Dollars per million tokens, for the bill and a budget in dollars."),
    budget: z
      .strictObject({ tokens: count.optional(), dollars: positive.optional() })
      .optional()
      .describe("No request begins beyond it, and the stage ends with what it has."),
  })
  .describe("A model behind an OpenAI-compatible endpoint that answers instead of the stage's model.");

export type EndpointOptions = z.output<typeof endpointOptions>;

/** What a teacher said to one request. */
export interface Answer {
  /** As a completion of the problem's prompt; empty where the teacher refused. */
  text: string;
  finish: "stop" | "length";
  promptTokens: number;
  completionTokens: number;
}

/** Tokens that were paid. */
export interface Spent {
  promptTokens: number;
  completionTokens: number;
  /** `null` without a price. */
  dollars: number | null;
}

export const spentOn = (answers: Iterable<Answer>, { price }: Pick<EndpointOptions, "price">): Spent => {
  let [promptTokens, completionTokens] = [0, 0];
  for (const answer of answers) {
    promptTokens += answer.promptTokens;
    completionTokens += answer.completionTokens;
  }
  const dollars = price && (promptTokens * price.input + completionTokens * price.output) / 1e6;
  return { promptTokens, completionTokens, dollars: dollars ?? null };
};

export const isOver = (
  { promptTokens, completionTokens, dollars }: Spent,
  { budget }: EndpointOptions,
): boolean =>
  promptTokens + completionTokens >= (budget?.tokens ?? Number.POSITIVE_INFINITY) ||
  (dollars ?? 0) >= (budget?.dollars ?? Number.POSITIVE_INFINITY);

const tokens = z.int().min(0);
const responseSchema = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({
          content: z.string().nullish(),
          reasoning_content: z.string().nullish(),
          refusal: z.string().nullish(),
        }),
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
  usage: z.object({ prompt_tokens: tokens, completion_tokens: tokens }).nullish(),
});

/** A failure that another attempt may mend. */
class Passing extends Error {
  readonly seconds: number;
  constructor(message: string, seconds = 0) {
    super(message);
    this.seconds = seconds;
  }
}

const THINK = "<think>\n";
/** Characters that a token has in the mean, where a response does not count its tokens. */
const CHARACTERS = 4;
const FIRST_WAIT = 0.5;
const LONGEST_WAIT = 60;

const sleep = (seconds: number): Promise<void> => new Promise((done) => setTimeout(done, 1000 * seconds));

export class Endpoint {
  private readonly options: EndpointOptions;
  private readonly key: string | null;
  /** When the next request may begin, by `performance.now`. */
  private next = 0;

  /** @throws UserError where the variable of the key is not set */
  constructor(options: EndpointOptions) {
    const { keyVariable } = options;
    const key = keyVariable === undefined ? null : process.env[keyVariable]?.trim();
    if (key === undefined || key === "")
      throw new UserError({
        kind: "stage",
        what: `the environment variable ${keyVariable}, which should hold the teacher's key, is not set`,
        remedy: `Set ${keyVariable}, and start the same command again.`,
        data: { path: ["teacher", "keyVariable"] },
      });
    this.options = options;
    this.key = key;
  }

  /**
   * One completion. @returns `null` where every attempt failed in a way that may pass
   * @throws UserError where the endpoint refuses such requests altogether
   */
  async ask(
    problem: Problem,
    sampling: { temperature: number; topP?: number; maxNewTokens: number },
  ): Promise<Answer | null> {
    const { retries } = this.options;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.turn();
        return await this.request(problem, sampling);
      } catch (error) {
        if (!(error instanceof Passing)) throw error;
        if (attempt === retries) return null;
        const wait = Math.max(error.seconds, FIRST_WAIT * 2 ** attempt * (0.5 + Math.random()));
        await sleep(Math.min(LONGEST_WAIT, wait));
      }
    }
  }

  /** Waits for this request's place in the minute. */
  private async turn(): Promise<void> {
    const { requestsPerMinute } = this.options;
    if (requestsPerMinute === undefined) return;
    const at = Math.max(performance.now(), this.next);
    this.next = at + 60_000 / requestsPerMinute;
    await sleep((at - performance.now()) / 1000);
  }

  private async request(
    problem: Problem,
    { temperature, topP, maxNewTokens }: { temperature: number; topP?: number; maxNewTokens: number },
  ): Promise<Answer> {
    const { url, model, timeoutSeconds } = this.options;
    const messages = this.messagesOf(problem);
    let response: Response;
    let body: string;
    try {
      response = await fetch(`${url.replace(/\/+$/, "")}/chat/completions`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(this.key !== null && { authorization: `Bearer ${this.key}` }),
        },
        body: JSON.stringify({ model, messages, temperature, top_p: topP, max_tokens: maxNewTokens }),
        // A redirect would carry the key elsewhere.
        redirect: "error",
        signal: AbortSignal.timeout(1000 * timeoutSeconds),
      });
      body = await response.text();
    } catch {
      throw new Passing("no answer");
    }
    const { status } = response;
    if (status === 408 || status === 409 || status === 429 || status >= 500) {
      const seconds = Number(response.headers.get("retry-after"));
      throw new Passing(`status ${status}`, Number.isFinite(seconds) ? seconds : 0);
    }
    if (!response.ok) throw this.refused(status, body);
    return this.answerOf(problem, messages, body);
  }

  private messagesOf({ prompt, messages }: Problem): NonNullable<Problem["messages"]> {
    if (messages !== undefined) return messages;
    const { system } = this.options;
    const content = prompt.endsWith(`\n${THINK}`) ? prompt.slice(0, -THINK.length - 1) : prompt;
    return [
      ...(system === undefined ? [] : [{ role: "system" as const, content: system }]),
      { role: "user", content },
    ];
  }

  private answerOf(problem: Problem, messages: NonNullable<Problem["messages"]>, body: string): Answer {
    let json: unknown;
    try {
      json = JSON.parse(body);
    } catch {
      throw new Passing("the response is no JSON");
    }
    const { data } = responseSchema.safeParse(json);
    if (data === undefined) throw new Passing("the response is no chat completion");
    const [{ message, finish_reason }] = data.choices;
    const content = message.content ?? "";
    const thought = message.reasoning_content;
    const whole = thought ? `${THINK}${thought.trim()}\n</think>\n${content.trim()}` : content;
    const opened = problem.messages === undefined && problem.prompt.endsWith(THINK);
    const text = opened && whole.startsWith(THINK) ? whole.slice(THINK.length) : whole;
    const refused = message.refusal != null || finish_reason === "content_filter";
    const asked = messages.reduce((sum, one) => sum + one.content.length, 0);
    return {
      text: refused ? "" : text,
      finish: finish_reason === "length" ? "length" : "stop",
      promptTokens: data.usage?.prompt_tokens ?? Math.ceil(asked / CHARACTERS),
      completionTokens: data.usage?.completion_tokens ?? Math.ceil(whole.length / CHARACTERS),
    };
  }

  /** What the endpoint says may repeat the key. */
  private refused(status: number, body: string): UserError {
    const said = (this.key === null ? body : body.replaceAll(this.key, "[key]")).trim().slice(0, 200);
    return new UserError({
      kind: "stage",
      where: this.options.url,
      what: `the teacher refuses requests with status ${status}${said === "" ? "" : `: ${JSON.stringify(said)}`}`,
      remedy:
        "Check url, model and keyVariable. The answers so far are kept: the same command asks for the others.",
      data: { path: ["teacher"] },
    });
  }
}
