/**
 * A task of several turns: the model may ask a calculator before it answers. A tiny model learns to, by RL alone and within a
 * minute: npx sputnik train examples/tool-task.yaml
 */
import { answerIn, defineEnvironment, Random, toolCallsIn } from "sputnik-r1/tasks";

/** "93 - 87" gives "6". */
function calculate(expression: unknown): string {
  const [, a, operator, b] = /^\s*(\d{1,9})\s*([-+*])\s*(\d{1,9})\s*$/.exec(String(expression)) ?? [];
  if (operator === undefined) return "error: write two numbers with +, - or * between them";
  const [x, y] = [Number(a), Number(b)];
  return String(operator === "+" ? x + y : operator === "-" ? x - y : x * y);
}

const calculator = {
  name: "calculator",
  description: "Computes a sum, a difference or a product of two numbers.",
  parameters: {
    type: "object",
    properties: { expression: { type: "string", description: 'Such as "93 - 87".' } },
    required: ["expression"],
  },
};

export default defineEnvironment({
  name: "calculator",
  maxTurns: 3,
  tools: [{ type: "function", function: calculator }],
  /** The difficulty is the answer's number of digits. */
  start(seed, difficulty) {
    const random = new Random(seed);
    const answer = random.integer(0, 10 ** difficulty - 1);
    const b = random.integer(1, 10 ** (difficulty + 1));
    return { question: `${answer + b} - ${b}`, answer: String(answer) };
  },
  step({ question, answer }, completion) {
    // A chat model calls the function as its template teaches it.
    const [call] = toolCallsIn(completion);
    if (call !== undefined)
      return { reply: { role: "tool", content: calculate(call.arguments.expression), name: "calculator" } };
    // A model without a chat presses "=" on a calculator that shows the question.
    if (completion.includes("=")) return { reply: calculate(question) };
    const said = answerIn(completion) ?? /^\d+/.exec(completion)?.[0] ?? null;
    return { done: { value: said === answer, extracted: said } };
  },
  solve: ({ answer }) => answer,
  /** A guess is right one time in ten, so a model that knows nothing would never find that asking pays. */
  rewards: { asked: (_, { turns = [] }) => (turns.length === 2 ? 1 : 0) },
});
