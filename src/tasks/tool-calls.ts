/** The calls of tools in a completion, in the forms that the templates of Hermes, Qwen, SmolLM and Llama teach. */

/** A call of a function. */
export interface ToolCall {
  /** `null`: it cannot be read, and the environment may say so. */
  name: string | null;
  arguments: Record<string, unknown>;
}

/** Around the calls of Hermes 2 and 3, Qwen 2.5 and 3, and SmolLM2: an object of JSON, or a list of them. */
const [OPEN, CLOSE] = ["<tool_call>", "</tool_call>"];
const THOUGHT_END = "</think>";

/**
 * The calls after the thought, in order: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, or the whole text as one
 * such object, in which Llama 3 says "parameters". Never throws; linear in the completion's length.
 */
export function toolCallsIn(completion: string): ToolCall[] {
  const thought = completion.lastIndexOf(THOUGHT_END);
  const said = thought === -1 ? completion : completion.slice(thought + THOUGHT_END.length);
  const calls: ToolCall[] = [];
  for (let at = said.indexOf(OPEN); at !== -1; ) {
    const start = at + OPEN.length;
    const close = said.indexOf(CLOSE, start);
    // A model may end its turn without the closing tag.
    const end = close === -1 ? said.length : close;
    calls.push(...callsOf(said.slice(start, end)));
    at = said.indexOf(OPEN, end);
  }
  if (calls.length > 0 || !said.trimStart().startsWith("{")) return calls;
  return callsOf(said).filter(({ name }) => name !== null);
}

const UNREADABLE: ToolCall = { name: null, arguments: {} };

function callsOf(text: string): ToolCall[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [UNREADABLE];
  }
  return [value].flat().map((call): ToolCall => {
    const { name, arguments: given, parameters } = Object(call) as Record<string, unknown>;
    const values = given ?? parameters ?? {};
    const isCall = typeof name === "string" && typeof values === "object" && !Array.isArray(values);
    return isCall ? { name, arguments: values as Record<string, unknown> } : UNREADABLE;
  });
}
