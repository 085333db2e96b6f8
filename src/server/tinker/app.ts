/**
 * The HTTP interface that the Python package `tinker` talks to (0.38), below /api/v1. Requests that take long are answered
 * with a future, and the results of forward passes and sampling are protobuf.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { z } from "zod";
import { UserError } from "../../lib/errors.ts";
import { toFailure } from "../../lib/failure.ts";
import { guard } from "../guard.ts";
import type { Outcome } from "./futures.ts";
import { Refusal, refused } from "./refusal.ts";
import * as requests from "./requests.ts";
import type { Service } from "./service.ts";

export interface TinkerAppOptions {
  service: Service;
  /** The name or address that the server is bound to. */
  host: string;
  /** Asked for with every request, where it is given. */
  apiKey?: string | undefined;
}

/** The client's chunks have 5 MB; one long datum may have more. */
const MAX_BODY_BYTES = 256 << 20;

/** What the client is told when it starts. */
const CLIENT_CONFIG = {
  pjwt_auth_enabled: false,
  parallel_fwdbwd_chunks: true,
  proto_compress_fwdbwd: false,
  // Its other transport is made for a server far away.
  use_pyqwest_transport: false,
  sample_use_retrieve_futures: false,
  custom_loss_server_side: false,
  sample_join_sampling_session: false,
};
const DYNAMIC_CONFIG = { refresh_interval_sec: 3600, sample_cancel_enabled: false };

export function createTinkerApp({ service, host, apiKey }: TinkerAppOptions): Hono {
  const app = new Hono();
  app.use(guard({ host }));
  app.use(bodyLimit({ maxSize: MAX_BODY_BYTES, onError: () => tooLong() }));
  if (apiKey !== undefined) app.use(checkKey(apiKey));
  const api = app.basePath("/api/v1");
  const { sessions } = service;

  /** A POST whose JSON body has this schema. */
  const post = <Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    answer: (request: z.output<Schema>) => object | Promise<object>,
  ): void => {
    api.post(path, async (c) => c.json(await answer(await read(c, schema))));
  };

  api.get("/healthz", (c) => c.json({ status: "ok" }));
  api.get("/get_server_capabilities", (c) => c.json(service.capabilities()));
  api.post("/client/config", (c) => c.json(CLIENT_CONFIG));
  api.post("/client/dynamic_config", (c) => c.json(DYNAMIC_CONFIG));
  // Nothing is kept of it.
  api.post("/telemetry", (c) => c.json({ status: "accepted" }));

  post("/create_session", requests.createSession, (request) =>
    service.openSession(request.user_metadata ?? {}),
  );
  post("/session_heartbeat", requests.heartbeat, ({ session_id: id }) => {
    sessions.session(id);
    return { type: "session_heartbeat" };
  });
  api.post("/sessions/:id/finish", async (c) => {
    await service.finish(c.req.param("id"));
    return c.json({});
  });
  api.get("/sessions/:id", (c) => {
    const { models, samplers } = sessions.session(c.req.param("id"));
    return c.json({ training_run_ids: models, sampler_ids: samplers });
  });

  post("/create_model", requests.createModel, (request) => service.createModel(request));
  post("/get_info", requests.ofModel, ({ model_id: id }) => service.info(id));
  api.post("/forward_backward", async (c) =>
    c.json(await service.forwardBackward(new Uint8Array(await c.req.arrayBuffer()))),
  );
  post("/optim_step", requests.optimStep, (request) => service.optimStep(request));
  post("/save_weights", requests.saveWeights, (request) => service.saveWeights(request));
  post("/save_weights_for_sampler", requests.saveForSampler, (request) => service.saveForSampler(request));
  post("/load_weights", requests.loadWeights, (request) => service.loadWeights(request));
  post("/unload_model", requests.ofModel, ({ model_id: id }) => service.unload(id));
  post("/weights_info", requests.weightsInfo, ({ tinker_path: path }) => service.weightsInfo(path));
  api.get("/training_runs/:id", (c) => c.json(service.trainingRun(c.req.param("id"))));
  api.get("/training_runs/:id/checkpoints", (c) => c.json(service.savedWeights(c.req.param("id"))));

  post("/create_sampling_session", requests.createSampler, (request) => service.createSampler(request));
  api.get("/samplers/:id", (c) => c.json(service.describeSampler(c.req.param("id"))));
  post("/asample", requests.sample, (request) => service.sample(request));
  api.post("/cancel_future", (c) => c.json({}));
  api.post("/retrieve_future", async (c) => {
    const { request_id: id } = await read(c, requests.ofFuture);
    const outcome = await service.futures.wait(id);
    return outcome === null ? pending(c, id) : respond(c, outcome);
  });

  app.notFound((c) => {
    const remedy = "It serves tinker 0.38's training and sampling; give its address as base_url.";
    return c.json({ detail: `This server has no ${c.req.method} ${c.req.path}. ${remedy}` }, 404);
  });
  app.onError((error, c) => {
    const { message, remedy } = toFailure(error);
    const status = error instanceof Refusal ? error.status : error instanceof UserError ? 400 : 500;
    return c.json(
      { detail: remedy === null ? message : `${message.replace(/[.]$/, "")}. ${remedy}` },
      status,
    );
  });
  return app;
}

/** 408 makes the client ask again, without a word to its user. */
const pending = (c: Context, id: string): Response =>
  c.json({ type: "try_again", request_id: id, queue_state: "active" }, 408);

function respond(c: Context, outcome: Outcome): Response {
  if (outcome.kind === "json") return c.json(outcome.body);
  if (outcome.kind === "failed") return c.json({ error: outcome.error, category: outcome.category });
  const { bytes } = outcome;
  return c.body(bytes as Uint8Array<ArrayBuffer>, 200, { "Content-Type": "application/x-protobuf" });
}

const tooLong = (): never => {
  throw new Refusal(413, {
    where: "body",
    what: `it is longer than ${MAX_BODY_BYTES} bytes`,
    remedy: "Send shorter sequences.",
  });
};

async function read<Schema extends z.ZodType>(c: Context, schema: Schema): Promise<z.output<Schema>> {
  const given: unknown = await c.req.json().catch(() => undefined);
  if (given === undefined) throw refused("body", "it is not JSON", "Use the Python package tinker.");
  const { data, error } = schema.safeParse(given);
  if (data !== undefined) return data as z.output<Schema>;
  const [{ path, message }] = error?.issues ?? [{ path: [], message: "it has another form" }];
  throw refused(path.join(".") || "body", message, "Use the Python package tinker, 0.38 or one like it.");
}

/** Refuses requests without the key, compared in constant time. */
function checkKey(apiKey: string): MiddlewareHandler {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  const wanted = digest(apiKey);
  return async (c, next) => {
    if (!timingSafeEqual(digest(c.req.header("x-api-key") ?? ""), wanted))
      throw new Refusal(401, {
        where: "X-API-Key",
        what: "this is not the key that the server wants",
        remedy: "Set TINKER_API_KEY to the key that it printed when it started.",
      });
    await next();
  };
}
