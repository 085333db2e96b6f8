/** Reads a GGUF header from front to back, in windows: nothing is allocated that the file could not hold. */
import { isUtf8 } from "node:buffer";
import { mismatch } from "../errors.ts";

/** Bytes by position: an open file, or a buffer in tests. */
export interface ByteSource {
  file: string;
  size: number;
  /** Exactly `length` bytes, in a buffer of their own or a view; the caller keeps within `size`. */
  bytes(position: number, length: number): Uint8Array;
}

/** A longer header is an attack or an accident; vocabularies of 256,000 words take about 16 MB. */
export const MAX_HEADER_BYTES = 100_000_000;

const WINDOW_BYTES = 1 << 18;

export const RESTORE = "The file is damaged or was cut short: copy or download it again.";

export class Cursor {
  position = 0;
  /** What is being read, for errors: "key llama.block_count". */
  place = "the header";
  private readonly source: ByteSource;
  private window = new DataView(new ArrayBuffer(0));
  private start = 0;

  constructor(source: ByteSource) {
    this.source = source;
  }

  /** Bytes that the header can still take. */
  get remaining(): number {
    return Math.min(this.source.size, MAX_HEADER_BYTES) - this.position;
  }

  /** @throws UserError always. */
  fail(expected: string, found: string, remedy = RESTORE): never {
    const place = `${this.place} at byte ${this.position}`;
    throw mismatch(`${this.source.file}, ${place}`, expected, found, remedy);
  }

  /** A count of items that take at least `least` bytes each. @throws UserError if they cannot fit. */
  count(what: string, least: number): number {
    const claim = this.u64();
    if (claim * BigInt(least) <= BigInt(this.remaining)) return Number(claim);
    return this.fail(
      `at most ${Math.floor(this.remaining / least)} ${what} in the ${this.remaining} bytes that follow`,
      `${claim}`,
    );
  }

  /** Text of at most `limit` bytes. */
  string(limit = MAX_HEADER_BYTES): string {
    const length = this.count("bytes of text", 1);
    if (length > limit) this.fail(`at most ${limit} bytes of text`, `${length}`);
    const bytes = this.raw(length);
    if (!isUtf8(bytes)) this.fail("text in UTF-8", "bytes that are not");
    return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("utf8");
  }

  u8 = (): number => this.view(1).getUint8(this.shift(1));
  i8 = (): number => this.view(1).getInt8(this.shift(1));
  u16 = (): number => this.view(2).getUint16(this.shift(2), true);
  i16 = (): number => this.view(2).getInt16(this.shift(2), true);
  u32 = (): number => this.view(4).getUint32(this.shift(4), true);
  i32 = (): number => this.view(4).getInt32(this.shift(4), true);
  f32 = (): number => this.view(4).getFloat32(this.shift(4), true);
  u64 = (): bigint => this.view(8).getBigUint64(this.shift(8), true);
  i64 = (): bigint => this.view(8).getBigInt64(this.shift(8), true);
  f64 = (): number => this.view(8).getFloat64(this.shift(8), true);

  /** A view of the next bytes, valid until the next call. */
  raw(length: number): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset } = this.view(length);
    return new Uint8Array(buffer as ArrayBuffer, byteOffset + this.shift(length), length);
  }

  /** A window that holds the next `length` bytes. */
  private view(length: number): DataView {
    if (length > this.remaining)
      this.fail(`${length} more bytes`, `${this.remaining} (of a header of at most ${MAX_HEADER_BYTES})`);
    if (this.position + length > this.start + this.window.byteLength) {
      const wanted = Math.min(Math.max(length, WINDOW_BYTES), this.remaining);
      const { buffer, byteOffset, byteLength } = this.source.bytes(this.position, wanted);
      this.window = new DataView(buffer as ArrayBuffer, byteOffset, byteLength);
      this.start = this.position;
    }
    return this.window;
  }

  /** Steps over `length` bytes; returns where they lie in the window. */
  private shift(length: number): number {
    const offset = this.position - this.start;
    this.position += length;
    return offset;
  }
}
