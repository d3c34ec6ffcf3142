import type { Random } from '../../store/environment.ts';

/**
 * W3C Trace Context: takes the caller's `traceparent` when it is valid, begins a trace when it is not.
 * https://www.w3.org/TR/trace-context/#traceparent-header
 */

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

export function traceparentOf(header: string | undefined, random: Random): string {
  return accepted(header) ?? `00-${randomHex(32, random)}-${randomHex(16, random)}-01`;
}

/** The trace id, for the log and for whoever reports a failure. */
export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35);
}

function accepted(header: string | undefined): string | undefined {
  const match = FORM.exec(header ?? '');
  if (match === null) return undefined;
  const [, version, traceId = '', parentId = '', flags, rest] = match;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return undefined;
  // A later version is read as far as this one is understood, and passed on as this one.
  return `00-${traceId}-${parentId}-${version === '00' ? flags : '01'}`;
}

/** Never all zeros, which the standard forbids: the first digit is 1 to f. */
function randomHex(digits: number, random: Random): string {
  let text = (1 + Math.floor(random() * 15)).toString(16);
  while (text.length < digits) text += Math.floor(random() * 16).toString(16);
  return text;
}
