/**
 * Text that a model, a recipe or a file's name holds, inside a Markdown file: it stays text, in CommonMark, in GitHub's
 * dialect and in renderers that read Markdown inside HTML.
 */
const NAMED: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/** What begins HTML, entities, links, images, emphasis, code, tables, headings, mathematics, mentions, footnotes, schemes. */
const META = /[&<>"'`*_[\]~|#\\$@^{}:]/g;
/** Every line end that CommonMark, HTML or JavaScript knows: two in a row would end a block of HTML. */
const LINE_END = /\r\n|[\n\r\v\f\u0085\u2028\u2029]/g;
/** What steers a terminal or turns the direction of writing, in whatever shows the file. */
const CONTROL = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

const escaped = (text: string): string =>
  text.replace(META, (character) => NAMED[character] ?? `&#${character.charCodeAt(0)};`);

const visible = (text: string): string => text.replace(/\t/g, " ").replace(CONTROL, "\ufffd");

/** On one line of HTML, its lines kept apart by `<br>`. */
export const htmlText = (text: string): string =>
  text
    .split(LINE_END)
    .map((line) => escaped(visible(line)))
    .join("<br>");

/** In a paragraph or in a table's cell: one line. */
export const inlineText = (text: string): string =>
  text
    .split(LINE_END)
    .map((line) => escaped(visible(line.trim())))
    .filter((line) => line !== "")
    .join(" ")
    // What begins a list, a quotation's rule or a heading's underline.
    .replace(/^([-+=]|\d+[.)])/, (start) => `&#${start.charCodeAt(0)};${start.slice(1)}`);

/** A block of code whose fence the text cannot close. */
export function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(({ length }) => length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text.trimEnd()}\n${fence}`;
}
