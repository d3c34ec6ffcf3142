import type { IncomingMessage } from 'node:http';

const BYTES_MAX = 32 * 1_024 * 1_024;
const WAIT_MS_MAX = 5_000;

/**
 * Reads on and throws away what a client still sends of a body that will not be used. Whoever is answered and hung
 * up on in the middle of sending sees a broken connection, and never the answer. Resolves when the body has ended,
 * or is larger or slower than is worth waiting for.
 */
export function discardBody(request: IncomingMessage): Promise<void> {
  if (request.complete || request.readableEnded || request.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    let bytes = 0;
    const count = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > BYTES_MAX) done();
    };
    const done = (): void => {
      clearTimeout(timer);
      request.off('data', count).off('end', done).off('close', done).off('error', done);
      resolve();
    };
    const timer = setTimeout(done, WAIT_MS_MAX);
    request.on('data', count).once('end', done).once('close', done).once('error', done);
    request.resume();
  });
}
