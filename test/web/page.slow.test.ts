/** The page in a real browser, against the real server and a replayed run. */
import type { BrowserContext, Locator, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { EvaluationRecord, RunEvent } from "../../src/events.ts";
import { RunBus } from "../../src/server/bus.ts";
import { type RunningServer, startServer } from "../../src/server/serve.ts";
import { evaluation, finish, grpoStep, replay, ScriptedChat } from "../server/replay.ts";
import { findChromium, openBrowser, shownText } from "./browser.ts";

const chromium = findChromium();
if (chromium === null) {
  console.warn(
    "test/web/page.slow.test.ts is skipped: no Chromium found. Set CHROMIUM_PATH, or install chromium.",
  );
}

describe.skipIf(chromium === null)("the page", () => {
  const staticDir = "dist/web";
  let browser: BrowserContext;
  let server: RunningServer;
  let events: RunBus;
  let chat: ScriptedChat;
  let page: Page;
  const faults: string[] = [];

  const serve = (port: number): Promise<RunningServer> => startServer({ events, chat, staticDir, port });

  beforeAll(async () => {
    browser = await openBrowser(chromium!, { width: 1280, height: 900, colorScheme: "light" });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  beforeEach(async () => {
    await page?.close();
    await server?.close();
    events = new RunBus();
    chat = new ScriptedChat(5);
    server = await serve(0);
    page = await browser.newPage();
    faults.length = 0;
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("request", (request) => {
      if (!request.url().startsWith(server.url)) faults.push(`asked another host: ${request.url()}`);
    });
    return () => expect(faults).toEqual([]);
  });

  const publish = (list: ReturnType<typeof replay>): void => {
    for (const event of list) events.publish(event);
  };
  const header = (): Promise<string> => shownText(page.locator("header.top"));
  const figure = (title: string): Locator => page.locator("figure", { hasText: title }).first();
  /** How many of a chart's pixels have the colour of its first line (axes and grid are grey). */
  const ink = (title: string): Promise<number> =>
    figure(title)
      .locator("canvas")
      .evaluate((canvas: HTMLCanvasElement) => {
        const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
        const isBlue = (at: number): boolean => data[at + 3]! > 100 && data[at + 2]! - data[at]! > 100;
        return Array.from({ length: data.length / 4 }, (_, pixel) => isBlue(4 * pixel)).filter(Boolean)
          .length;
      });

  test("draws the curves, follows the run, and is the same after a reload", async () => {
    publish(replay(40));
    await page.goto(server.url);
    await expect.poll(header).toContain("step 40 of 140");
    for (const title of [
      "Reward",
      "pass@1",
      "Response length",
      "Thought validity",
      "KL to the base",
      "Loss",
    ]) {
      await expect.poll(() => ink(title), { message: title }).toBeGreaterThan(150);
    }
    await figure("Reward").locator(".u-over").hover();
    await expect.poll(() => shownText(figure("Response length"))).toMatch(/step \d+/);
    await page.mouse.move(0, 0);
    events.publish(grpoStep(41));
    await expect.poll(header).toContain("step 41 of 140");
    const shown = await shownText(page.locator("main"));
    await page.reload();
    await expect.poll(() => shownText(page.locator("main"))).toBe(shown);
  });

  test("reconnects by itself to a restarted server, and shows what that one knows", async () => {
    publish(replay(10));
    await page.goto(server.url);
    await expect.poll(header).toContain("step 10 of 140");
    await server.close();
    await expect.poll(header).toContain("reconnecting");
    events = new RunBus();
    publish(replay(25));
    server = await serve(server.port);
    await expect.poll(header, { timeout: 10_000 }).toContain("step 25 of 140");
    expect(await header()).toContain("live");
  });

  test("shows gaps for missing values, and a chart that has none yet says so", async () => {
    publish(replay(1));
    await page.goto(server.url);
    const kl = page.locator("figure", { hasText: "KL to the base" });
    await expect.poll(() => shownText(kl)).toContain("off: the recipe's kl is 0");
    // One step so far is one dot.
    await expect.poll(() => ink("Reward")).toBeGreaterThan(5);
    expect(await ink("KL to the base")).toBe(0);
  });

  test("tells how it ended, with the gain between the evaluations", async () => {
    publish([...replay(140), ...finish()]);
    await page.goto(server.url);
    const main = page.locator("main");
    await expect.poll(() => shownText(main)).toMatch(/\+57\.7\s+points from base to final/);
    // 577 of 1,000 are newly solved: 0.577 -+ 1.962 sqrt(0.577 x 0.423 / 999).
    expect(await shownText(main)).toMatch(/95 % interval \+54\.6 to \+60\.8,\s+paired over 1,000 problems/);
    expect(await shownText(main)).toContain("83.8\u202f% to 88.1\u202f%");
    expect(await shownText(page.locator("tfoot"))).toMatch(/unknown\s+unknown/);
  });

  test("an evaluation with several completions of a problem has its pass@k, with intervals", async () => {
    const final = evaluation("final") as Extract<RunEvent, { type: "evaluation" }>;
    const passAtK = [
      { k: 1, value: 0.861, interval: [0.838, 0.881] },
      { k: 4, value: 0.942, interval: [0.925, 0.956] },
    ] as EvaluationRecord["passAtK"];
    publish([...replay(140), { ...final, evaluation: { ...final.evaluation, passAtK } }]);
    await page.goto(server.url);
    await expect
      .poll(() => shownText(page.locator(".evaluation").last()))
      .toMatch(/pass@1 on 1,000 .*; pass@4 94\.2\s% \(92\.5\s% to 95\.6\s%\)/s);
  });

  test("compares early and late samples", async () => {
    publish(replay(140));
    await page.goto(server.url);
    const right = page.locator(".samples .card.right");
    await expect.poll(() => right.count()).toBe(7);
    await page.getByRole("button", { name: "First" }).click();
    await expect.poll(() => right.count()).toBe(2);
    await expect.poll(() => shownText(page.locator(".picker output"))).toBe("1");
    expect(await shownText(page.locator(".wrong-mark").first())).toContain("false");
    expect(await shownText(page.locator(".advantage.down").first())).toMatch(/advantage −\d/);
  });

  test("streams an answer, keeps it over a reload, and stops when told to", async () => {
    await page.goto(server.url);
    await page.getByLabel("Numbers").fill("82 27 11");
    await page.getByRole("button", { name: "Think" }).click();
    const card = page.locator(".card").first();
    await expect.poll(() => shownText(card)).toContain("Thinking");
    await expect.poll(() => shownText(card)).toMatch(/Right.*yes!.*\(82 - 27\) - 11/s);
    expect(chat.asked[0]).toMatchObject({ problem: "82 27 11 = 44", model: "shipped", temperature: 0.6 });
    await page.reload();
    await expect.poll(() => shownText(card)).toContain("(82 - 27) - 11");

    await page.getByRole("button", { name: "Ask 8 times" }).click();
    await page.getByRole("button", { name: "Stop" }).click();
    await expect.poll(() => page.locator(".card", { hasText: "Stopped by you" }).count()).toBe(8);
    await expect.poll(() => chat.aborted).toBeGreaterThan(0);

    await page.getByRole("button", { name: "Ask 8 times" }).click();
    await expect
      .poll(() => shownText(page.locator(".question").first()), { timeout: 10_000 })
      .toContain("8 of 8 right");
  });

  test("a reload while it thinks leaves the question, marked interrupted, to be asked again", async () => {
    await page.goto(server.url);
    await page.getByRole("button", { name: "Think" }).click();
    await expect.poll(() => shownText(page.locator(".card"))).toContain("no.");
    await page.reload();
    await expect.poll(() => shownText(page.locator(".card"))).toContain("Interrupted");
    await page.getByRole("button", { name: "Ask again" }).click();
    await expect.poll(() => shownText(page.locator(".card").first())).toContain("Right");
  });

  test("holds a conversation with a chat model, over a reload, until it is begun again", async () => {
    chat.runKind = "conversation";
    await page.goto(server.url);
    await page.getByLabel("Model").selectOption("run");
    const say = async (text: string): Promise<void> => {
      await page.getByLabel("Message").fill(text);
      await page.getByLabel("Message").press("Enter");
    };
    const last = page.locator(".question").last();
    await page.getByLabel("Instruction").fill("Be kind.");
    await say("Hello");
    await expect.poll(() => shownText(last)).toMatch(/Hello.*Answer.*Message number 2\./s);
    await say("And now?");
    // The instruction, two questions and an answer between them, without its thought.
    await expect.poll(() => shownText(last)).toMatch(/And now\?.*Message number 4\./s);
    expect(chat.asked.at(-1)).toMatchObject({
      model: "run",
      messages: [
        { role: "system", content: "Be kind." },
        { role: "user", content: "Hello" },
        { role: "assistant", content: "Message number 2." },
        { role: "user", content: "And now?" },
      ],
    });
    expect(chat.asked.at(-1)?.temperature).toBeUndefined();
    await page.reload();
    await page.getByLabel("Model").selectOption("run");
    await expect.poll(() => page.locator(".question").count()).toBe(2);
    await page.getByRole("button", { name: "New" }).click();
    await expect.poll(() => page.locator(".question").count()).toBe(0);
    await say("Hello again");
    await expect.poll(() => shownText(last)).toContain("Message number 1.");
  });

  test("U7: Stop only stops, however often it is clicked, and the draft stays", async () => {
    chat.runKind = "conversation";
    await page.goto(server.url);
    await page.getByLabel("Model").selectOption("run");
    const message = page.getByLabel("Message");
    await message.fill("Slowly");
    await message.press("Enter");
    await message.fill("A draft");
    await page.getByRole("button", { name: "Stop" }).dblclick();
    await expect.poll(() => shownText(page.locator(".card"))).toContain("Stopped by you");
    expect(await message.inputValue()).toBe("A draft");
    expect(chat.asked).toHaveLength(1);
    expect(await page.locator(".question").count()).toBe(1);
  });

  test("D10: an empty thought has no fold", async () => {
    chat.runKind = "conversation";
    await page.goto(server.url);
    await page.getByLabel("Model").selectOption("run");
    await page.getByLabel("Message").fill("Do not think");
    await page.getByLabel("Message").press("Enter");
    await expect.poll(() => shownText(page.locator(".card"))).toContain("Message number 1.");
    expect(await page.locator("details").count()).toBe(0);
  });

  test("D10: a problem's answer that reached the longest length is said to be cut off", async () => {
    await page.goto(server.url);
    await page.getByLabel("Numbers").fill("1 2 3");
    await page.getByRole("button", { name: "Think" }).click();
    await expect.poll(() => shownText(page.locator(".card"))).toMatch(/3 tokens · .*, cut off/);
    expect(await page.locator(".card details").count()).toBe(0);
  });

  test("D11: numbers may come with their target", async () => {
    await page.goto(server.url);
    await page.getByLabel("Target").fill("");
    await page.getByLabel("Numbers").fill("3 5 7 = 22");
    await page.getByRole("button", { name: "Think" }).click();
    await expect.poll(() => chat.asked[0]).toMatchObject({ problem: "3 5 7 = 22" });
    expect(await page.getByLabel("Target").inputValue()).toBe("22");
  });

  test("U8: an example that mostly fails says so, and a refuted claim is not green", async () => {
    await page.goto(server.url);
    await page.getByRole("button", { name: "12, 30, 5 → 90 (it mostly fails)" }).click();
    await page.getByRole("button", { name: "Think" }).click();
    await expect.poll(() => shownText(page.locator(".card"))).toMatch(/Wrong.*yes!.*value is 47, not 90/s);
    expect(await page.locator(".thought .hit").count()).toBe(0);
    await page.getByRole("button", { name: "82, 27, 11 → 44" }).click();
    await page.getByRole("button", { name: "Think" }).click();
    await expect.poll(() => page.locator(".question").first().locator(".thought .hit").count()).toBe(1);
  });

  test("U9: when the server has ended, the page says so and invites nobody", async () => {
    await page.goto(`${server.url}#chat`);
    const think = page.getByRole("button", { name: "Think" });
    await expect.poll(() => think.isEnabled()).toBe(true);
    await server.close();
    await expect.poll(() => shownText(page.locator(".chat"))).toContain("The server does not answer");
    expect(await think.isEnabled()).toBe(false);
    server = await serve(server.port);
    await expect.poll(() => think.isEnabled(), { timeout: 10_000 }).toBe(true);
  });

  test("a failure is told in words", async () => {
    await page.goto(server.url);
    await page.getByLabel("Numbers").fill("boom");
    await page.getByRole("button", { name: "Think" }).click();
    await expect.poll(() => shownText(page.locator(".card"))).toContain("The checkpoint is truncated.");
  });

  test.each([1280, 390, 360])("fits a width of %i", async (width) => {
    publish(replay(30));
    await page.setViewportSize({ width, height: 800 });
    for (const view of ["#run", "#chat"]) {
      await page.goto(server.url + view);
      await page.locator("h2").first().waitFor();
      expect(
        await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
      ).toBeLessThanOrEqual(0);
    }
  });
});
