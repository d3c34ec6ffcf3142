import type { Server } from 'node:http';
import { Server as Listener } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { Clock } from '../../store/environment.ts';

/**
 * How the server lets clients go. Node's own `close` hangs up on three kinds of them: who waits to be accepted, who was
 * accepted and has not spoken yet, and who is about to use an idle connection once more.
 *
 * Owns: the order in which listener and connections end. Does not own: when (drain.ts), or what is answered meanwhile.
 *
 * K1  The listener is closed in a short turn of the event loop that found nobody waiting (a turn accepts one): the kernel
 *     resets whoever it has let in and the process has not. What is left is who arrives between that look and the close.
 * K2  A connection that is open then has `lingerMs` to bring one more request. Its answer says `Connection: close`
 *     (server.ts), so that clients hang up by themselves; nobody who has asked is left without an answer.
 * K3  Idle connections are closed right after a look at all of them, because what arrived unseen would be reset.
 * K4  Bounded: `lingerMs` for who waits, and again for who is in. Requests under way are Lifecycle's to bound.
 */
export interface DoorOptions {
  readonly lingerMs: number;
}

/** A longer turn is no good one to close in: too many may have come since its look at the listener. */
const CALM_TURN_MS = 1;

/** To be called before the server listens. */
export function closeGently(
  app: FastifyInstance,
  { lingerMs }: DoorOptions,
  { clock }: { readonly clock: Clock },
): void {
  const { server } = app;
  let accepted = 0;
  let open = 0;
  let onEmpty = (): void => undefined;
  server.on('connection', (socket) => {
    accepted += 1;
    open += 1;
    socket.once('close', () => {
      open -= 1;
      if (open === 0) onEmpty();
    });
  });

  // Before Fastify closes the server, which then finds nobody to hang up on.
  app.addHook('preClose', async () => {
    if (!server.listening) return;
    await acceptWhoWaits();
    closeListener(server);
    await left();
    await nextTurn();
    server.closeIdleConnections();
  });

  async function acceptWhoWaits(): Promise<void> {
    // The turn that is under way has done its looking.
    await nextTurn();
    const until = clock.monotonic() + lingerMs;
    while (clock.monotonic() < until) {
      const before = { accepted, at: clock.monotonic() };
      await nextTurn();
      if (accepted === before.accepted && clock.monotonic() - before.at <= CALM_TURN_MS) return;
    }
  }

  function left(): Promise<void> {
    return new Promise((resolve) => {
      if (open === 0) return void resolve();
      const cancel = clock.after(lingerMs, resolve);
      onEmpty = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** An HTTP server's own `close` ends idle and silent connections in the same breath. */
function closeListener(server: Server): void {
  Listener.prototype.close.call(server);
}

/** Resolves when the event loop has looked at every socket once. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
