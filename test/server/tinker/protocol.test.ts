/** What the server answers, and what it asks the thread for, without a model: the thread is played by a script. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Hono } from "hono";
import { beforeEach, describe, expect, it } from "vitest";
import { createTinkerApp } from "../../../src/server/tinker/app.ts";
import type { Order, OrderOf } from "../../../src/server/tinker/orders.ts";
import { OrderQueue } from "../../../src/server/tinker/queue.ts";
import { Service } from "../../../src/server/tinker/service.ts";
import { readPass, readSamples, type SentDatum, TinkerClient } from "./client.ts";
import requests from "./requests.json" with { type: "json" };

const BASE = "sputnik/tiny-r1-zero";
const MODEL = { name: BASE, maxPositions: 32, tokenizer: "/models/it" };
let followed: Order[] = [];
/** The script's faults: an order of this type fails. */
let failing: { type: Order["type"]; error: Error } | null = null;

/** Each target's log-probability is minus its id; completions are the seed and its index. */
async function follow(order: Order): Promise<unknown> {
  followed.push(order);
  if (failing?.type === order.type) throw failing.error;
  if (order.type === "pass") {
    const logProbs = order.data.map(({ targets }) => Float32Array.from(targets, (id) => -id));
    return { loss: order.data.length, logProbs, tokenLosses: logProbs };
  }
  if (order.type === "update") return { norm: 2 };
  if (order.type !== "sample") return null;
  return order.prompts.map(({ seed, count, scored, prompt }) => ({
    sequences: Array.from({ length: count }, (_, i) => ({
      ...{ ids: [seed, i], logProbs: [-1, -2], finish: i === 0 ? "stop" : "length" },
    })),
    promptLogProbs: scored > 0 ? new Float32Array(prompt.length).fill(-0.5) : null,
  }));
}

let app: Hono;
let client: TinkerClient;
let session: string;
beforeEach(async () => {
  [followed, failing] = [[], null];
  const folder = mkdtempSync(join(tmpdir(), "sputnik-tinker-"));
  let seed = 100;
  const draw = () => seed++;
  const service = new Service({ models: [MODEL], compute: new OrderQueue(follow), folder, draw });
  app = createTinkerApp({ service, host: "127.0.0.1" });
  client = new TinkerClient((path, init) => app.request(path, init));
  session = await client.session();
});

const datum: SentDatum = {
  tokens: [1, 2, 3],
  inputs: { target_tokens: [2, 3, 4], weights: [0, 1, 1] },
};
const policy: SentDatum = {
  tokens: [1, 2, 3],
  inputs: { target_tokens: [2, 3, 4], logprobs: [0, -1, -2], advantages: [0, 1, 1] },
};
const ask = (model: string, sequence: number, fields: object = {}) =>
  client.pass({ model, sequence, data: [datum], loss: "cross_entropy", ...fields });
const sample = (sampler: string, seq: number, fields: object = {}, params: object = {}) =>
  client.post("asample", {
    ...{ sampling_session_id: sampler, seq_id: seq, num_samples: 2 },
    prompt: { chunks: [{ type: "encoded_text", tokens: [7, 8] }] },
    sampling_params: { max_tokens: 4, temperature: 1, top_k: -1, top_p: 1, ...params },
    ...fields,
  });
const sampler = async (): Promise<string> => {
  const made = await client.post("create_sampling_session", {
    ...{ session_id: session, sampling_session_seq_id: 0, base_model: BASE },
  });
  return made.sampling_session_id as string;
};

describe("a session", () => {
  it("begins with the client's settings, and ends", async () => {
    expect(await client.post("client/config", { sdk_version: "0.38.0" })).toMatchObject({
      ...{ pjwt_auth_enabled: false, sample_use_retrieve_futures: false, proto_compress_fwdbwd: false },
    });
    expect(await client.get("get_server_capabilities")).toEqual({
      supported_models: [{ model_name: BASE, max_context_length: 32, trainable: true, sampleable: true }],
    });
    expect(await client.post("telemetry", { events: [] })).toEqual({ status: "accepted" });
    expect(await client.post("session_heartbeat", { session_id: session })).toEqual({
      type: "session_heartbeat",
    });
    const model = await client.model(session, BASE);
    await client.post(`sessions/${session}/finish`, { reason: { type: "success" } });
    expect(followed.at(-1)).toEqual({ type: "unload", model });
    await expect(client.post("session_heartbeat", { session_id: session })).rejects.toThrow(
      /^410: .*has ended/,
    );
  });

  it("of another server is not known, nor a model, nor a future", async () => {
    await expect(client.post("session_heartbeat", { session_id: "x" })).rejects.toThrow(
      /^404: .*ServiceClient/,
    );
    await expect(ask("x", 1)).rejects.toThrow(/^404: model_id: there is no "x" here/);
    await expect(client.result({ request_id: "x" })).rejects.toThrow(/^410: request_id: .*again/);
    await expect(client.get("nothing")).rejects.toThrow(/^404: This server has no GET \/api\/v1\/nothing/);
  });
});

