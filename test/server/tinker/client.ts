/** A client of the protocol: its requests over HTTP or straight to an app, with the messages that it writes and reads. */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { ProvenanceSpan } from "../../../src/server/tinker/wire.ts";

export interface SentDatum {
  tokens: number[];
  /** "target_tokens" is sent as int64, the others as float32. */
  inputs: Record<string, number[]>;
  shapes?: Record<string, number[]>;
  tokenSpans?: ProvenanceSpan[];
  targetSpans?: ProvenanceSpan[];
}

export interface SentPass {
  model: string;
  sequence: number;
  data: SentDatum[];
  loss: string;
  settings?: Record<string, number>;
  forwardOnly?: boolean;
}

const fork = (writer: BinaryWriter, field: number, fill: (inner: BinaryWriter) => void): void => {
  fill(writer.tag(field, WireType.LengthDelimited).fork());
  writer.join();
};
const text = (writer: BinaryWriter, field: number, value: string): BinaryWriter =>
  writer.tag(field, WireType.LengthDelimited).string(value);
const raw = (writer: BinaryWriter, field: number, value: ArrayBufferView): BinaryWriter =>
  writer
    .tag(field, WireType.LengthDelimited)
    .bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));

function writeSpan(writer: BinaryWriter, { kind, sequence, offset, length }: ProvenanceSpan): void {
  fork(writer, kind === "prompt" ? 1 : 2, (arm) => {
    text(arm, 1, sequence);
    arm.tag(2, WireType.Varint).int64(offset).tag(3, WireType.Varint).int64(length);
  });
}

/** `ForwardBackwardRequest`. */
export function passBytes({ model, sequence, data, loss, settings, forwardOnly }: SentPass): Uint8Array {
  const writer = text(new BinaryWriter(), 1, model).tag(2, WireType.Varint).int32(sequence);
  for (const { tokens, inputs, shapes = {}, tokenSpans = [], targetSpans = [] } of data)
    fork(writer, 3, (datum) => {
      fork(datum, 1, (chunk) => fork(chunk, 1, (inner) => raw(inner, 1, Int32Array.from(tokens))));
      for (const [name, values] of Object.entries(inputs))
        fork(datum, 2, (entry) => {
          text(entry, 1, name);
          fork(entry, 2, (tensor) => {
            const targets = name === "target_tokens";
            raw(tensor, 1, targets ? BigInt64Array.from(values.map(BigInt)) : Float32Array.from(values));
            tensor.tag(3, WireType.Varint).int32(targets ? 2 : 1);
            fork(tensor, 4, (shape) => (shapes[name] ?? [values.length]).map((size) => shape.int64(size)));
          });
        });
      for (const span of tokenSpans) fork(datum, 3, (inner) => writeSpan(inner, span));
      for (const span of targetSpans) fork(datum, 4, (inner) => writeSpan(inner, span));
    });
  text(writer, 4, loss);
  for (const [name, value] of Object.entries(settings ?? {}))
    fork(writer, 7, (entry) => {
      text(entry, 1, name);
      fork(entry, 2, (setting) => setting.tag(1, WireType.Bit64).double(value));
    });
  return writer
    .tag(6, WireType.Varint)
    .bool(forwardOnly ?? false)
    .finish();
}

/** Fields of a message by number, each as it came: bytes or a number. */
function fieldsOf(bytes: Uint8Array): Map<number, (Uint8Array | number)[]> {
  const reader = new BinaryReader(bytes);
  const found = new Map<number, (Uint8Array | number)[]>();
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const value =
      type === WireType.LengthDelimited
        ? reader.bytes()
        : type === WireType.Bit64
          ? reader.double()
          : Number(reader.int64());
    found.set(field, [...(found.get(field) ?? []), value]);
  }
  return found;
}

const blob = (fields: Map<number, (Uint8Array | number)[]>, number: number): Uint8Array =>
  (fields.get(number)?.[0] as Uint8Array | undefined) ?? new Uint8Array();
const floats = (bytes: Uint8Array): number[] => [...new Float32Array(Uint8Array.from(bytes).buffer)];

