/** The place of a value or a key in a YAML document. */
import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Pair } from "yaml";

export interface Place {
  /** From 1. */
  line: number;
  /** From 1. */
  column: number;
  /** Characters to underline on that line. */
  length: number;
}

export type Path = readonly PropertyKey[];

type Range = readonly [start: number, valueEnd: number, nodeEnd: number];

/**
 * The place of the value at `path`, or of its key. A path that the file does not hold (a missing key, a
 * value filled in by a preset) gives the nearest ancestor's place.
 */
export function locate(document: Document, lines: LineCounter, path: Path, what: "key" | "value"): Place {
  let node: unknown = document.contents;
  let key: unknown = null;
  let deepest = true;
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(document);
    const pair = findPair(document, node, part);
    const next = pair?.value ?? (isSeq(node) && typeof part === "number" ? node.items[part] : undefined);
    if (pair === undefined && next === undefined) {
      deepest = false;
      break;
    }
    key = pair?.key ?? null;
    node = next;
  }
  // The key names a block better than the first line in it does.
  const useKey = key !== null && (what === "key" || !deepest || !isScalar(node));
  return place(document, lines, rangeOf(useKey ? key : node) ?? rangeOf(key));
}

/** In the map itself, else in what `<<` merges into it. */
export function findPair(document: Document, node: unknown, part: PropertyKey): Pair | undefined {
  const map = isAlias(node) ? node.resolve(document) : node;
  if (!isMap(map)) return undefined;
  // The library's merge key is a symbol.
  const text = (value: unknown) => (typeof value === "symbol" ? value.description : String(value));
  const named = (name: string) => map.items.find(({ key }) => isScalar(key) && text(key.value) === name);
  const own = named(String(part));
  const merged = named("<<")?.value;
  if (own !== undefined || merged === undefined) return own;
  const sources = isSeq(merged) ? merged.items : [merged];
  return sources.map((source) => findPair(document, source, part)).find((found) => found !== undefined);
}

function rangeOf(node: unknown): Range | null {
  if (typeof node !== "object" || node === null || !("range" in node)) return null;
  return (node.range as Range | null | undefined) ?? null;
}

function place(document: Document, lines: LineCounter, range: Range | null): Place {
  const [start, end] = range ?? document.range ?? [0, 0];
  const from = lines.linePos(start);
  const to = lines.linePos(end);
  const length = to.line === from.line ? Math.max(1, to.col - from.col) : 1;
  return { line: Math.max(1, from.line), column: Math.max(1, from.col), length };
}
