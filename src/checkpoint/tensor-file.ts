/** Files of tensors that are read by ranges, so that memory never holds a file. */
import fs from "node:fs";
import { openToRead, readInto } from "../lib/disk.ts";
import { mismatch, tensorIn } from "./errors.ts";

/** A longer header is an attack or an accident: a vocabulary of 256,000 words takes 16 MB of a GGUF file. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Elements that are converted at once; a multiple of every block. */
export const CHUNK_ELEMENTS = 1 << 20;

/** Bytes by position: an open file, or a buffer in tests. */
export interface ByteSource {
  file: string;
  size: number;
  /** Exactly `length` bytes, in a new buffer or a view; the caller stays within `size`. */
  bytes(position: number, length: number): Uint8Array;
}

/** An open file whose header has been read. Close it when done. */
export class TensorFile<Info, Header extends { tensors: ReadonlyMap<string, Info> }> implements ByteSource {
  readonly file: string;
  readonly size: number;
  readonly header: Header;
  private readonly handle: number;
  /** Bytes before their conversion, kept from one read to the next. */
  private raw = new Uint8Array();

  /** @throws UserError if the file is missing, or what `readHeader` throws */
  constructor(file: string, expected: string, readHeader: (source: ByteSource) => Header) {
    this.file = file;
    this.handle = openToRead(file, (found, cause) =>
      mismatch(file, expected, found, "Check the path, or copy the file again.", cause),
    );
    try {
      this.size = fs.fstatSync(this.handle).size;
      this.header = readHeader(this);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @throws UserError if there is no such tensor */
  info(tensor: string): Info {
    const { tensors } = this.header;
    const info = tensors.get(tensor);
    if (info !== undefined) return info;
    const expected = "the tensor to be in the file";
    const remedy = "Is this the file of another model?";
    throw mismatch(tensorIn(this.file, tensor), expected, `${tensors.size} others`, remedy);
  }

  bytes(position: number, length: number): Uint8Array<ArrayBuffer> {
    return this.fill(position, new Uint8Array(length));
  }

  close(): void {
    fs.closeSync(this.handle);
  }

  /** Fills `target` with the bytes from `position` on and returns it. @throws UserError if the file ends before */
  protected fill<T extends Uint8Array>(position: number, target: T): T {
    const read = readInto(this.handle, position, target);
    if (read === target.byteLength) return target;
    const expected = `${target.byteLength} bytes at ${position}`;
    throw mismatch(this.file, expected, `${read}`, "The file was cut short while it was read: try again.");
  }

  /** Fills `target` with what `convert` makes of the bytes from `position` on: a block of elements has `bytes` bytes. */
  protected convert(
    position: number,
    block: { elements: number; bytes: number },
    target: Float32Array,
    convert: (raw: Uint8Array<ArrayBuffer>, part: Float32Array) => void,
  ): void {
    const bytesOf = (elements: number): number => (elements / block.elements) * block.bytes;
    const needed = bytesOf(Math.min(target.length, CHUNK_ELEMENTS));
    if (this.raw.length < needed) this.raw = new Uint8Array(needed);
    for (let done = 0; done < target.length; done += CHUNK_ELEMENTS) {
      const part = target.subarray(done, done + CHUNK_ELEMENTS);
      convert(this.fill(position + bytesOf(done), this.raw.subarray(0, bytesOf(part.length))), part);
    }
  }
}
