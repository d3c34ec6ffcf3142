const requestTimeoutMs = 2_000;

/** GET, parsed. Rejects when nobody answers, in time and with JSON. */
export async function ask(url: string): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await fetch(url, { signal: AbortSignal.timeout(requestTimeoutMs) });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
}
