/**
 * Keeps trying to reach the members that this node has to dial, for as long as they are members. Owns when to
 * dial, not the links: it is told when one comes up or goes down.
 *
 * 1. At most one dial per member is under way, and none while its link stands.
 * 2. Pauses grow and are jittered, but stay about a second at most: a member that comes back is wanted at once.
 * 3. Only a link that came up resets the pauses: a peer that accepts and then closes is not hammered.
 * 4. Who is taken off the list is not dialled again, and a dial that was under way comes to nothing.
 */
import type { Cancel, Clock, Log, NodeId, Random } from '../environment.ts';

const firstDelayMs = 50;
const delayMsMax = 1_000;

/** Pause before the attempt that follows `failures` failures in a row: doubling, the upper half of it random. */
export function reconnectDelayMs(failures: number, random: Random): number {
  const ceiling = Math.min(delayMsMax, firstDelayMs * 2 ** Math.min(failures, 10));
  return ceiling * (0.5 + random() / 2);
}

interface Target {
  readonly peer: NodeId;
  failures: number;
  state:
    | { readonly kind: 'paused'; readonly cancel: Cancel }
    | { readonly kind: 'dialing' }
    | { readonly kind: 'linked' }
    | { readonly kind: 'stopped' };
}

export interface SupervisorDependencies {
  /** Resolves when the connection stands; `linked` is called on the way, or it was in vain. */
  readonly dial: (peer: NodeId) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export class Supervisor {
  readonly #dependencies: SupervisorDependencies;
  readonly #targets = new Map<NodeId, Target>();
  #running = false;

  constructor(options: { readonly peers: readonly NodeId[] }, dependencies: SupervisorDependencies) {
    this.#dependencies = dependencies;
    for (const peer of options.peers) this.add(peer);
  }

  start(): void {
    this.#running = true;
    for (const target of this.#targets.values()) this.#dialSoon(target);
  }

  stop(): void {
    this.#running = false;
    for (const target of this.#targets.values()) stopTarget(target);
  }

  /** Has no effect on who is there already. */
  add(peer: NodeId): void {
    if (this.#targets.has(peer)) return;
    const target: Target = { peer, failures: 0, state: { kind: 'stopped' } };
    this.#targets.set(peer, target);
    if (this.#running) this.#dialSoon(target);
  }

  remove(peer: NodeId): void {
    const target = this.#targets.get(peer);
    if (target === undefined) return;
    stopTarget(target);
    this.#targets.delete(peer);
  }

  dialing(peer: NodeId): boolean {
    return this.#targets.get(peer)?.state.kind === 'dialing';
  }

  /** A connection exists, though it may not carry frames yet. */
  linked(peer: NodeId): void {
    this.#move(peer, (target) => {
      if (target.state.kind === 'paused') target.state.cancel();
      target.state = { kind: 'linked' };
    });
  }

  /** The link carries frames. */
  linkUp(peer: NodeId): void {
    this.#move(peer, (target) => {
      target.failures = 0;
    });
  }

  linkDown(peer: NodeId): void {
    this.#move(peer, (target) => {
      if (target.state.kind !== 'linked') return;
      this.#dialSoon(target);
    });
  }

  #move(peer: NodeId, act: (target: Target) => void): void {
    const target = this.#targets.get(peer);
    if (target !== undefined && target.state.kind !== 'stopped') act(target);
  }

  #dialSoon(target: Target): void {
    const { clock, random } = this.#dependencies;
    const cancel = clock.after(reconnectDelayMs(target.failures, random), () => {
      void this.#dial(target);
    });
    target.failures++;
    target.state = { kind: 'paused', cancel };
  }

  async #dial(target: Target): Promise<void> {
    const dialing = { kind: 'dialing' } as const;
    target.state = dialing;
    let reason = 'the connection ended at once';
    try {
      await this.#dependencies.dial(target.peer);
    } catch (error) {
      reason = String(error);
    }
    // Still this attempt's state: neither linked on the way nor stopped.
    if (target.state !== dialing) return;
    this.#dependencies.log.debug({ peer: target.peer, failures: target.failures, reason }, 'dial failed');
    this.#dialSoon(target);
  }
}

function stopTarget(target: Target): void {
  if (target.state.kind === 'paused') target.state.cancel();
  target.state = { kind: 'stopped' };
}
