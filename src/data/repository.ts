/**
 * A repository as training documents in the order of its imports (DeepSeek-Coder, arXiv 2401.14196, section 2.2 and
 * algorithm 1): the files that a file imports precede it, so that a model learns to look across files.
 */
import { posix } from "node:path";

export interface SourceFile {
  /** From the repository's root, with slashes. */
  path: string;
  text: string;
}

/** One document for each part of the repository that imports hold together; files keep their given order otherwise. */
export function repositoryDocuments(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  return dependencyOrder(dependencies(files)).map((paths) =>
    paths.map((path) => withPath(byPath.get(path) as SourceFile)).join(""),
  );
}

/**
 * Algorithm 1: for each connected part, again and again the file that waits for the fewest others, which is 0 unless
 * there is a cycle. Ties go to the file that was given first.
 */
export function dependencyOrder(dependencies: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  const dependants = new Map<string, string[]>([...dependencies.keys()].map((path) => [path, []]));
  for (const [path, used] of dependencies) for (const other of used) dependants.get(other)?.push(path);
  return connectedParts(dependencies, dependants).map((part) => {
    const waiting = new Map(part.map((path) => [path, dependencies.get(path)?.size ?? 0]));
    const order: string[] = [];
    while (waiting.size > 0) {
      let [next, fewest] = ["", Number.POSITIVE_INFINITY];
      for (const [path, count] of waiting) if (count < fewest) [next, fewest] = [path, count];
      order.push(next);
      waiting.delete(next);
      for (const path of dependants.get(next) ?? []) {
        const count = waiting.get(path);
        if (count !== undefined) waiting.set(path, count - 1);
      }
    }
    return order;
  });
}

/** The parts that no edge joins, whichever way it points; each in the given order. */
function connectedParts(
  dependencies: ReadonlyMap<string, ReadonlySet<string>>,
  dependants: ReadonlyMap<string, readonly string[]>,
): string[][] {
  const partOf = new Map<string, number>();
  const parts: string[][] = [];
  for (const start of dependencies.keys()) {
    if (partOf.has(start)) continue;
    const reached = [start];
    partOf.set(start, parts.length);
    for (const path of reached)
      for (const near of [...(dependencies.get(path) ?? []), ...(dependants.get(path) ?? [])])
        if (!partOf.has(near)) {
          partOf.set(near, parts.length);
          reached.push(near);
        }
    parts.push([]);
  }
  for (const path of dependencies.keys()) parts[partOf.get(path) as number].push(path);
  return parts;
}

/** The files of the same repository that each file uses. */
export function dependencies(files: readonly SourceFile[]): Map<string, Set<string>> {
  const byName = new Map<string, string[]>();
  for (const { path } of files)
    for (const name of new Set(names(path))) {
      const holders = byName.get(name);
      if (holders === undefined) byName.set(name, [path]);
      else holders.push(path);
    }
  return new Map(
    files.map(({ path, text }) => {
      const used = references(text).flatMap((reference) => resolve(reference, path, byName) ?? []);
      return [path, new Set(used.filter((other) => other !== path))];
    }),
  );
}

/** What an import may call a file: each end of its path, with and without extension, or its folder for an index. */
function names(path: string): string[] {
  const stem = path.replace(/\.[^./]+$/, "");
  const folder = stem.match(/^(.+)\/(?:index|__init__|mod)$/)?.[1];
  return [path, stem, ...(folder === undefined ? [] : [folder])].flatMap((name) => {
    const parts = name.split("/");
    // The path from the root begins with a slash, since only a resolved relative import means it.
    return [`/${name}`, ...parts.map((_, i) => parts.slice(i).join("/"))];
  });
}

/** Beside the importing file, else wherever in the repository one file alone has that name. */
function resolve(reference: string, from: string, byName: ReadonlyMap<string, string[]>): string | undefined {
  const near = `/${posix.join(posix.dirname(from), reference)}`.replace(/\/$/, "");
  // TypeScript may name the file that it will become.
  const found = byName.get(near) ?? byName.get(near.replace(/\.[cm]?jsx?$/, ""));
  if (found !== undefined) return found[0];
  if (reference.startsWith(".")) return undefined;
  const everywhere = byName.get(reference);
  return everywhere?.length === 1 ? everywhere[0] : undefined;
}

/** `import`, `from`, `require`, `include` and `using`, as paths: in JavaScript, Python, Java, C, C++ and C#. */
function references(text: string): string[] {
  const quoted = [
    ...text.matchAll(/\b(?:from|import|require)\s*\(?\s*["']([^"'\n]+)["']/g),
    ...text.matchAll(/^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]/gm),
  ].map(([, path]) => path);
  const dotted = [
    // Not JavaScript, whose imported names are not files: its file is in quotes.
    ...text.matchAll(
      /^[ \t]*(?:import|using)[ \t]+(?!.*["'])(?:static[ \t]+)?([\w.]+(?:[ \t]*,[ \t]*[\w.]+)*)/gm,
    ),
    ...text.matchAll(/^[ \t]*from[ \t]+([\w.]+)[ \t]+import\b/gm),
  ].flatMap(([, modules]) => modules.split(/\s*,\s*/));
  // `from package import module` may name the module.
  const members = [...text.matchAll(/^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t(]+([\w ,\t]+)/gm)].flatMap(
    ([, module, list]) =>
      list
        .split(",")
        .map((name) => `${module}${module.endsWith(".") ? "" : "."}${name.trim().split(/\s/)[0]}`),
  );
  return [...quoted, ...[...dotted, ...members].map(dottedPath)].filter((path) => path !== "");
}

/** `a.b` is a/b; Python's leading dots are this folder, the one above, and so on. */
function dottedPath(name: string): string {
  const [, dots, rest] = name.match(/^(\.*)(.*)$/) as RegExpMatchArray;
  const path = rest.replaceAll(".", "/");
  return dots === "" ? path : `./${"../".repeat(dots.length - 1)}${path}`;
}

const COMMENTS: [RegExp, (path: string) => string][] = [
  [/\.(py|rb|sh|pl|r|jl|ya?ml|toml|cmake)$/i, (path) => `# ${path}`],
  [/\.(sql|lua|hs|elm)$/i, (path) => `-- ${path}`],
  [/\.(html?|xml|md|vue|svelte)$/i, (path) => `<!-- ${path} -->`],
  [/\.css$/i, (path) => `/* ${path} */`],
  [/.?/, (path) => `// ${path}`],
];

/** A file under a comment with its path, ended by a newline. */
function withPath({ path, text }: SourceFile): string {
  const comment = COMMENTS.find(([kind]) => kind.test(path))?.[1](path);
  return `${comment}\n${text}${text.endsWith("\n") ? "" : "\n"}`;
}
