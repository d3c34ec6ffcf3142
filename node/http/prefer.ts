/**
 * The one preference that is honoured: `Prefer: wait=SECONDS` (RFC 7240). As the RFC has it, what is malformed
 * or unknown is ignored, and of one preference given twice the first counts.
 */

const WAIT_SECONDS_MAX = 60;

/** Seconds to wait, 0 to 60; 0 when the client did not ask. */
export function waitSecondsOf(prefer: string | undefined): number {
  for (const preference of preferencesIn(prefer ?? '')) {
    const match = /^\s*wait\s*(?:=\s*([^;]*))?(?:;.*)?$/i.exec(preference);
    if (match === null) continue;
    const seconds = /^(?:(\d{1,9})|"(\d{1,9})")\s*$/.exec(match[1] ?? '');
    return seconds === null ? 0 : Math.min(Number(seconds[1] ?? seconds[2]), WAIT_SECONDS_MAX);
  }
  return 0;
}

/** Splits at commas that are not inside a quoted string, up to the first quote that is never closed. */
function* preferencesIn(header: string): Generator<string> {
  const preference = /((?:[^,"]|"(?:[^"\\]|\\.)*")*)(?:,|$)/y;
  while (preference.lastIndex < header.length) {
    const match = preference.exec(header);
    if (match === null) return;
    yield match[1] ?? '';
  }
}
