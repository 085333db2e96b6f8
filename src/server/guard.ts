/**
 * Why a page on localhost needs a guard: any site that a person visits can make their browser send
 * requests here. A name that was rebound to 127.0.0.1 shows in Host, another site's script in Origin, and a request
 * without Origin, such as an image's, in Sec-Fetch-Site. Where other people can reach the port, a token is asked for.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import type { Context, MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";

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

export interface GuardOptions {
  /** The name or address that the server is bound to. */
  host: string;
  /** Must come with a request: in the address of the first, in a cookie from then on, or as a bearer token. */
  token?: string;
}

/** Refuses foreign hosts, origins and sites with 403, a missing token with 401, and sets the headers of every answer. */
export function guard({ host, token }: GuardOptions): MiddlewareHandler {
  return async (c, next) => {
    const url = new URL(c.req.url);
    if (!isOwnHost(url.hostname, host)) {
      const message = `This server does not answer to the name ${url.hostname}.`;
      return c.json({ message, remedy: `Open http://127.0.0.1:${ownPort(c, url)}/` }, 403);
    }
    const origin = c.req.header("origin");
    if ((origin !== undefined && !isSameHost(origin, url.host)) || comesFromAnotherSite(c))
      return c.json({ message: "Another site's page may not use this server.", remedy: null }, 403);
    if (token !== undefined) {
      const refused = checkToken(c, url, token);
      if (refused !== null) return refused;
    }
    await next();
    c.header("Content-Security-Policy", CONTENT_SECURITY_POLICY);
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Referrer-Policy", "no-referrer");
    c.header("Cross-Origin-Resource-Policy", "same-origin");
  };
}

/** `null`: it may pass. */
function checkToken(c: Context, url: URL, token: string): Response | null {
  // Cookies are a host's, whatever the port: two servers must not take each other's.
  const cookie = `sputnik-${ownPort(c, url)}`;
  const given = url.searchParams.get("token");
  const bearer = /^Bearer (.+)$/.exec(c.req.header("authorization") ?? "")?.[1];
  const candidates = [given, bearer, getCookie(c, cookie)];
  if (!candidates.some((text) => text != null && equal(text, token)))
    return c.json(
      {
        message: "Other people use this machine, so this server wants the token that it printed.",
        remedy: "Open the whole address from the terminal, with ?token=...",
      },
      401,
    );
  if (given === null) return null;
  setCookie(c, cookie, token, { httpOnly: true, sameSite: "Strict", path: "/" });
  // Out of the address, and so out of the browser's history.
  if (c.req.method !== "GET" || url.pathname !== "/") return null;
  return c.redirect("/");
}

/** In constant time. */
function equal(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(a, b);
}

/** Browsers say it, programs do not. A link that a person followed to the page itself is theirs. */
function comesFromAnotherSite(c: Context): boolean {
  const site = c.req.header("sec-fetch-site");
  if (site === undefined || site === "same-origin" || site === "none") return false;
  const followed =
    c.req.header("sec-fetch-mode") === "navigate" && c.req.header("sec-fetch-dest") === "document";
  return !(followed && c.req.method === "GET" && c.req.path === "/");
}

/** Of the socket; a proxy's Host header has another one, or none. */
function ownPort(c: Context, url: URL): number | string {
  const env = c.env as { incoming?: { socket?: { localPort?: number } } } | undefined;
  return env?.incoming?.socket?.localPort ?? (url.port || 80);
}

/** An address cannot have been rebound, a name other than localhost or our own can. */
function isOwnHost(hostname: string, host: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, "");
  return bare === "localhost" || bare === host || isIP(bare) !== 0;
}

function isSameHost(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === host;
}
