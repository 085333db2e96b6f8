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

/** Bytes of constants that a saved graph holds, shared ones once: nearly all of its files. */
export function modelFileBytes(lowered: LoweredGraph): number {
  const wholes = new Map<unknown, number>();
  for (const { dtype, shape, part, name } of lowered.model.constants)
    wholes.set(part?.whole ?? name, part?.whole.length ?? DTYPE_BYTES[dtype] * sizeOf(shape));
  return [...wholes.values()].reduce((total, bytes) => total + bytes, 0);
}

/** Saves a lowered graph as `path`, and as `path.data` what is large. */
export function saveModelFile(lowered: LoweredGraph, path: string, externalBytes = EXTERNAL_BYTES): void {
  const location = `${basename(path)}.data`;
  let data: number | null = null;
  let end = 0;
  /** Where the pieces begin in the data file. */
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

/** A file of a saved model is missing or incomplete. */
const modelFileError = (where: string, expected: string, found: string): UserError =>
  new UserError({
    ...{ kind: "model-file", where, expected, found },
    remedy: "Copy all of the model's files again, or save it again.",
  });

/**
 * What a session has to know about a saved model: its inputs and outputs, by name, with their shapes.
 * @throws UserError "model-file" if a file is missing or has another size than was written: ONNX Runtime itself would answer
 *   with an offset
 */
export function readModelSignature(path: string): Signature {
  for (const file of [path, `${path}.json`])
    if (!existsSync(file)) throw modelFileError(file, "a saved model", "no such file");
  const signature = JSON.parse(readFileSync(`${path}.json`, "utf8"), SymbolicDim.revive) as Signature;
  if (signature.dataBytes > 0) {
    const file = `${path}.data`;
    const expected = `${signature.dataBytes} bytes`;
    if (!existsSync(file)) throw modelFileError(file, expected, "no such file");
    const { size } = statSync(file);
    if (size !== signature.dataBytes) throw modelFileError(file, expected, `${size}`);
  }
  return signature;
}