/** Metrics, and of each datum the array `name`. */
export function readPass(
  bytes: Uint8Array,
  name = "logprobs",
): { metrics: Record<string, number>; values: number[][] } {
  const message = fieldsOf(bytes);
  const pairs = (message.get(3) ?? []).map((entry) => fieldsOf(entry as Uint8Array));
  const metrics = Object.fromEntries(
    pairs.map((pair) => [Buffer.from(blob(pair, 1)).toString(), pair.get(2)?.[0] as number]),
  );
  const record = fieldsOf(blob(message, 2));
  const entry = (record.get(2) ?? [])
    .map((field) => fieldsOf(field as Uint8Array))
    .find((field) => Buffer.from(blob(field, 1)).toString() === name);
  const tensor = fieldsOf(blob(entry as Map<number, Uint8Array[]>, 2));
  const all = floats(blob(tensor, 1));
  const offsets = [...new BigInt64Array(Uint8Array.from(blob(tensor, 2)).buffer)].map((at) => Number(at) / 4);
  return { metrics, values: offsets.slice(1).map((end, i) => all.slice(offsets[i], end)) };
}

export function readSamples(bytes: Uint8Array): {
  sequences: { ids: number[]; logProbs: number[]; finish: "stop" | "length" }[];
  promptLogProbs: number[];
} {
  const message = fieldsOf(bytes);
  return {
    sequences: (message.get(1) ?? []).map((sequence) => {
      const fields = fieldsOf(sequence as Uint8Array);
      return {
        ids: [...new Int32Array(Uint8Array.from(blob(fields, 2)).buffer)],
        logProbs: floats(blob(fields, 3)),
        finish: fields.get(1)?.[0] === 1 ? ("length" as const) : ("stop" as const),
      };
    }),
    promptLogProbs: floats(blob(message, 2)),
  };
}

type Json = Record<string, unknown>;

export class TinkerClient {
  private readonly send: (path: string, init: RequestInit) => Response | Promise<Response>;

  /** @param send a request for a path, such as `app.request` or a fetch with the address before it */
  constructor(send: (path: string, init: RequestInit) => Response | Promise<Response>) {
    this.send = send;
  }

  async get(path: string): Promise<Json> {
    return this.body(await this.send(`/api/v1/${path}`, {}));
  }

  async post(path: string, body: Json): Promise<Json> {
    const headers = { "content-type": "application/json" };
    return this.body(
      await this.send(`/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify(body) }),
    );
  }

  async pass(request: SentPass): Promise<Json> {
    const body = passBytes(request) as Uint8Array<ArrayBuffer>;
    const headers = { "content-type": "application/x-protobuf" };
    return this.body(await this.send("/api/v1/forward_backward", { method: "POST", headers, body }));
  }

  /** The result of a future: JSON, or the bytes of a message. @throws Error with the text of a failed one */
  async result(future: Json): Promise<Json & { bytes: Uint8Array }> {
    for (;;) {
      const response = await this.send("/api/v1/retrieve_future", {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/x-protobuf" },
        body: JSON.stringify({ request_id: future.request_id, allow_metadata_only: true }),
      });
      if (response.status === 408) continue;
      if (response.headers.get("content-type") === "application/x-protobuf")
        return { bytes: new Uint8Array(await response.arrayBuffer()) };
      const body = await this.body(response);
      if ("error" in body) throw new Error(`${body.category}: ${body.error}`);
      return body as Json & { bytes: Uint8Array };
    }
  }

  /** A session's id. */
  async session(): Promise<string> {
    const { session_id: id } = await this.post("create_session", { tags: [], sdk_version: "0.38.0" });
    return id as string;
  }

  /** A model's id, once it has been made. */
  async model(session: string, base: string, fields: Json = {}): Promise<string> {
    const lora_config = { rank: 4, seed: 1 };
    const made = await this.result(
      await this.post("create_model", {
        ...{ session_id: session, model_seq_id: 0, base_model: base, lora_config, ...fields },
      }),
    );
    return made.model_id as string;
  }

  private async body(response: Response): Promise<Json> {
    const body = (await response.json()) as Json;
    if (!response.ok) throw new Error(`${response.status}: ${body.detail ?? body.message}`);
    return body;
  }
}
