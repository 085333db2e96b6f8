/** Server-Sent Events from a POST, which EventSource cannot send. */
import type { ChatEvent } from "../server/chat.ts";

/** The events of the response; a refusal is an event too. Throws if the server does not respond. */
export async function* askServer(
  path: string,
  body: unknown,
  signal: AbortSignal,
): AsyncGenerator<ChatEvent, void> {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) {
    const refusal = (await response.json()) as { message: string; remedy: string | null };
    yield { type: "error", ...refusal };
  } else for await (const data of eventData(response.body!)) yield JSON.parse(data) as ChatEvent;
}

/** The `data` of each event. */
export async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  let pending = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      pending += value;
      const frames = pending.split("\n\n");
      pending = frames.pop()!;
      for (const frame of frames) {
        const lines = frame.split("\n").filter((line) => line.startsWith("data:"));
        if (lines.length > 0) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
