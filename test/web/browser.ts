/** A real Chromium for the page's tests, where the machine has one. */
import { existsSync, mkdtempSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { type BrowserContext, chromium, type Locator } from "playwright-core";

const COMMON_PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** `CHROMIUM_PATH`, or where systems put it. */
export function findChromium(): string | null {
  const { CHROMIUM_PATH } = process.env;
  return (
    [...(CHROMIUM_PATH ? [CHROMIUM_PATH] : []), ...COMMON_PATHS].find((file) => existsSync(file)) ?? null
  );
}

export function temporaryFolder(): string {
  return mkdtempSync(path.join(os.tmpdir(), "sputnik-web-"));
}

/** A browser with a profile of its own, that talks to nobody else. */
export function openBrowser(
  executablePath: string,
  look: { width: number; height: number; colorScheme: "light" | "dark" },
): Promise<BrowserContext> {
  return chromium.launchPersistentContext(temporaryFolder(), {
    executablePath,
    headless: true,
    viewport: { width: look.width, height: look.height },
    colorScheme: look.colorScheme,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export function shownText(element: Locator): Promise<string> {
  // biome-ignore lint/performance/useDomNodeTextContent: what a person sees, without what is hidden
  return element.innerText();
}