describe("a training client", () => {
  it("is made with an adapter, whose layers and seed the client chooses", async () => {
    const model = await client.model(session, BASE, { lora_config: { rank: 8, train_unembed: false } });
    expect(model).toBe(`${session}:train:0`);
    expect(followed).toEqual([
      {
        ...{ type: "create", model, base: BASE, seed: 100 },
        adapter: { rank: 8, attention: true, mlp: true, head: false },
      },
    ]);
    expect(await client.post("get_info", { model_id: model })).toMatchObject({
      model_data: { model_name: BASE, tokenizer_id: "/models/it" },
      ...{ is_lora: true, lora_rank: 8 },
    });
  });

  it("of a model that is not served, or with another optimizer, is refused", async () => {
    await expect(client.model(session, "Qwen/Qwen3-8B")).rejects.toThrow(
      /^404: base_model: .*"Qwen\/Qwen3-8B".*--model Qwen\/Qwen3-8B=PATH/,
    );
    const dimuon = { optimizer_config: { type: "dimuon", version: 1 } };
    await expect(client.model(session, BASE, dimuon)).rejects.toThrow(/^400: .*"dimuon".*AdamW/);
  });

  it("sums data under a loss, and updates", async () => {
    const model = await client.model(session, BASE);
    const { bytes } = await client.result(await ask(model, 1, { data: [datum, datum] }));
    expect(readPass(bytes)).toEqual({
      metrics: { "loss:sum": 2 },
      values: [
        [-2, -3, -4],
        [-2, -3, -4],
      ],
    });
    expect(followed.at(-1)).toMatchObject({ type: "pass", backward: true, loss: "cross_entropy" });
    expect((followed.at(-1) as OrderOf<"pass">).data[0]).toEqual({
      ...{ tokens: [1, 2, 3], targets: [2, 3, 4], inputs: { weights: [0, 1, 1] } },
    });
    const adam_params = { learning_rate: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, grad_clip_norm: 0 };
    const updated = client.post("optim_step", { model_id: model, seq_id: 2, adam_params });
    expect(await client.result(await updated)).toEqual({ metrics: { "optim/grad_norm": 2 } });
    expect(followed.at(-1)).toMatchObject({
      step: { lr: 1e-3, betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0, clip: null },
    });
    await client.result(await ask(model, 3, { forwardOnly: true }));
    expect(followed.at(-1)).toMatchObject({ backward: false });
  });

  it("names values and settings as its protocol does", async () => {
    const model = await client.model(session, BASE);
    const settings = { clip_low_threshold: 0.9, clip_high_threshold: 1.1 };
    await client.result(await ask(model, 1, { data: [policy], loss: "ppo", settings }));
    const { data, settings: ours } = followed.at(-1) as OrderOf<"pass">;
    expect(data[0].inputs).toEqual({ sampled: [0, -1, -2], advantages: [0, 1, 1] });
    expect(ours).toEqual({ clipLow: 0.9, clipHigh: 1.1 });
    const mask = { ...policy.inputs, sequence_ratio_mask: [0, 1, 1] };
    await client.result(await ask(model, 2, { data: [{ ...policy, inputs: mask }], loss: "gspo" }));
    expect((followed.at(-1) as OrderOf<"pass">).data[0].inputs.mask).toEqual([0, 1, 1]);
  });

  it("that sends a number twice gets the first answer, and nothing is computed again", async () => {
    const model = await client.model(session, BASE);
    const [first, again] = [await ask(model, 1), await ask(model, 1)];
    expect(again).toEqual(first);
    await client.result(first);
    await client.result(again);
    expect(followed.filter(({ type }) => type === "pass")).toHaveLength(1);
  });

  it("that sends chunks in another order gets them computed in theirs", async () => {
    const model = await client.model(session, BASE);
    const late = [3, 2].map((sequence) => ask(model, sequence, { data: Array(sequence).fill(datum) }));
    const futures = [await ask(model, 1), ...(await Promise.all(late))];
    for (const future of futures) await client.result(future);
    const sizes = followed.flatMap((order) => (order.type === "pass" ? order.data.length : []));
    expect(sizes).toEqual([1, 2, 3]);
  });

  it.each<[string, object, RegExp]>([
    ["an unknown loss", { loss: "nope" }, /^400: loss_fn: there is no loss "nope".*cross_entropy, .*gspo/],
    ["a loss of its own", { loss: "custom" }, /^400: loss_fn: .*forward_backward_custom/],
    ["an unknown setting", { settings: { beta: 1 } }, /^400: loss_fn_config.beta: .*no such setting/],
    ["no data", { data: [] }, /^400: data: it is empty/],
    [
      "a missing value",
      { loss: "ppo" },
      /^400: data\[0\].loss_fn_inputs.weights: ppo reads no such values.*logprobs, advantages/,
    ],
    [
      "a wrong length",
      { data: [{ ...datum, inputs: { ...datum.inputs, weights: [1, 1] } }] },
      /^400: data\[0\].loss_fn_inputs.weights: expected 3 values.*found 2/,
    ],
    [
      "a wrong shape",
      { data: [{ ...datum, shapes: { target_tokens: [1, 3] } }] },
      /^400: .*target_tokens: expected shape \[3\], found \[1, 3\]/,
    ],
    [
      "a loss that needs provenance",
      { loss: "stable_reinforce", data: [policy] },
      /^400: data\[0\].model_input_spans: expected spans over all 3 tokens, found 0.*with_provenance/,
    ],
  ])("is told what, where and what now of %s, and can go on", async (_, fields, message) => {
    const model = await client.model(session, BASE);
    await expect(ask(model, 1, fields)).rejects.toThrow(message);
    await client.result(await ask(model, 2));
  });

  it("is told what failed in the thread", async () => {
    const model = await client.model(session, BASE);
    failing = { type: "pass", error: new Error("boom") };
    await expect(client.result(await ask(model, 1))).rejects.toThrow("server: boom");
  });
});

