import type { OrderEvent, RecordedEvent } from '../orders/events.ts';
import type { Entry, Position } from '../../store/journal/port.ts';

/** Journal payloads are JSON: readable in an audit ten years from now. */

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeEvent(event: OrderEvent): Uint8Array {
  return encodeJson(event);
}

export function eventId(position: Position): string {
  return `${position.origin}:${position.sequence}`;
}

export function decodeEntry(entry: Entry): RecordedEvent {
  return { ...(decodeJson(entry.payload) as OrderEvent), id: eventId(entry) };
}

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

export function decodeJson(bytes: Uint8Array): unknown {
  return JSON.parse(decoder.decode(bytes));
}
