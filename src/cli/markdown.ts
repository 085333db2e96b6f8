/** Markdown, as our reports use it, for reading on a terminal. */
import color from "picocolors";
import { printable } from "./printable.ts";
import { table } from "./screen.ts";

export function renderMarkdown(text: string): string {
  const lines = text.split("\n");
  const rendered: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    if (line.startsWith("```")) {
      for (i++; i < lines.length && !lines[i].startsWith("```"); i++)
        rendered.push(`  ${color.dim(lines[i])}`);
    } else if (line.startsWith("|")) {
      const rows: string[][] = [];
      for (; i < lines.length && lines[i].startsWith("|"); i++) rows.push(cells(lines[i]));
      i--;
      // The second row of a Markdown table is its rule.
      rendered.push(table(rows[0], rows.slice(2)));
    } else if (line.startsWith("#")) rendered.push(color.bold(line.replace(/^#+ /, "")));
    else if (!line.startsWith("![")) rendered.push(inline(line));
  }
  return rendered
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

function cells(row: string): string[] {
  return row
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => inline(cell.trim().replaceAll("\\|", "|")));
}

/** Entities that `inlineText` writes. */
const ENTITIES: Record<string, string> = { lt: "<", gt: ">", quot: '"', amp: "&" };

function inline(text: string): string {
  return text
    .replace(/\*\*(.+?)\*\*/g, (_, bold: string) => color.bold(bold))
    .replace(/`([^`]+)`/g, (_, code: string) => color.cyan(code))
    .replace(/<\/?(details|summary|br|sup|sub)[^>]*>/g, "")
    .replace(/&(?:#(\d+)|(lt|gt|quot|amp));/g, (_, code: string, name: string) =>
      // The report may come from a stranger.
      code === undefined ? ENTITIES[name] : printable(String.fromCharCode(Number(code))),
    );
}
