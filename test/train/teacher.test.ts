/** Rejection sampling from a teacher behind an endpoint that misbehaves: a real HTTP server, asked by a real run's stage. */
import { existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { BillBook } from "../../src/ledger/bill.ts";
import { ratesFor } from "../../src/ledger/prices.ts";
import { isUserError } from "../../src/lib/errors.ts";
import { countdown, countdownOptions } from "../../src/tasks/countdown.ts";
import { solvedCompletion } from "../../src/tasks/solved.ts";
import { CompactTokenizer } from "../../src/tokenizer/compact.ts";
import { endpointOptions } from "../../src/train/endpoint.ts";
import { sampleOptions } from "../../src/train/options.ts";
import { SampleStage } from "../../src/train/sample-stage.ts";
import type { StepReport } from "../../src/train/stage.ts";
import { spentIn } from "../../src/train/teacher-answers.ts";
import { temporaryFolder } from "../checkpoint/temporary.ts";
import { livelyParameters, tinyConfig, tinyContext } from "./tiny.ts";

const KEY = "sk-very-secret";
process.env.SPUTNIK_TEST_KEY = KEY;

const task = countdown(countdownOptions.parse({ kind: "countdown" }));
/** Right completions by what a teacher is asked: the prompt without its open thought. */
const solutions = new Map(
  Array.from({ length: 12 }, (_, index) => {
    const problem = task.generate({ seed: tinyContext.seed, split: "train", index });
    return [problem.prompt.replace(/\n<think>\n$/, ""), solvedCompletion(task, problem)];
  }),
);

interface Asked {
  model: string;
  max_tokens: number;
  messages: { role: string; content: string }[];
}

const completion = (content: string | null, more: object = {}, finish = "stop"): object => ({
  choices: [{ message: { role: "assistant", content, ...more }, finish_reason: finish }],
  usage: { prompt_tokens: 10, completion_tokens: 20 },
});
const right = ({ messages }: Asked): object => completion(solutions.get(messages.at(-1)!.content) ?? "?");
const send = (response: ServerResponse, body: object, status = 200): void => {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
};

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

type Handler = (asked: Asked, response: ServerResponse, place: number, request: IncomingMessage) => void;

/** A server on this machine; `place` counts the requests from 0. */
async function serve(handler: Handler): Promise<{ url: string; requests: Asked[]; most: () => number }> {
  const requests: Asked[] = [];
  let [open, most] = [0, 0];
  const server = createServer((request, response) => {
    most = Math.max(most, ++open);
    response.on("close", () => open--);
    let body = "";
    request.on("data", (chunk) => {
      body += chunk;
    });
    request.on("end", () => {
      const asked = JSON.parse(body) as Asked;
      handler(asked, response, requests.push(asked) - 1, request);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, requests, most: () => most };
}

async function sampled(
  url: string,
  teacher: object = {},
  { file = join(temporaryFolder(), "answers.jsonl"), over = {} }: { file?: string; over?: object } = {},
): Promise<{ reports: StepReport[]; file: string; steps: number }> {
  const options = sampleOptions.parse({
    ...{ kind: "sample", problems: 6, problemsPerStep: 3, samples: 1, temperature: 1, maxNewTokens: 77 },
    teacher: {
      url,
      model: "big",
      keyVariable: "SPUTNIK_TEST_KEY",
      timeoutSeconds: 5,
      retries: 2,
      ...teacher,
    },
    ...over,
  });
  const model = {
    config: tinyConfig,
    tokenizer: new CompactTokenizer(),
    parameters: livelyParameters(tinyConfig, 1),
  };
  const stage = await SampleStage.create(model, task, options, tinyContext, undefined, file);
  try {
    const reports: StepReport[] = [];
    while (stage.done < stage.totalSteps) reports.push(await stage.advance());
    return { reports, file, steps: stage.totalSteps };
  } finally {
    await stage.release();
  }
}

const rowsOf = (reports: readonly StepReport[]): number =>
  reports.reduce((sum, { rows = [] }) => sum + rows.length, 0);
const linesOf = (file: string): string[] => readFileSync(file, "utf8").split("\n").filter(Boolean);

it("asks with the key, the name and the limit, keeps right completions, and counts what was paid", async () => {
  const keys = new Set<string | undefined>();
  const { url, requests, most } = await serve((asked, response, _, request) => {
    keys.add(request.headers.authorization);
    setTimeout(() => send(response, right(asked)), 20);
  });
  const price = { input: 1, output: 2 };
  const { reports, file } = await sampled(url, { concurrency: 2, price, system: "Solve it." });
  expect(rowsOf(reports)).toBe(6);
  expect(requests).toHaveLength(6);
  expect(most()).toBe(2);
  expect([...keys]).toEqual([`Bearer ${KEY}`]);
  expect(requests[0]).toMatchObject({
    model: "big",
    max_tokens: 77,
    messages: [{ content: "Solve it." }, {}],
  });
  expect(requests[0].messages[1].content).not.toContain("<think>");
  const options = endpointOptions.parse({ url, model: "big", price });
  expect(spentIn(file, options)).toEqual({ promptTokens: 60, completionTokens: 120, dollars: 0.0003 });
  expect(readFileSync(file, "utf8")).not.toContain(KEY);
});

it("puts a thought that comes apart before the answer, where the prompt has opened it", async () => {
  const { url } = await serve((asked, response) => {
    const text = solutions.get(asked.messages.at(-1)!.content)!;
    const [thought, rest] = `1 + 1 = 2\n${text}`.split("</think>\n");
    send(response, completion(rest, { reasoning_content: thought }));
  });
  const { reports } = await sampled(url, {}, { over: { problems: 1 } });
  const [row] = reports[0].rows as { completion: string }[];
  expect(row.completion).toMatch(/^1 \+ 1 = 2\n<\/think>\n<answer>/);
});

/** Each misbehaves at its first requests, and mends. */
const PASSING: [string, Handler][] = [
  ["is overloaded", (_, response) => send(response, { error: "busy" }, 503)],
  ["limits the rate", (_, response) => void response.writeHead(429, { "retry-after": "0" }).end()],
  ["hangs up", (_, response) => void response.destroy()],
  ["stalls", () => undefined],
  ["answers with no JSON", (_, response) => void response.end("<html>oops")],
  ["answers with other JSON", (_, response) => send(response, { choices: [] })],
];

describe.each(PASSING)("a teacher that %s", (_, misbehave) => {
  it("is asked again, and nothing is lost", async () => {
    const { url, requests } = await serve((asked, response, place, request) =>
      place < 2 ? misbehave(asked, response, place, request) : send(response, right(asked)),
    );
    // Long enough for the answers that come, on a busy machine.
    const { reports } = await sampled(url, { timeoutSeconds: 2 });
    expect(rowsOf(reports)).toBe(6);
    expect(requests).toHaveLength(8);
  });
});

it("a refusal and nonsense are completions that are not kept", async () => {
  const { url } = await serve((asked, response, place) => {
    if (place === 0) send(response, completion(null, { refusal: "I cannot help with that." }));
    else if (place === 1) send(response, completion("🐟".repeat(50)));
    else if (place === 2) send(response, completion("82 - 27", {}, "length"));
    else send(response, right(asked));
  });
  const { reports } = await sampled(url, { concurrency: 1 });
  expect(rowsOf(reports)).toBe(3);
  expect(reports[0].metrics).toMatchObject({ "kept/problems": 0, "rejected/wrong": 3 });
});

it("a refused key ends the stage without showing it, and the answers before are never asked for again", async () => {
  let broken = true;
  const { url, requests } = await serve((asked, response, place) => {
    if (broken && place >= 4) send(response, { error: `bad key ${KEY}` }, 401);
    else send(response, right(asked));
  });
  const file = join(temporaryFolder(), "answers.jsonl");
  const error = await sampled(url, { concurrency: 1 }, { file }).catch((caught: unknown) => caught);
  expect(isUserError(error, "stage")).toBe(true);
  expect(String(error)).toContain("401");
  expect(String(error)).not.toContain(KEY);
  expect(linesOf(file)).toHaveLength(4);
  broken = false;
  const asked = requests.length;
  const { reports } = await sampled(url, { concurrency: 1 }, { file });
  expect(rowsOf(reports)).toBe(6);
  expect(requests.length - asked).toBe(2);
});

it("an endpoint that never answers ends the stage after all attempts", async () => {
  const { url, requests } = await serve((_, response) => send(response, {}, 500));
  await expect(sampled(url, { retries: 1 })).rejects.toThrow(
    "no usable answer to 3 requests, each tried 2 times",
  );
  expect(requests).toHaveLength(6);
});

it.each([
  ["tokens", { budget: { tokens: 120 } }],
  ["dollars", { budget: { dollars: 0.0002 }, price: { input: 1, output: 2 } }],
])("a budget in %s ends the stage with what it has", async (_, budget) => {
  const { url, requests } = await serve((asked, response) => send(response, right(asked)));
  const { reports, steps } = await sampled(url, { concurrency: 1, ...budget });
  expect(requests).toHaveLength(4);
  expect(rowsOf(reports)).toBe(4);
  expect(steps).toBe(2);
  const { reports: early, steps: fewer } = await sampled(url, { concurrency: 1, budget: { tokens: 60 } });
  expect([rowsOf(early), fewer]).toEqual([2, 1]);
  expect(early[0].notices).toEqual([expect.stringContaining("budget is spent after 1 of 2 steps")]);
});

it("the bill has what a stage's teacher has cost, once", () => {
  const book = new BillBook(ratesFor({ measuresEnergy: false }), ["2026-01-01T00:00:00Z"]);
  const cost = { stage: "sampled", model: "big", promptTokens: 10, completionTokens: 20, dollars: 1 };
  book.teacher({ ...cost, promptTokens: 5, dollars: 0.5 });
  book.teacher(cost);
  expect(book.bill().unpaid?.teachers).toEqual([cost]);
});

it("keeps to a rate", async () => {
  const { url } = await serve((asked, response) => send(response, right(asked)));
  const start = performance.now();
  await sampled(url, { requestsPerMinute: 600 });
  expect(performance.now() - start).toBeGreaterThan(480);
});

it("follows no redirect, which would carry the key elsewhere", async () => {
  const other = await serve((asked, response) => send(response, right(asked)));
  const { url } = await serve((_, response) => void response.writeHead(307, { location: other.url }).end());
  await expect(sampled(url, { retries: 0 })).rejects.toThrow("no usable answer");
  expect(other.requests).toEqual([]);
});

it("refuses a key that is not set, and an address with a password, before anything is asked", async () => {
  const file = join(temporaryFolder(), "answers.jsonl");
  await expect(sampled("http://127.0.0.1:9/v1", { keyVariable: "SPUTNIK_NO_KEY" }, { file })).rejects.toThrow(
    "SPUTNIK_NO_KEY",
  );
  expect(existsSync(file)).toBe(false);
  for (const url of ["https://me:pw@example.com/v1", "file:///etc/passwd", "example"])
    expect(endpointOptions.safeParse({ url, model: "m" }).success).toBe(false);
  const secret = { url: "https://example.com/v1", model: "m", keyVariable: "AWS_SECRET_ACCESS_KEY" };
  expect(endpointOptions.safeParse(secret).success).toBe(false);
});
