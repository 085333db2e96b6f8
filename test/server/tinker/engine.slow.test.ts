/** The server as it runs: a port, a thread that computes, the shipped model, and clients that train and sample. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SHIPPED } from "../../../src/run/find-model.ts";
import { type RunningTinker, startTinker } from "../../../src/server/tinker/serve.ts";
import { readPass, readSamples, type SentDatum, TinkerClient } from "./client.ts";

const BASE = "sputnik/tiny-r1-zero";
let server: RunningTinker;
let client: TinkerClient;

const folder = mkdtempSync(join(tmpdir(), "sputnik-tinker-"));

beforeAll(async () => {
  server = await startTinker({ models: new Map([[BASE, SHIPPED]]), folder, host: "127.0.0.1", port: 0 });
  client = new TinkerClient((path, init) => fetch(`${server.url}${path}`, init));
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

const ids = [20, 21, 22, 23, 24, 25, 26, 27];
const datum: SentDatum = {
  tokens: ids.slice(0, -1),
  inputs: { target_tokens: ids.slice(1), weights: ids.slice(1).map(() => 1) },
};
const loss = async (model: string, sequence: number, data: SentDatum[] = [datum], name = "cross_entropy") => {
  const future = await client.pass({ model, sequence, data, loss: name });
  return readPass((await client.result(future)).bytes);
};
const step = async (model: string, seq_id: number) =>
  client.result(
    await client.post("optim_step", { model_id: model, seq_id, adam_params: { learning_rate: 5e-3 } }),
  );
const keep = async (model: string, seq_id: number, sampling_session_seq_id: number): Promise<string> => {
  const body = { model_id: model, seq_id, sampling_session_seq_id };
  const { sampling_session_id: id } = await client.result(
    await client.post("save_weights_for_sampler", body),
  );
  return id as string;
};
const sample = async (sampler: string, seq_id: number, params: object = {}, fields: object = {}) =>
  readSamples(
    (
      await client.result(
        await client.post("asample", {
          ...{ sampling_session_id: sampler, seq_id, num_samples: 2, ...fields },
          prompt: { chunks: [{ type: "encoded_text", tokens: ids }] },
          sampling_params: {
            max_tokens: 6,
            seed: 5,
            temperature: 1,
            top_k: -1,
            top_p: 1,
            stop: [],
            ...params,
          },
        }),
      )
    ).bytes,
  );

test("two clients train adapters of their own on one model", async () => {
  const session = await client.session();
  const [one, other] = await Promise.all(
    [0, 1].map((model_seq_id) => client.model(session, BASE, { model_seq_id })),
  );
  const first = await loss(one, 1);
  expect(first.values[0].reduce((sum, logProb) => sum - logProb, 0)).toBeCloseTo(
    first.metrics["loss:sum"],
    3,
  );
  await step(one, 2);
  for (let i = 0; i < 3; i++) {
    await loss(one, 3 + 2 * i);
    await step(one, 4 + 2 * i);
  }
  expect((await loss(one, 9)).metrics["loss:sum"]).toBeLessThan(first.metrics["loss:sum"] - 1);
  // Same seed, no update yet.
  expect((await loss(other, 1)).values).toEqual(first.values);
});

test("a chunked pass gives the gradients of a whole one", async () => {
  const session = await client.session();
  const [whole, chunked] = await Promise.all(
    [0, 1].map((model_seq_id) => client.model(session, BASE, { model_seq_id })),
  );
  const other: SentDatum = { ...datum, tokens: [...datum.tokens].reverse() };
  await loss(whole, 1, [datum, other]);
  await loss(chunked, 1, [datum]);
  await loss(chunked, 2, [other]);
  const norms = [await step(whole, 2), await step(chunked, 3)].map(
    ({ metrics }) => (metrics as Record<string, number>)["optim/grad_norm"],
  );
  expect(norms[1]).toBeCloseTo(norms[0], 3);
});

test("a sampling client keeps the weights of its time; the trainer sees its tokens with its log-probabilities", async () => {
  const session = await client.session();
  const model = await client.model(session, BASE);
  const before = await keep(model, 1, 0);
  const first = await sample(before, 0);
  await loss(model, 2);
  await step(model, 3);
  const after = await keep(model, 4, 1);
  expect(await sample(before, 1)).toEqual(first);
  const [{ ids: completion, logProbs }] = (await sample(after, 0)).sequences;
  const all = [...ids, ...completion];
  const zeros = ids.slice(1).map(() => 0);
  const data: SentDatum = {
    tokens: all.slice(0, -1),
    inputs: {
      target_tokens: all.slice(1),
      logprobs: [...zeros, ...logProbs],
      advantages: [...zeros, ...logProbs.map(() => 1)],
    },
  };
  const { values } = await loss(model, 5, [data], "importance_sampling");
  values[0].slice(zeros.length).forEach((logProb, i) => {
    expect(logProb).toBeCloseTo(logProbs[i], 4);
  });
  expect(logProbs).not.toEqual(first.sequences[0].logProbs);
});

test("prompts are scored, and a text ends a completion", async () => {
  const session = await client.session();
  const model = await client.model(session, BASE);
  const sampler = await keep(model, 1, 0);
  const { values } = await loss(model, 2);
  const { promptLogProbs } = await sample(sampler, 0, {}, { prompt_logprobs: true });
  expect(promptLogProbs[0]).toBeNaN();
  promptLogProbs.slice(1).forEach((logProb, i) => {
    expect(logProb).toBeCloseTo(values[0][i], 4);
  });
  const free = (await sample(sampler, 1, { max_tokens: 40, temperature: 0 })).sequences[0];
  const { model_data } = await client.post("get_info", { model_id: model });
  expect((model_data as { tokenizer_id: string }).tokenizer_id).toBe(SHIPPED);
  // Some text of the completion, and where it first appears.
  const { readShape } = await import("../../../src/checkpoint/model.ts");
  const { TextStream } = await import("../../../src/tokenizer/stream.ts");
  const stream = new TextStream(readShape(SHIPPED).tokenizer, ids);
  const pieces = free.ids.map((id) => stream.push(id));
  const text = pieces.slice(3).find((piece) => piece.trim() !== "") as string;
  const end =
    pieces.findIndex((_, i) =>
      pieces
        .slice(0, i + 1)
        .join("")
        .includes(text),
    ) + 1;
  const stopped = (await sample(sampler, 2, { max_tokens: 40, temperature: 0, stop: text })).sequences[0];
  expect(stopped).toMatchObject({ ids: free.ids.slice(0, end), finish: "stop" });
});

test("a saved state goes on as if it had not been left, with the optimizer's moments", async () => {
  const session = await client.session();
  const model = await client.model(session, BASE);
  await loss(model, 1);
  await step(model, 2);
  const saved = await client.result(
    await client.post("save_weights", { model_id: model, seq_id: 3, path: "s" }),
  );
  const load = (model_seq_id: number, optimizer: boolean) =>
    client.post("load_weights", { session_id: session, model_seq_id, path: saved.path, optimizer });
  await client.result(await load(7, true));
  await client.result(await load(8, false));
  const [same, fresh] = [7, 8].map((number) => `${session}:train:${number}`);
  const next = async (name: string, sequence: number) => {
    await loss(name, sequence);
    await step(name, sequence + 1);
    return (await loss(name, sequence + 2)).values;
  };
  const wanted = await next(model, 4);
  expect(await next(same, 1)).toEqual(wanted);
  expect(await next(fresh, 1)).not.toEqual(wanted);
});

test("weights that were saved to sample from are the model's", async () => {
  const session = await client.session();
  const model = await client.model(session, BASE);
  await loss(model, 1);
  await step(model, 2);
  const kept = await keep(model, 3, 0);
  const body = { model_id: model, seq_id: 4, path: "for-sampling" };
  const { path } = await client.result(await client.post("save_weights_for_sampler", body));
  const sampler = async (sampling_session_seq_id: number, fields: object) => {
    const request = { session_id: session, sampling_session_seq_id, ...fields };
    return (await client.post("create_sampling_session", request)).sampling_session_id as string;
  };
  const wanted = await sample(kept, 0);
  expect(await sample(await sampler(1, { model_path: path }), 0)).toEqual(wanted);
  expect(await sample(await sampler(2, { base_model: BASE }), 0)).not.toEqual(wanted);
  // Damaged meanwhile: each request says so.
  const run = model.replaceAll(":", "-");
  rmSync(join(folder, run, "sampler_weights", "for-sampling", "adapter"), { recursive: true });
  const damaged = await sampler(3, { model_path: path });
  await expect(sample(damaged, 0)).rejects.toThrow(/user: .*adapter_config.json/);
});

test("the server answers while it computes", async () => {
  const session = await client.session();
  const model = await client.model(session, BASE);
  const long: SentDatum = {
    tokens: Array.from({ length: 100 }, (_, i) => 10 + (i % 18)),
    inputs: { target_tokens: Array(100).fill(12), weights: Array(100).fill(1) },
  };
  const future = await client.pass({
    model,
    sequence: 1,
    data: Array(200).fill(long),
    loss: "cross_entropy",
  });
  let done = false;
  const result = client.result(future).then(() => {
    done = true;
  });
  const times: number[] = [];
  while (!done) {
    const start = performance.now();
    await client.post("session_heartbeat", { session_id: session });
    times.push(performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await result;
  expect(times.length).toBeGreaterThan(3);
  expect(Math.max(...times)).toBeLessThan(1000);
});

test("a token that the model does not have fails its request, and the next one works", async () => {
  const session = await client.session();
  const model = await client.model(session, BASE);
  const wrong = { ...datum, tokens: [99_999, ...datum.tokens.slice(1)] };
  await expect(loss(model, 1, [wrong])).rejects.toThrow(/user: data\[0\].tokens: expected ids from 0 to/);
  expect((await loss(model, 2)).metrics["loss:sum"]).toBeGreaterThan(0);
});
