/** Recognises by its first bytes a file in place of another: a pointer, an archive, a page. */

export interface Foreign {
  found: string;
  remedy: string;
}

const AGAIN = "Download the file itself again.";
const unpack = (with_: string): string => `Unpack it first (${with_}).`;

/** Signatures at the start of a file, as in the database of `file`. */
type Signature = [signature: string, found: string, remedy: string];
const MAGIC: Signature[] = [
  ["\x1f\x8b", "a gzip archive", unpack("gunzip")],
  ["\x28\xb5\x2f\xfd", "a Zstandard archive", unpack("zstd -d")],
  ...[..."123456789"].map((level): Signature => [`BZh${level}1AY&SY`, "a bzip2 archive", unpack("bunzip2")]),
  ["\xfd7zXZ\0", "an xz archive", unpack("unxz")],
  ["PK\x03\x04", "a zip archive (or an Office or PyTorch file)", unpack("unzip")],
  ["PAR1", "a Parquet file", "Write its rows as JSONL first, e.g. with duckdb or datasets' to_json."],
  ["ARROW1", "an Arrow file", "Write its rows as JSONL first, e.g. with datasets' to_json."],
  ["SQLite format 3\0", "an SQLite database", "Write its rows as JSONL first."],
  ["\x89HDF", "an HDF5 file", "Write its rows as JSONL first."],
  ["\x93NUMPY", "a NumPy file", "Write its rows as JSONL first."],
  ["%PDF-", "a PDF", "Give its text."],
  ["\x89PNG", "a PNG image", "Is it the right file?"],
  ...["\x02", "\x03"].map(
    (version): Signature => [`GGUF${version}`, "a GGUF model", "Is it the right file?"],
  ),
  ["\x7fELF", "a program", "Is it the right file?"],
  ["\xff\xfe\0\0", "UTF-32 text", "Save it as UTF-8."],
  ["\0\0\xfe\xff", "UTF-32 text", "Save it as UTF-8."],
];

/**
 * What the file is instead of the wanted one; `null` if its first bytes do not tell.
 * @param head some hundred bytes
 * @param markup whether the file may be HTML or XML
 */
export function foreignContent(head: Uint8Array, { markup = false } = {}): Foreign | null {
  const text = Buffer.from(head.subarray(0, 1024)).toString("latin1");
  for (const [signature, found, remedy] of MAGIC) if (text.startsWith(signature)) return { found, remedy };
  if (Buffer.from(head.subarray(257, 262)).toString("latin1") === "ustar")
    return { found: "a tar archive", remedy: unpack("tar -xf") };
  const words = text.replace(/^\xef\xbb\xbf/, "").trimStart();
  if (words.startsWith("version https://git-lfs.github.com/spec/")) {
    const size = /^size (\d+)$/m.exec(words)?.[1];
    const meant = size === undefined ? "a file" : `a file of ${Number(size).toLocaleString("en")} bytes`;
    return { found: `a Git LFS pointer to ${meant}`, remedy: "Fetch the file itself: git lfs pull" };
  }
  if (/^\/annex\/objects\/|^(\.\.?\/)*\.git\/annex\/objects\//.test(words))
    return { found: "a git-annex pointer", remedy: "Fetch the file itself: git annex get" };
  // Such an answer is short; a longer text may start with the same words.
  if (
    words.length < 300 &&
    /^(Entry not found|Repository not found|Invalid (username or password|credentials)\b|Access to (model|dataset) )/.test(
      words,
    )
  )
    return { found: `the Hub's answer "${words.slice(0, 60).trim()}" in place of a file`, remedy: AGAIN };
  if (markup) return null;
  if (/^(<!--[\s\S]*?-->\s*)?<(!doctype html|html)\b/i.test(words))
    return {
      found: "an HTML page",
      remedy: `${AGAIN} The address was that of a page about it: on the Hub and GitHub, use /resolve/ or /raw/ in place of /blob/.`,
    };
  return /^<(\?xml|Error>)/.test(words) ? { found: "an XML document", remedy: AGAIN } : null;
}
