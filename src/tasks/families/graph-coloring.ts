/** Colours for the vertices of a graph, different for the two ends of each edge: every such colouring is right. */
import type { Random } from "../../lib/random.ts";
import { type Drawn, family, type Reading } from "./family.ts";
import { bare } from "./readers.ts";

export interface GraphColoring {
  vertices: number;
  /** Each with the smaller vertex first. */
  edges: [number, number][];
  /** How many there are; fewer are not enough. */
  colors: number;
}

const LEVELS: readonly { vertices: number; colors: number }[] = [
  { vertices: 5, colors: 3 },
  { vertices: 7, colors: 3 },
  { vertices: 10, colors: 3 },
  { vertices: 12, colors: 4 },
];
const EDGE_SHARE = 0.6;
const NAMES = "ABCDEFGHIJKL";

export const graphColoring = family<"graph-coloring", GraphColoring>({
  kind: "graph-coloring",
  levels: LEVELS.map(({ vertices, colors }) => `${vertices} vertices and ${colors} colours`),
  example: {
    data: {
      vertices: 3,
      edges: [
        [0, 1],
        [0, 2],
        [1, 2],
      ],
      colors: 3,
    },
    thought: "A, B and C are joined to each other, so each has a colour of its own.",
  },
  draw,
  question: ({ vertices, edges, colors }) =>
    `A graph has the vertices ${[...NAMES.slice(0, vertices)].join(", ")} and the edges ${edges.map(([a, b]) => `${NAMES[a]}-${NAMES[b]}`).join(", ")}. Give each vertex one of the colors 1 to ${colors} so that no edge joins two vertices of the same color. Answer in the form A: 1, B: 2, and so on.`,
  read,
  check(canonical, { edges }) {
    const chosen = canonical.split(", ").map((part) => part.slice(3));
    const bad = edges.find(([a, b]) => chosen[a] === chosen[b]);
    return bad ? `${NAMES[bad[0]]} and ${NAMES[bad[1]]} are joined and both have ${chosen[bad[0]]}` : null;
  },
  solve: (data) => show(coloring(data, data.colors)!),
});

const show = (chosen: readonly number[]): string =>
  chosen.map((color, vertex) => `${NAMES[vertex]}: ${color}`).join(", ");

/** Some colouring with at most so many colours, or `null`: vertex by vertex, with a way back. */
function coloring(
  { vertices, edges }: GraphColoring,
  colors: number,
  chosen: number[] = [],
): number[] | null {
  const vertex = chosen.length;
  if (vertex === vertices) return chosen;
  // A colour that nobody has yet is as good as any other such colour.
  const newest = Math.min(colors, Math.max(0, ...chosen) + 1);
  for (let color = 1; color <= newest; color++) {
    if (edges.some(([a, b]) => b === vertex && chosen[a] === color)) continue;
    const found = coloring({ vertices, edges, colors }, colors, [...chosen, color]);
    if (found !== null) return found;
  }
  return null;
}

/** Edges between vertices of different colours, drawn before; `null` unless all colours are needed and every vertex has an edge. */
function draw(random: Random, level: number): Drawn<GraphColoring> | null {
  const { vertices, colors } = LEVELS[level - 1]!;
  const chosen = Array.from({ length: vertices }, () => random.integer(1, colors));
  const edges: [number, number][] = [];
  for (let a = 0; a < vertices; a++)
    for (let b = a + 1; b < vertices; b++)
      if (chosen[a] !== chosen[b] && random.uniform() < EDGE_SHARE) edges.push([a, b]);
  const data = { vertices, edges, colors };
  const isIsolated = chosen.some((_, vertex) => !edges.some((edge) => edge.includes(vertex)));
  return isIsolated || coloring(data, colors - 1) !== null ? null : { data, answer: show(chosen) };
}

/** "A: 1, B: 2" in any order, with commas, semicolons or line breaks. Each vertex comes exactly once. */
function read(text: string, { vertices, colors }: GraphColoring): Reading {
  const chosen: number[] = [];
  for (const part of bare(text).split(/[,;\n]/)) {
    const [, name, color] = /^[ \t\r]*([A-L])[ \t]*[:=][ \t]*(\d)[ \t\r]*$/.exec(part) ?? [];
    const vertex = name === undefined ? vertices : NAMES.indexOf(name);
    if (vertex >= vertices) return { ok: false, reason: "not in the form A: 1, B: 2, of these vertices" };
    if (chosen[vertex] !== undefined) return { ok: false, reason: `${name} comes twice` };
    if (!(Number(color) >= 1 && Number(color) <= colors))
      return { ok: false, reason: `${color} is no color` };
    chosen[vertex] = Number(color);
  }
  const missing = [...NAMES.slice(0, vertices)].find((_, vertex) => chosen[vertex] === undefined);
  return missing === undefined
    ? { ok: true, canonical: show(chosen) }
    : { ok: false, reason: `${missing} is missing` };
}
