/** A container may run under a number that no account has (`docker run --user 4711`): a page opens there all the same. */
import { expect, test, vi } from "vitest";
import { isSharedMachine } from "../../src/server/shared.ts";

// As libuv says it where /etc/passwd has no line of the number; arranging it for real takes root.
vi.mock("node:os", async (original) => ({
  ...(await original<typeof import("node:os")>()),
  userInfo: () => {
    throw new Error("A system error occurred: uv_os_get_passwd returned ENOENT (no such file or directory)");
  },
}));

test("whether the machine is shared is known without the account's name", () => {
  expect([true, false]).toContain(isSharedMachine());
});