describe("saved weights", () => {
  it("have a path that another session makes a model or a sampler from", async () => {
    const model = await client.model(session, BASE);
    const save = (path: string, seq_id: number, kind = "save_weights") =>
      client.post(kind, { model_id: model, seq_id, path });
    const { path } = await client.result(await save("one", 1));
    expect(path).toBe(`tinker://${model}/weights/one`);
    await expect(save("one", 2)).rejects.toThrow(/^400: path: .* is there already/);
    await expect(save("../one", 3)).rejects.toThrow(/^400: path: "..\/one" cannot be the name/);
    const { path: adapter } = await client.result(await save("two", 4, "save_weights_for_sampler"));

    session = await client.session();
    const load = { session_id: session, model_seq_id: 5, path, optimizer: true };
    const loaded = await client.result(await client.post("load_weights", load));
    expect(loaded).toEqual({ type: "load_weights", path, model_id: `${session}:train:5` });
    expect(followed.at(-1)).toMatchObject({ type: "load", base: BASE, optimizer: true });
    expect(await client.post("weights_info", { tinker_path: adapter })).toMatchObject({
      ...{ base_model: BASE, is_lora: true, lora_rank: 4, train_attn: true },
    });
    const made = await client.post("create_sampling_session", {
      ...{ session_id: session, sampling_session_seq_id: 1, model_path: adapter },
    });
    const id = made.sampling_session_id as string;
    expect(await client.get(`samplers/${id}`)).toEqual({
      sampler_id: id,
      base_model: BASE,
      model_path: adapter,
    });
    await client.result(await sample(id, 0));
    expect(followed.at(-1)).toMatchObject({ weights: { base: BASE, adapter: id } });
    const { checkpoints } = await client.get(`training_runs/${model}/checkpoints`);
    expect((checkpoints as { checkpoint_id: string }[]).map(({ checkpoint_id }) => checkpoint_id)).toEqual([
      ...["weights/one", "sampler_weights/two"],
    ]);
    expect(await client.get(`training_runs/${model}`)).toMatchObject({ base_model: BASE, lora_rank: 4 });
  });

  it("that are not there are refused by their path", async () => {
    const load = { session_id: session, model_seq_id: 0, optimizer: false };
    for (const [path, message] of [
      ["tinker://x/weights/y", /^404: path: there is no "tinker:\/\/x\/weights\/y" here/],
      ["tinker://x/../y", /^400: path: .*is no path of saved weights/],
      ["/etc/passwd", /^400: path: .*is no path of saved weights/],
    ] as const)
      await expect(client.post("load_weights", { ...load, path })).rejects.toThrow(message);
  });
});

