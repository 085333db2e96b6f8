/** Calls of tools as models write them, and much that is none. */
import { expect, it } from "vitest";
import { toolCallsIn } from "../../src/tasks/tool-calls.ts";

const add = { name: "add", arguments: { a: 1, b: 2 } };
const unreadable = { name: null, arguments: {} };
const call = (text: unknown) =>
  `<tool_call>\n${typeof text === "string" ? text : JSON.stringify(text)}\n</tool_call>`;

it.each<[string, string, unknown[]]>([
  ["Hermes and Qwen", call(add), [add]],
  ["text around it", `I add.\n${call(add)}\nWait.`, [add]],
  ["two calls", call(add) + call({ name: "now" }), [add, { name: "now", arguments: {} }]],
  ["SmolLM2's list", call([add, add]), [add, add]],
  [
    "Llama 3's form",
    JSON.stringify({ name: "add", parameters: { a: 1 } }),
    [{ name: "add", arguments: { a: 1 } }],
  ],
  ["a turn that ends without the closing tag", `<tool_call>${JSON.stringify(add)}`, [add]],
  ["after a thought", `<think>${call({ name: "no" })}</think>${call(add)}`, [add]],
  ["only in the thought", `${call(add)}</think>\nDone.`, []],
  ["none", "It is 3.", []],
  ["the empty text", "", []],
  ["broken JSON", call("{name: add}"), [unreadable]],
  ["an empty block", call(""), [unreadable]],
  ["no object", call("5"), [unreadable]],
  ["null", call("null"), [unreadable]],
  ["a name that is none", call({ name: 5, arguments: {} }), [unreadable]],
  ["arguments that are none", call({ name: "add", arguments: [1, 2] }), [unreadable]],
  ["JSON that is no call", '{"answer": 3}', []],
  ["a brace in text", "{x} is 3", []],
])("%s", (_, completion, calls) => {
  expect(toolCallsIn(completion)).toEqual(calls);
});

it("is linear in the completion's length", () => {
  const start = performance.now();
  expect(toolCallsIn("<tool_call>".repeat(90_000)).length).toBeGreaterThan(0);
  expect(performance.now() - start).toBeLessThan(2000);
});
