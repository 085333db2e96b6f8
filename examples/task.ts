/** A task of one's own: how often is a letter in a word? Train a model on it: npx sputnik train examples/task-new-model.yaml */
import { answerIn, defineTask, Random } from "sputnik-r1/tasks";

const LETTERS = [..."aeort"];
const count = (word: string, letter: string) => word.split(letter).length - 1;

export default defineTask({
  name: "letters",
  generate(seed, difficulty) {
    const random = new Random(seed);
    const word = Array.from({ length: 2 + 2 * difficulty }, () => random.pick(LETTERS)).join("");
    const letter = random.pick([...word]);
    return { question: `How many times is the letter ${letter} in the word ${word}?`, word, letter };
  },
  verify({ word, letter }, completion) {
    return answerIn(completion) === String(count(word, letter));
  },
  solve: ({ word, letter }) => String(count(word, letter)),
  thought: ({ word, letter }) =>
    [...word]
      .map((one, i) => (one === letter ? `${one}: ${count(word.slice(0, i + 1), letter)}` : one))
      .join(", "),
  example: {
    question: "How many times is the letter o in the word lotto?",
    completion: "l, o: 1, t, t, o: 2\n<answer>2</answer>",
  },
});
