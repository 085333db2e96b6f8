/**
 * `sputnik-r1/tasks`: problems, their verifiers and rewards, and what a verifier of one's own is made of.
 * @module sputnik-r1/tasks
 */
export { Random } from "../lib/random.ts";
export { type AttackResult, attackTask } from "../tasks/attacks.ts";
export { type Answer, type Asking, type Conversation, converse, transcript } from "../tasks/conversation.ts";
export {
  type Asked,
  answerIn,
  defineTask,
  type Judgement,
  type ProblemDefinition,
  type TaskDefinition,
  taskOf,
} from "../tasks/define.ts";
export {
  defineEnvironment,
  type EnvironmentDefinition,
  environmentOf,
  type Reply,
  type Step,
} from "../tasks/environment.ts";
export { type Extraction, type ExtractOptions, extract, type Tag } from "../tasks/extract.ts";
export { closeModules } from "../tasks/module-task.ts";
export { type NumberOptions, type ParsedNumber, parseNumber } from "../tasks/number.ts";
export { completionWith } from "../tasks/probe.ts";
export type {
  CheckedCompletion,
  CheckedStep,
  Environment,
  ListPart,
  Outcome,
  Problem,
  ReplyMessage,
  Reward,
  StreamKey,
  Task,
  Verdict,
  VerdictKind,
} from "../tasks/problem.ts";
export { thinkPrompt } from "../tasks/prompt.ts";
export { type TaskInput, type TaskOptions, taskFrom, taskOptions } from "../tasks/registry.ts";
export { drawInSplit, problemId, splitOf, stream } from "../tasks/stream.ts";
export { type ToolCall, toolCallsIn } from "../tasks/tool-calls.ts";
export { type Finding, unparsed, unscored, verdictsOf, verifyCompletion } from "../tasks/verdict.ts";
export { inThreads, type PoolOptions, type TaskSource, VerifierPool } from "../tasks/verifier-pool.ts";
