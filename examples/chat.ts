/** Chat with a GGUF file, or with any other model: `npx tsx examples/chat.ts MODEL.gguf "What is 3 + 4?"` */
import { loadModel, type Message } from "sputnik-r1";

const [path, ...questions] = process.argv.slice(2);
const model = await loadModel(path);
const messages: Message[] = [];

for (const question of questions) {
  messages.push({ role: "user", content: question });
  console.log(`> ${question}`);
  const tokens = model.generate(messages, { maxNewTokens: 200, temperature: 0.6, stream: true });
  let next = await tokens.next();
  for (; !next.done; next = await tokens.next()) process.stdout.write(next.value.text);
  const { answer, ids, logProbs } = next.value;
  const mean = logProbs.reduce((sum, value) => sum + value, 0) / ids.length;
  console.log(`\n(${ids.length} tokens, mean log-probability ${mean.toFixed(2)})`);
  messages.push({ role: "assistant", content: answer });
}
await model.release();
