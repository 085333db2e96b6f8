/** Mutants of decoding: the engine, and speculative decoding. */
import { type Mutant, testFile } from "./mutant.ts";

const ENGINE = "src/sample/sampler.ts";
const SPECULATIVE = "src/sample/speculative.ts";

const engine = (test: string, find: string, replace: string): Mutant => ({
  file: ENGINE,
  find,
  replace,
  test: testFile(`sample/${test}`),
});

const speculative = (find: string, replace: string, test = "speculative"): Mutant => ({
  file: SPECULATIVE,
  find,
  replace,
  test: testFile(`sample/${test}`),
});

export const sampleMutants: readonly Mutant[] = [
  // Scheduling.
  engine(
    "engine",
    "const admitted = scheduler.admit();",
    "const admitted = scheduler.active.length > 0 ? [] : scheduler.admit();",
  ),
  engine("engine", "new Scheduler(requests, options.maxBatch ?? 128)", "new Scheduler(requests, 1)"),
  engine("engine", "for (const i of finished.reverse()) {", "for (const i of finished) {"),
  engine("engine", "if (moved !== null) this.cache.move(moved, i);", ""),
  engine(
    "engine",
    "if (moved !== null) this.cache.move(moved, i);",
    "if (moved !== null) this.cache.move(i, moved);",
  ),
  engine("engine", "result.steps++;", "result.steps += 2;"),
  // Masks, positions and what is fed.
  engine("engine", "mask.fill(MASKED, i * window + row.position, (i + 1) * window);", ""),
  engine(
    "engine",
    "mask.fill(MASKED, i * window + row.position, (i + 1) * window);",
    "mask.fill(MASKED, i * window + row.position + 1, (i + 1) * window);",
  ),
  engine("engine", "positions[i] = row.position;", "positions[i] = row.position + 1;"),
  engine("engine", "ids[i] = row.next;", "ids[i] = row.ids.at(-2) ?? row.next;"),
  engine("engine", "scale: scalar(logitScale(options.sampling)),", "scale: scalar(1),"),
  engine("reuse", "start + (i % seq));", "i % seq);"),
  engine("engine", "start + (i % seq));", "start + i);"),
  // The cache.
  engine(
    "engine",
    "this.cache.append(i, row.position, fresh);",
    "this.cache.append(i, row.position + 1, fresh);",
  ),
  engine("engine", "this.cache.append(i, row.position, fresh);", ""),
  engine("engine", "if (prefix !== undefined) this.cache.load(row, prefix);", ""),
  engine(
    "engine",
    "this.reading.prefix(row, texts[row].length - 1)",
    "this.reading.prefix(0, texts[row].length - 1)",
  ),
  engine("engine", "const prefix = prompts.take(entry.index);", "const prefix = prompts.take(0);"),
  engine(
    "reuse",
    "const held = last === null ? [] : [...last.request.prompt, ...last.ids].slice(0, last.position);",
    "const held = last === null ? [] : [...last.request.prompt, ...last.ids].slice(0, last.position + 1);",
  ),
  engine(
    "reuse",
    "const shared = commonPrefix(held, prompt.slice(0, -1));",
    "const shared = Math.min(held.length, prompt.length - 1);",
  ),
  engine(
    "reuse",
    "const shared = commonPrefix(held, prompt.slice(0, -1));",
    "const shared = 0 * held.length;",
  ),
  engine("reuse", "mask.fill(MASKED, row * cache.window + start, (row + 1) * cache.window);", ""),
  {
    ...engine("reuse", "last: i32([seq - 1]),\n    scale", "last: i32([0]),\n    scale"),
    equivalent: "the logits behind a piece of a prompt are not looked at: its last token is decoded",
  },
  engine("reuse", "this.exact && last !== null", "last !== null && last === null"),
  engine("not-finite", "if (this.last === null || error instanceof LogitsError) this.forget();", ""),
  // What comes out.
  engine("engine", "row.logProbs.push(logProb);", "row.logProbs.push(-logProb);"),
  engine("engine", "row.logProbs.push(logProb);", "row.logProbs.unshift(logProb);"),
  engine(
    "engine",
    'const finish = options.stopIds.has(row.next) ? "stop" : "length";',
    'const finish = row.ids.length < row.request.maxNewTokens ? "stop" : "length";',
  ),
  engine("engine", "row.ids.length >= row.request.maxNewTokens", "row.ids.length > row.request.maxNewTokens"),
  engine("engine", "options.stopIds.has(id) || ", ""),
  engine("engine", "result.tokens++;", "result.tokens += row.ids.length > 1 ? 1 : 0;"),
  engine("engine", "options.onToken?.(row.index, id);", "options.onToken?.(i, id);"),
  engine("engine", "result.generations[row.index] =", "result.generations[i] ="),
  engine("engine", "call.options.signal?.throwIfAborted();", ""),
  engine("engine", "checkRequests(this.config, requests, options);", ""),

  // Speculative decoding.
  speculative("const last = i === this.drafts;", "const last = i === this.drafts - 1;"),
  speculative("const offset = i * vocabSize;", "const offset = 0;"),
  speculative("accepted = token.accepted;", "accepted = !last;"),
  speculative("if (!last) result.drafted++;", "result.drafted++;"),
  speculative("this.keep([newest, ...next.slice(0, -1)], step);", "this.keep([newest, ...next], step);"),
  speculative("this.keep([newest, ...next.slice(0, -1)], step);", "this.keep([newest], step);"),
  speculative("newest = next[next.length - 1];", "newest = next[0];"),
  speculative('if (options.stopIds.has(token.id)) generation.finish = "stop";', ""),
  speculative(
    'if (generation.finish === "stop" || generation.ids.length === maxNewTokens) break;',
    "if (generation.ids.length === maxNewTokens) break;",
  ),
  speculative(
    'if (generation.finish === "stop" || generation.ids.length === maxNewTokens) break;',
    'if (generation.finish === "stop") break;',
  ),
  speculative("generation.logProbs.push(token.logProb);", "generation.logProbs.push(token.logProb / 2);"),
  speculative(
    "if (decoding) fillGumbel(noise, options.sampling.temperature, random);",
    "if (decoding) noise.fill(0);",
  ),
  speculative("scale: scalar(logitScale(options.sampling)),", "scale: scalar(1),"),
  speculative(
    "mask: sequenceMask(position, this.trunk.window, rows),",
    "mask: sequenceMask(position + 1, this.trunk.window, rows),",
  ),
  speculative("mask.fill(MASKED, row * length + window + row + 1, (row + 1) * length);", ""),
  {
    ...speculative(
      "last: i32(Array.from({ length: 1 + drafts }, (_, i) => known.length - 1 + i)),",
      "last: i32(Array.from({ length: 1 + drafts }, (_, i) => i)),",
      "reuse",
    ),
    equivalent: "decoding knows one token, and the logits of a prompt that is read are not looked at",
  },
  speculative(
    '"pairs.next": i32([...ids.slice(read + 1), known[0]], [pairs, 1]),',
    '"pairs.next": i32([...ids.slice(read + 1), 0], [pairs, 1]),',
  ),
  speculative(
    "sequence.read = this.drafts > 0 ? before : sequence.ids.length;",
    "sequence.read = sequence.ids.length;",
  ),
  speculative("prompt.length - 2));", "prompt.length - 1));", "reuse"),
  speculative("commonPrefix(ids, prompt) - 1", "ids.length", "reuse"),
  speculative("options.signal?.throwIfAborted();\n      const step", "const step"),
  speculative(
    "if (error instanceof LogitsError || result.tokens === tokens) this.forget();",
    "",
    "not-finite",
  ),
  {
    ...speculative("if (random.uniform() * drafted[draft.id] < p)", "if (random.uniform() < p)", "verify"),
    file: "src/sample/verify.ts",
  },
  {
    ...speculative(
      "Math.max(0, weights[offset + id] / mass - drafted[id])",
      "weights[offset + id] / mass",
      "verify",
    ),
    file: "src/sample/verify.ts",
  },
  {
    ...speculative(
      "const p = allowed ? weights[offset + draft.id] / mass : 0;",
      "const p = weights[offset + draft.id] / mass;",
      "verify",
    ),
    file: "src/sample/verify.ts",
  },
];