describe("a sampling client", () => {
  it("gets completions, their ids and the prompt's log-probabilities", async () => {
    const future = await sample(await sampler(), 3, { prompt_logprobs: true });
    expect(future.sample_sequence_ids).toEqual([`${session}:sample:0:3:0`, `${session}:sample:0:3:1`]);
    expect(readSamples((await client.result(future)).bytes)).toEqual({
      sequences: [
        { ids: [100, 0], logProbs: [-1, -2], finish: "stop" },
        { ids: [100, 1], logProbs: [-1, -2], finish: "length" },
      ],
      promptLogProbs: [-0.5, -0.5],
    });
  });

  it("that asks for many prompts at once gets them sampled together, by weights and settings", async () => {
    const id = await sampler();
    const futures = await Promise.all(
      [0, 1, 2, 3].map((seq) => sample(id, seq, {}, { temperature: seq === 3 ? 0.5 : 1 })),
    );
    for (const future of futures) await client.result(future);
    const sizes = followed.flatMap((order) => (order.type === "sample" ? order.prompts.length : []));
    expect(sizes).toEqual([3, 1]);
  });

  it("of which one prompt fails does not fail the others", async () => {
    const id = await sampler();
    failing = { type: "sample", error: new Error("boom") };
    const futures = await Promise.all([sample(id, 0), sample(id, 1)]);
    for (const future of futures) await expect(client.result(future)).rejects.toThrow(/boom/);
    // Together once, then each alone.
    expect(followed.filter(({ type }) => type === "sample")).toHaveLength(3);
  });

  it.each([
    [null, { own: true, ids: [], texts: [] }],
    [[], { own: false, ids: [], texts: [] }],
    [[5], { own: true, ids: [5], texts: [] }],
    [["a", "b"], { own: true, ids: [], texts: ["a", "b"] }],
    ["a", { own: true, ids: [], texts: ["a"] }],
  ])("stops at %j", async (stop, expected) => {
    await client.result(await sample(await sampler(), 0, {}, { stop, top_k: 3, top_p: 0.5, seed: 9 }));
    expect(followed.at(-1)).toMatchObject({
      stop: expected,
      sampling: { temperature: 1, topP: 0.5, topK: 3 },
    });
    expect((followed.at(-1) as OrderOf<"sample">).prompts[0].seed).toBe(9);
  });

  it.each<[object, object, RegExp]>([
    [{}, { max_tokens: 31 }, /^400: prompt: 2 tokens and 31 new ones exceed the model's 32 positions/],
    [{ topk_prompt_logprobs: 5 }, {}, /^400: topk_prompt_logprobs: /],
    [{ prompt: { chunks: [] } }, {}, /^400: prompt: it is empty/],
    [{ prompt: { chunks: [{ type: "image", data: "" }] } }, {}, /^400: prompt.chunks\[0\]: .*"image"/],
    [{}, { temperature: -1 }, /^400: sampling_params.temperature: /],
    [{ sampling_session_id: "x" }, {}, /^404: sampling_session_id: there is no "x"/],
  ])("is refused %j %j", async (fields, params, message) => {
    await expect(sample(await sampler(), 0, fields, params)).rejects.toThrow(message);
  });

  it("of a model in training keeps the model's weights of then, the newest eight", async () => {
    const model = await client.model(session, BASE);
    for (let step = 0; step < 9; step++) {
      const numbers = { seq_id: step + 1, sampling_session_seq_id: step };
      const saved = client.post("save_weights_for_sampler", { model_id: model, ...numbers });
      const { sampling_session_id: id } = await client.result(await saved);
      expect(id).toBe(`${session}:sample:${step}`);
    }
    const kept = followed.flatMap((order) => (order.type === "keep" ? order.adapter : []));
    expect(kept).toHaveLength(9);
    expect(followed.filter(({ type }) => type === "forget")).toEqual([{ type: "forget", adapter: kept[0] }]);
  });
});

describe("provenance", () => {
  /** A completion [100, 0] of the prompt [7, 8], as a datum of the recipe's: the prompt's targets are 0. */
  async function recorded(fields: Partial<SentDatum> = {}, record = true) {
    const model = await client.model(session, BASE);
    const future = await sample(await sampler(), 0, { record_stability_info: record });
    await client.result(future);
    const [sequence] = future.sample_sequence_ids as string[];
    const span = (kind: "prompt" | "sampled", offset: number, length: number) => ({
      ...{ kind, sequence, offset, length },
    });
    const data: SentDatum = {
      tokens: [7, 8, 100],
      inputs: { target_tokens: [0, 100, 0], logprobs: [0, -9, -9], advantages: [0, 1, 1] },
      tokenSpans: [span("prompt", 0, 2), span("sampled", 0, 1)],
      targetSpans: [span("prompt", 1, 1), span("sampled", 0, 2)],
      ...fields,
    };
    return ask(model, 1, { data: [data], loss: "stable_reinforce", settings: { kl_coeff: 0.01 } });
  }

  it("gives each sampled token the sampler's own log-probability, and leaves the prompt out", async () => {
    await client.result(await recorded());
    const { data, settings } = followed.at(-1) as OrderOf<"pass">;
    expect(data[0].inputs).toEqual({ sampled: [0, -1, -2], advantages: [0, 1, 1], mask: [0, 1, 1] });
    expect(settings).toEqual({ klCoefficient: 0.01 });
  });

  it("that is not true is refused", async () => {
    await expect(recorded({ tokens: [7, 9, 100] })).rejects.toThrow(
      /^400: data\[0\].model_input_spans\[0\]: token 1 is 9, and the sequence has 8 there/,
    );
  });

  it("of a sequence that was not recorded is refused", async () => {
    await expect(recorded({}, false)).rejects.toThrow(
      /^400: .*is recorded in this session.*record_stability_info/,
    );
  });
});

describe("the Python package tinker 0.38.0", () => {
  it("gets an answer to each request that it was recorded with", async () => {
    // A session that trains, samples, saves, loads and ends; ids of sessions have one length.
    const ofRecording = requests.map(({ path, body }) => path + JSON.stringify(body)).join();
    const [id] = /session-[0-9a-f]{12}/.exec(ofRecording) as RegExpExecArray;
    const renamed = (text: string): string => text.replaceAll(id, session);
    for (const { method, path, body } of requests) {
      const proto = path.endsWith("/forward_backward");
      const sent = proto
        ? Buffer.from(renamed(Buffer.from(body as string, "base64").toString("latin1")), "latin1")
        : renamed(JSON.stringify(body));
      const headers = { "content-type": proto ? "application/x-protobuf" : "application/json" };
      const init = method === "GET" ? { method } : { method, headers, body: sent };
      const response = await app.request(renamed(path), init);
      const answer = await response.json();
      expect([path, response.status, answer]).toEqual([path, 200, answer]);
      if ("request_id" in answer) await client.result(answer);
    }
    const types = followed.map(({ type }) => type);
    expect(types.slice(0, 6)).toEqual(["create", "pass", "update", "keep", "sample", "save"]);
    expect(types.slice(6)).toEqual(["save", "load", "open", "unload", "unload", "forget", "forget"]);
  });
});

describe("a key", () => {
  it("is asked for where the server has one", async () => {
    const service = new Service({ models: [MODEL], compute: new OrderQueue(follow), folder: "unused" });
    const app = createTinkerApp({ service, host: "127.0.0.1", apiKey: "tml-secret" });
    const with_ = (key: string) =>
      app.request("/api/v1/get_server_capabilities", { headers: { "x-api-key": key } });
    expect((await with_("tml-secret")).status).toBe(200);
    expect((await with_("tml-other")).status).toBe(401);
    expect(await (await app.request("/api/v1/healthz")).json()).toMatchObject({
      detail: expect.stringMatching(/TINKER_API_KEY/),
    });
  });

  it("or not, another site's page gets nothing", async () => {
    const service = new Service({ models: [MODEL], compute: new OrderQueue(follow), folder: "unused" });
    const app = createTinkerApp({ service, host: "127.0.0.1" });
    const headers = { origin: "http://example.org" };
    expect((await app.request("/api/v1/create_session", { method: "POST", headers })).status).toBe(403);
  });
});
