/** What a page folds from a run's files is what it folded from the run's events while they came. */
import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { RunEvent } from "../../src/events.ts";
import { launchRun } from "../../src/run/launch.ts";
import { readRun } from "../../src/run/reader.ts";
import { replay } from "../../src/run/replay.ts";
import { apply, emptyRun } from "../../src/server/run-state.ts";
import { TINY } from "../cli/command.ts";

test("a whole run in its thread, then its files", { timeout: 240_000 }, async () => {
  const root = fs.mkdtempSync(join(os.tmpdir(), "sputnik-replay-"));
  const [live, told] = [emptyRun(), emptyRun()];
  const seen: RunEvent["type"][] = [];
  const order = {
    recipeFile: "tiny.yaml",
    recipeText: TINY.replace("steps: 120", "steps: 12"),
    root,
    threads: 1,
  };
  const { done } = launchRun(order, (event) => {
    seen.push(event.type);
    apply(live, JSON.parse(JSON.stringify(event)) as RunEvent);
  });
  expect(await done).toBe("finished");
  expect(seen[0]).toBe("run");
  expect(seen.at(-1)).toBe("done");
  for (const event of replay(readRun(join(root, "tiny"))))
    apply(told, JSON.parse(JSON.stringify(event)) as RunEvent);
  const { sessions: _, ...bill } = told.bill as unknown as { sessions: unknown };
  const { sessions: __, ...liveBill } = live.bill as unknown as { sessions: unknown };
  // Time left and warnings pass; the last bill is written with the last checkpoint.
  const lasting = ({ progress, notices, bill: _bill, ...rest }: typeof live) => ({
    ...rest,
    step: progress?.step,
  });
  expect(lasting(told)).toEqual(lasting(live));
  expect(bill).toEqual(liveBill);
});
