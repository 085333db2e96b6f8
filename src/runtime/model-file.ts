/**
 * A compiled step as an open artefact: one `.onnx` file that any runtime can load, with large constants beside it, since
 * a protobuf message ends at 2 GB.
 */

import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { LoweredGraph } from "../graph/lower.ts";
import { encodeModel, type OnnxConstant, type WeightBytes } from "../graph/proto.ts";
import { DTYPE_BYTES, SymbolicDim, sizeOf } from "../graph/tensor.ts";
import { writeAll } from "../lib/disk.ts";
import { UserError } from "../lib/errors.ts";

/** Constants of this many bytes or more go into `<file>.data`. */
const EXTERNAL_BYTES = 1 << 12;

/** ONNX Runtime maps external data from offsets that are multiples of this, on every system (Windows needs the most). */
const ALIGNMENT = 1 << 16;

const NOTHING = new Uint8Array();

/** Bytes of the constants of a saved graph, with shared ones counted once: nearly all of its files. */
export function modelFileBytes(lowered: LoweredGraph): number {
  const wholes = new Map<unknown, number>();
  for (const { dtype, shape, part, name } of lowered.model.constants)
    wholes.set(part?.whole ?? name, part?.whole.length ?? DTYPE_BYTES[dtype] * sizeOf(shape));
  return [...wholes.values()].reduce((total, bytes) => total + bytes, 0);
}

/** Saves a lowered graph as `path`, its large constants as `path.data`, and its signature as `path.json`. */
export function saveModelFile(lowered: LoweredGraph, path: string, externalBytes = EXTERNAL_BYTES): void {
  const location = `${basename(path)}.data`;
  let data: number | null = null;
  let end = 0;
  /** Writes the pieces; returns their offset in the data file. */
  const append = (pieces: Iterable<Uint8Array>): number => {
    data ??= openSync(`${path}.data`, "w");
    end = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    const offset = end;
    for (const bytes of pieces) {
      writeAll(data, bytes, end);
      end += bytes.length;
    }
    return offset;
  };
  const places = new Map<WeightBytes, number>();
  const constants = lowered.model.constants.map((constant): OnnxConstant => {
    const { name, dtype, shape, part } = constant;
    const length = DTYPE_BYTES[dtype] * sizeOf(shape);
    if ((part?.whole.length ?? length) < externalBytes) return { name, dtype, shape, bytes: constant.bytes };
    const { whole, start } = part ?? { whole: { length, pieces: () => [constant.bytes] }, start: 0 };
    const place = places.get(whole) ?? append(whole.pieces());
    places.set(whole, place);
    return { name, dtype, shape, bytes: NOTHING, external: { location, offset: place + start, length } };
  });
  if (data !== null) closeSync(data);
  writeFileSync(path, encodeModel({ ...lowered.model, constants }));
  const { inputs, outputs, forms } = lowered;
  const signature: Signature = { inputs, outputs, forms, dataBytes: end };
  writeFileSync(`${path}.json`, `${JSON.stringify(signature, null, 2)}\n`);
}

interface Signature extends Pick<LoweredGraph, "inputs" | "outputs" | "forms"> {
  /** Size of `<file>.data`; 0 where there is none. */
  dataBytes: number;
}

/**
 * Inputs, outputs and forms of a saved model, which a session needs beside the model itself.
 * @throws UserError of kind "model-file" if a file is missing or has another size than was written, for which ONNX
 *   Runtime's own message would be an offset
 */
export function readModelSignature(path: string): Signature {
  const check = (file: string, expected: string, bytes?: number): void => {
    const size = existsSync(file) ? statSync(file).size : null;
    if (size !== null && (bytes === undefined || size === bytes)) return;
    throw new UserError({
      ...{ kind: "model-file", where: file, expected, found: size === null ? "no such file" : String(size) },
      remedy: "Copy the model's files again, all of them, or save it again.",
    });
  };
  for (const file of [path, `${path}.json`]) check(file, "a saved model");
  const signature = JSON.parse(readFileSync(`${path}.json`, "utf8"), SymbolicDim.revive) as Signature;
  const { dataBytes } = signature;
  if (dataBytes > 0) check(`${path}.data`, `${dataBytes} bytes`, dataBytes);
  return signature;
}
