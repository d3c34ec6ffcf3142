import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const bytesMax = 16_384;
const lineLengthMax = 400;

/** The last `count` lines of a log, long ones cut. Empty when there is no such file. */
export function lastLines(file: string, count = 12): readonly string[] {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch {
    return [];
  }
  try {
    const { size } = fstatSync(descriptor);
    const buffer = Buffer.alloc(Math.min(size, bytesMax));
    readSync(descriptor, buffer, 0, buffer.length, size - buffer.length);
    return buffer
      .toString('utf8')
      .trimEnd()
      .split('\n')
      .slice(-count)
      .map((line) => (line.length > lineLengthMax ? `${line.slice(0, lineLengthMax)}…` : line));
  } finally {
    closeSync(descriptor);
  }
}
