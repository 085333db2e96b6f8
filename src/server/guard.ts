/**
 * Why a page on localhost needs a guard: any site that a person visits can make their browser send
 * requests here. A name that was rebound to 127.0.0.1 shows in Host, another site's script in Origin.
 */
import { isIP } from "node:net";
import type { MiddlewareHandler } from "hono";

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Refuses foreign hosts and origins with 403, and sets the headers of every answer. */
export function guard(host: string): MiddlewareHandler {
  return async (c, next) => {
    const url = new URL(c.req.url);
    if (!isOwnHost(url.hostname, host)) {
      const message = `This server does not answer to the name ${url.hostname}.`;
      return c.json({ message, remedy: `Open http://127.0.0.1:${url.port || 80}/` }, 403);
    }
    const origin = c.req.header("origin");
    if (origin !== undefined && !isSameHost(origin, url.host)) {
      return c.json({ message: "Another site's page may not use this server.", remedy: null }, 403);
    }
    await next();
    c.header("Content-Security-Policy", CONTENT_SECURITY_POLICY);
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Referrer-Policy", "no-referrer");
    c.header("Cross-Origin-Resource-Policy", "same-origin");
  };
}

/** An address cannot have been rebound, a name other than localhost or our own can. */
function isOwnHost(hostname: string, host: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, "");
  return bare === "localhost" || bare === host || isIP(bare) !== 0;
}

function isSameHost(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
