/**
 * A compiled step as an open artefact: one `.onnx` file that any runtime can load, with large constants beside it, since
 * a protobuf message ends at 2 GB.
 */
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { basename } from "node:path";
import type { LoweredGraph } from "../graph/lower.ts";
import { encodeModel, type OnnxConstant } from "../graph/proto.ts";

/** Constants of this many bytes or more go into `<file>.data`. */
const EXTERNAL_BYTES = 1 << 20;

/** ONNX Runtime maps external data from offsets that are multiples of this. */
const ALIGNMENT = 4096;

const WRITE_BYTES = 1 << 30;

/** Saves a lowered graph as `path`, and as `path.data` what is large. */
export function saveModelFile(lowered: LoweredGraph, path: string, externalBytes = EXTERNAL_BYTES): void {
  const location = `${basename(path)}.data`;
  let data: number | null = null;
  let offset = 0;
  const constants = lowered.model.constants.map((constant): OnnxConstant => {
    const length = constant.bytes.byteLength;
    if (length < externalBytes) return constant;
    data ??= openSync(`${path}.data`, "w");
    offset = Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
    // One call may write less than asked for, above 2 GB always.
    for (let written = 0; written < length; )
      written += writeSync(
        data,
        constant.bytes,
        written,
        Math.min(length - written, WRITE_BYTES),
        offset + written,
      );
    const external = { location, offset, length };
    offset += length;
    return { ...constant, external };
  });
  if (data !== null) closeSync(data);
  writeFileSync(path, encodeModel({ ...lowered.model, constants }));
  const { inputs, outputs, forms } = lowered;
  writeFileSync(`${path}.json`, `${JSON.stringify({ inputs, outputs, forms }, null, 2)}\n`);
}

/** What a session has to know about a saved model: its inputs and outputs, by name, with their shapes. */
export function readModelSignature(path: string): Pick<LoweredGraph, "inputs" | "outputs" | "forms"> {
  return JSON.parse(readFileSync(`${path}.json`, "utf8"));
}
