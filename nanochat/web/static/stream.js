// Asks the server for an answer and gives its events one by one, as they come in.

/** An answer that the server refused, or a stream that ended with an error; `id` is the number in the server's log. */
export class Refused extends Error {
  constructor(message, id, status) {
    super(message);
    this.id = id;
    this.status = status;
  }
}

export async function refusal(response) {
  let error = {};
  try { error = (await response.json()).error ?? {}; } catch { /* not from this server, or cut off */ }
  return new Refused(error.message ?? `the server answered with status ${response.status}`, error.id, response.status);
}

export async function* answer(request, headers, signal) {
  const response = await fetch("/api/chat", {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(request),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder("utf-8"); // keeps half a character until the rest of it comes
  let buffer = "", ended = false;
  for (;;) {
    const { done, value } = await reader.read();
    buffer += decoder.decode(value, { stream: !done });
    const lines = buffer.split("\n");
    buffer = lines.pop(); // the last line may not be complete
    for (const line of lines) {
      if (!line.startsWith("data:")) continue; // a comment that keeps the connection open, or an empty line
      const event = JSON.parse(line.slice(5));
      if (event.type === "error") throw new Refused(event.error.message, event.error.id, 200);
      ended = event.type === "end";
      yield event;
    }
    if (done) break;
  }
  if (!ended) throw new Refused("the connection broke before the answer was complete");
}
