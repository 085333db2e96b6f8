/** Mutants of decoding: the sampler, its cache and its drafts. */
import type { Mutant } from "./mutant.ts";

const of =
  (file: string) =>
  (test: string, find: string, replace: string): Mutant => ({
    file: `src/sample/${file}.ts`,
    find,
    replace,
    test: `test/sample/${test}.test.ts`,
  });

const sampler = of("sampler");
const graphs = of("graphs");
const drafter = of("drafter");
const sampling = of("sampling");

export const sampleMutants: readonly Mutant[] = [
  // Scheduling.
  sampler(
    "sampler",
    "const admitted = scheduler.admit();",
    "const admitted = scheduler.active.length > 0 ? [] : scheduler.admit();",
  ),
  sampler("sampler", "this.drafter === null ? (options.maxBatch ?? MAX_BATCH) : 1", "1"),
  sampler("sampler", "for (const i of finished.reverse()) {", "for (const i of finished) {"),
  sampler("sampler", "if (moved !== null) this.cache.move(moved, i);", ""),
  sampler(
    "sampler",
    "if (moved !== null) this.cache.move(moved, i);",
    "if (moved !== null) this.cache.move(i, moved);",
  ),
  sampler("sampler", "result.steps++;", "result.steps += 2;"),
  // Masks, positions and what is fed.
  graphs("sampler", "mask.fill(MASKED, row * capacity + start, (row + 1) * capacity);", ""),
  graphs(
    "sampler",
    "mask.fill(MASKED, row * capacity + start, (row + 1) * capacity);",
    "mask.fill(MASKED, row * capacity + start + 1, (row + 1) * capacity);",
  ),
  graphs("sampler", "Math.min(start + i, last)", "Math.min(start + i + 1, last)"),
  sampler("sampler", "ids[i] = row.next;", "ids[i] = row.ids.at(-2) ?? row.next;"),
  sampler("sampler", "scale: scalar(logitScale(sampling)),", "scale: scalar(1),"),
  graphs("reuse.slow", "Math.min(start + i, last)", "Math.min(i, last)"),
  graphs("sampler", "Math.min(start + i, last)", "Math.min(start + row * total + i, last)"),
  // The cache.
  sampler("sampler", "this.cache.append(i, position, added", "this.cache.append(i, position + 1, added"),
  sampler(
    "sampler",
    "this.cache.append(i, position, added, row.position - position, 1 + drafts.length);",
    "",
  ),
  sampler("sampler", "if (prefix !== undefined) this.cache.load(row, prefix);", ""),
  sampler(
    "sampler",
    "this.staging.prefix(row, texts[row].length - 1)",
    "this.staging.prefix(0, texts[row].length - 1)",
  ),
  sampler("sampler", "const prefix = prompts.take(entry.index);", "const prefix = prompts.take(0);"),
  sampler("reuse.slow", ".slice(0, last.position);", ".slice(0, last.position + 1);"),
  sampler(
    "reuse.slow",
    "let shared = commonPrefix(held, prompt.slice(0, -1));",
    "let shared = Math.min(held.length, prompt.length - 1);",
  ),
  sampler(
    "reuse.slow",
    "let shared = commonPrefix(held, prompt.slice(0, -1));",
    "let shared = 0 * held.length;",
  ),
  graphs("reuse.slow", "row * capacity + start, (row + 1)", "row * capacity + start + seq, (row + 1)"),
  sampler("reuse.slow", "this.exact && last !== null", "last !== null && last === null"),
  sampler("not-finite", 'if (this.last === null || isUserError(error, "logits")) this.forget();', ""),
  // What comes out.
  sampler("sampler", "row.logProbs.push(token.logProb);", "row.logProbs.push(-token.logProb);"),
  sampler("sampler", "row.logProbs.push(token.logProb);", "row.logProbs.unshift(token.logProb);"),
  sampler(
    "sampler",
    'const finish = stopped ? "stop" : "length";',
    'const finish = ids.length < active[i].request.maxNewTokens ? "stop" : "length";',
  ),
  sampler(
    "sampler",
    "row.ids.length >= row.request.maxNewTokens",
    "row.ids.length > row.request.maxNewTokens",
  ),
  sampler("sampler", " || stopIds.has(token.id)", ""),
  sampler("sampler", "row.request.ends?.(token.id) === true || ", ""),
  sampler("sampler", "result.tokens++;", "result.tokens += row.ids.length > 1 ? 1 : 0;"),
  sampler("sampler", "options.onToken?.(row.index,", "options.onToken?.(i,"),
  sampler("sampler", "result.generations[index] =", "result.generations[i] ="),
  sampler(
    "sampler",
    "options.signal?.throwIfAborted();\n    const { active } = scheduler;",
    "const { active } = scheduler;",
  ),
  sampler("sampler", "checkRequests(this.config, requests, options);", ""),

  // Speculative decoding.
  sampler(
    "speculative.slow",
    "draft < drafts.length\n            ?",
    "draft < drafts.length - 1\n            ?",
  ),
  sampler("speculative.slow", "const offset = (i + draft) * vocabSize;", "const offset = i * vocabSize;"),
  sampler("speculative.slow", "accepted = token.accepted;", "accepted = draft < drafts.length;"),
  sampler("speculative.slow", "if (draft < drafts.length) result.drafted++;", "result.drafted++;"),
  sampler("speculative.slow", "...row.ids.slice(known, -1)], outputs", "...row.ids.slice(known)], outputs"),
  sampler("speculative.slow", "...row.ids.slice(known, -1)], outputs", "], outputs"),
  sampler("speculative.slow", "row.next = token.id;", "row.next = row.ids[known];"),
  sampler("speculative.slow", "stopIds.has(token.id)", "stopIds.has(newest)"),
  sampler(
    "speculative.slow",
    "accepted && !ended;",
    "accepted && row.ids.length < row.request.maxNewTokens;",
  ),
  sampler("speculative.slow", "accepted && !ended;", "accepted && !stopIds.has(row.next);"),
  sampler("speculative.slow", "row.logProbs.push(token.logProb);", "row.logProbs.push(token.logProb / 2);"),
  sampler(
    "speculative.slow",
    "scale: scalar(logitScale(sampling)),",
    "scale: scalar(sampling.temperature || 1),",
  ),
  graphs(
    "speculative.slow",
    "row * capacity + start, (row + 1)",
    "row * capacity + start + drafts, (row + 1)",
  ),
  graphs(
    "speculative.slow",
    "chunkMask: causalMask(seq + drafts),",
    "chunkMask: f32(new Float32Array((seq + drafts) ** 2), [1, 1, seq + drafts, seq + drafts]),",
  ),
  graphs("speculative.slow", "(_, i) => seq - 1 + i", "() => seq - 1"),
  {
    ...graphs("reuse.slow", "(_, i) => seq - 1 + i", "(_, i) => i"),
    equivalent: "decoding feeds one token, and the logits of a prompt that is read are not used",
  },
  sampler("speculative.slow", "1 + drafts.length);", "1);"),
  sampler("reuse.slow", "drafter.held, prompt.length - 2));", "drafter.held, prompt.length - 1));"),
  sampler("reuse.slow", "Math.min(shared - 1, drafter.held", "Math.min(held.length, drafter.held"),
  sampler("reuse.slow", "options.signal?.throwIfAborted();\n      const end", "const end"),
  drafter(
    "speculative.slow",
    "if (decoding !== undefined) fillGumbel(noise, decoding.sampling.temperature, decoding.random);",
    "if (decoding !== undefined) noise.fill(0);",
  ),
  drafter("speculative.slow", "i32([...unread.slice(1), first]", "i32([...unread.slice(1), 0]"),
  drafter("speculative.slow", "this.held += pairs;", "this.held += pairs + ids.length;"),
  sampling("verify", "if (random.uniform() * drafted[draft.id] < p)", "if (random.uniform() < p)"),
  sampling("verify", "Math.max(0, weights[offset + id] / mass - drafted[id])", "weights[offset + id] / mass"),
  sampling(
    "verify",
    "const p = allowed ? weights[offset + draft.id] / mass : 0;",
    "const p = weights[offset + draft.id] / mass;",
  ),
];
