/** A thread that holds a task. It verifies one completion a message, or does what a thread asks that waits for it. */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { UserError } from "../lib/errors.ts";
import type { Outcome, Task, Verdict } from "./problem.ts";
import { checkedVerdict, fault, verdictsOf } from "./verdict.ts";
import type {
  SentError,
  TaskAnswer,
  TaskCall,
  TaskOutline,
  TaskSource,
  WorkerJob,
  WorkerReply,
} from "./verifier-messages.ts";

export interface ThreadData {
  source: TaskSource;
  /** Absent for a thread of a pool, which talks through the parent's port. */
  waiting?: WaitingCaller;
}

/** A caller that does nothing until it is answered. */
export interface WaitingCaller {
  port: MessagePort;
  /** 0 until the answer is in the port, or until the thread has ended; and the seed of the last problem begun. */
  answered: Int32Array;
}

function sent(error: unknown): SentError {
  if (!(error instanceof UserError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: null, message, remedy: null, data: {} };
  }
  const { kind, remedy, data, message } = error;
  return { kind, message: remedy === null ? message : message.slice(0, -remedy.length).trim(), remedy, data };
}

async function make({ module, factory, options }: TaskSource): Promise<Task> {
  const exported = (await import(module)) as Record<string, (options: unknown) => Task | Promise<Task>>;
  const maker = exported[factory];
  if (typeof maker !== "function") throw new Error(`${module} exports no function ${factory}.`);
  return maker(options);
}

async function verdictOn(task: Task, job: WorkerJob): Promise<Verdict> {
  try {
    const [verdict] = await verdictsOf(task, [job]);
    return checkedVerdict(() => verdict);
  } catch (error) {
    return fault(error);
  }
}

async function outcomeOf(task: Task, job: WorkerJob): Promise<Outcome> {
  const [outcome] = await task.environment!.step([job]);
  return outcome!;
}

async function perform(task: Task, { method, args }: TaskCall): Promise<unknown> {
  const [first, ...others] = args as [never, ...never[]];
  if (method === "verify") return verdictOn(task, { problem: first, completion: others[0]! });
  if (method === "reward") return task.rewards![first as string]!(others[0]!, others[1]!);
  return task[method]?.(first);
}

async function main(): Promise<void> {
  const { source, waiting } = workerData as ThreadData;
  // Standard output holds a command's result alone.
  process.stdout.write = process.stderr.write.bind(process.stderr);
  if (waiting !== undefined) return serve(source, waiting);
  const port = parentPort as MessagePort;
  const post = (reply: WorkerReply): void => port.postMessage(reply);
  try {
    const task = await make(source);
    port.on("message", async (job: WorkerJob) =>
      post(job.step === true ? await outcomeOf(task, job) : await verdictOn(task, job)),
    );
    post("ready");
  } catch (error) {
    post({ error: sent(error) });
  }
}

async function serve(source: TaskSource, { port, answered }: WaitingCaller): Promise<void> {
  const wake = (): void => {
    Atomics.store(answered, 0, 1);
    Atomics.notify(answered, 0);
  };
  const answer = async (of: () => unknown): Promise<void> => {
    let reply: TaskAnswer;
    try {
      reply = { value: await of() };
    } catch (error) {
      reply = { error: sent(error) };
    }
    port.postMessage(reply);
    wake();
  };
  // A module that ends its thread does not leave the caller waiting.
  process.on("exit", wake);
  await answer(async (): Promise<TaskOutline> => {
    const task = await make(source);
    port.on("message", (call: TaskCall) => void answer(() => perform(task, call)));
    const { name, rewards = {}, solve, thought, curriculum, environment } = task;
    return {
      ...{ name, rewards: Object.keys(rewards), curriculum, maxTurns: environment?.maxTurns },
      ...{ solves: solve !== undefined, thinks: thought !== undefined },
    };
  });
}

await main();
