/** What someone outside the repository meets: the library, tasks of their own, and how our verifiers judge beside others'. */
import { agreeWithReasoningGym } from "./library-reasoning-gym.ts";
import type { Row } from "./rows.ts";

export async function benchLibrary(): Promise<Row[]> {
  return await agreeWithReasoningGym();
}
