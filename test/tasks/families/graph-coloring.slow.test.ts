import { expect, it } from "vitest";
import { type GraphColoring, graphColoring } from "../../../src/tasks/families/graph-coloring.ts";
import { answered, testFamily } from "./family-tests.ts";

function read(question: string): { vertices: string[]; edges: [string, string][]; colors: number } {
  const [, vertices, edges, colors] = /vertices (.*) and the edges (.*)\. Give .* colors 1 to (\d) so/.exec(
    question,
  )!;
  return {
    vertices: vertices!.split(", "),
    edges: edges!.split(", ").map((edge) => edge.split("-") as [string, string]),
    colors: Number(colors),
  };
}

testFamily<GraphColoring>({
  kind: "graph-coloring",
  levels: 4,
  isRight(question, answer) {
    const { vertices, edges, colors } = read(question);
    const chosen = new Map(answer.split(", ").map((part) => part.split(": ") as [string, string]));
    const known = Array.from({ length: colors }, (_, i) => String(i + 1));
    return (
      answer.split(", ").length === vertices.length &&
      vertices.every((vertex) => known.includes(chosen.get(vertex)!)) &&
      edges.every(([a, b]) => chosen.get(a) !== chosen.get(b))
    );
  },
  measure: ({ data }) => data.vertices * data.colors,
  distinct: [343, 1000, 1000, 1000],
  others({ answer, data: { edges } }) {
    const chosen = answer.split(", ").map((part) => Number(part.slice(3)));
    const shown = (colors: number[]) =>
      colors.map((color, vertex) => `${"ABCDEFGHIJKL"[vertex]}: ${color}`).join(", ");
    const [a, b] = edges.at(-1)!;
    return [
      ...[
        shown(chosen.with(a, chosen[b]!)),
        shown(chosen.map(() => 1)),
        shown(chosen.map((_, i) => (i % 2) + 1)),
      ],
      ...[
        shown(chosen.map((color) => (color % 3) + 1)),
        shown(chosen.map((color) => 4 - color).map((color) => color || 1)),
      ],
    ];
  },
  equal(answer) {
    const parts = answer.split(", ");
    return [
      ...[
        parts.toReversed().join(", "),
        parts.join(","),
        parts.join("\n"),
        parts.join("; "),
        answer.replaceAll(": ", "="),
      ],
      ...[answer.replaceAll(": ", ":"), answer.replaceAll(": ", " = "), `${answer}.`, `**${answer}**`],
    ];
  },
  refused(answer, { data: { vertices, colors } }) {
    const parts = answer.split(", ");
    const next = "ABCDEFGHIJKLM"[vertices];
    return [
      ...[
        parts.slice(1).join(", "),
        parts.slice(0, -1).join(", "),
        `${answer}, ${parts[0]}`,
        `${answer}, A: ${colors}`,
      ],
      ...[
        `${answer}, ${next}: 1`,
        `${answer}, `,
        answer.replace(/\d/, "0"),
        answer.replace(/\d/, String(colors + 1)),
      ],
      ...[
        answer.replace(/\d/, "1.0"),
        answer.replace(/\d/, "12"),
        answer.replace(/\d/, "red"),
        answer.replace(/\d/, "-1"),
      ],
      ...[
        answer.toLowerCase(),
        answer.replaceAll(": ", " "),
        answer.replaceAll(", ", " "),
        parts.map((part) => part.slice(3)).join(" "),
      ],
      ...[
        `{${answer}}`,
        JSON.stringify(Object.fromEntries(parts.map((part) => part.split(": ")))),
        "A: 1, B: 2, and so on",
      ],
    ];
  },
});

it("fewer colours are never enough, by all ways to choose them", () => {
  for (const [level, count] of [
    [1, 100],
    [2, 100],
    [3, 30],
    [4, 1],
  ] as const) {
    const task = graphColoring.make(
      graphColoring.options.parse({ kind: "graph-coloring", difficulty: [level] }),
    );
    for (let index = 0; index < count; index++) {
      const { vertices, edges, colors } = task.generate({ seed: 1, split: "test", index }).data;
      const fewer = colors - 1;
      for (let choice = 0; choice < fewer ** vertices; choice++) {
        const color = (vertex: number) => Math.floor(choice / fewer ** vertex) % fewer;
        if (edges.every(([a, b]) => color(a) !== color(b)))
          throw new Error(`${choice} colours ${JSON.stringify(edges)}`);
      }
      expect(new Set(edges.flat()).size).toBe(vertices);
    }
  }
});

const task = graphColoring.make(graphColoring.options.parse({ kind: "graph-coloring" }));
/** A ring of five. */
const ring = {
  ...{ id: "", prompt: "", level: 1, answer: "A: 1, B: 2, C: 1, D: 2, E: 3" },
  data: {
    vertices: 5,
    colors: 3,
    edges: [
      [0, 1],
      [0, 4],
      [1, 2],
      [2, 3],
      [3, 4],
    ] as [number, number][],
  },
};

it.each([
  ["A: 1, B: 2, C: 1, D: 2, E: 3", 1, "right"],
  ["A: 3, B: 1, C: 2, D: 3, E: 2", 1, "right"],
  ["E=3, D=2, C=1, B=2, A=1", 1, "right"],
  ["A: 1, B: 2, C: 1, D: 2, E: 1", 0, "A and E are joined and both have 1"],
  ["A: 1, B: 2, C: 1, D: 2", 0, "E is missing"],
  ["A: 1, B: 2, C: 1, D: 2, E: 4", 0, "4 is no color"],
  ["A: 1, B: 2, C: 1, D: 2, E: 1, E: 3", 0, "E comes twice"],
  ["A: 1, B: 2, C: 1, D: 2, E: 3, F: 1", 0, "not in the form A: 1, B: 2, of these vertices"],
])("a ring of five with %s has %d: %s", (answer, value, reason) => {
  expect(task.verify(ring, answered(answer))).toMatchObject({ value, reason });
});
