/**
 * Who holds a claim: asked of the voters, and answered for this node. An answer rests on what is on the disk, and a
 * node whose disk forgot whom it voted for says so rather than that nobody holds it.
 */
import type { Environment, NodeId } from '../environment.ts';
import type { Network } from '../peers/port.ts';
import type { Electorate } from './electorate.ts';
import type { Intake } from './intake.ts';
import { JournalError, type ClaimStanding } from './port.ts';
import type { RecoveryPhase } from './recovery.ts';
import { channels, decodeHolder, encodeClaim, type HolderAnswer } from './wire.ts';

export interface HoldersDependencies {
  readonly environment: Environment;
  readonly electorate: Pick<Electorate, 'self' | 'voters'>;
  readonly network: Network;
  readonly intake: Pick<Intake, 'offer'>;
  readonly phase: () => RecoveryPhase;
}

export class Holders {
  readonly #dependencies: HoldersDependencies;

  constructor(dependencies: HoldersDependencies) {
    this.#dependencies = dependencies;
  }

  /** Per voter that answered in time and knows. */
  async ask(
    claim: string,
    options: { readonly timeoutMs: number },
  ): Promise<ReadonlyMap<NodeId, ClaimStanding>> {
    const { network, environment, electorate } = this.#dependencies;
    const holders = new Map<NodeId, ClaimStanding>();
    const request = encodeClaim(claim);
    await Promise.all(
      electorate.voters.map(async (voter) => {
        try {
          const answer =
            voter === electorate.self
              ? await this.here(claim)
              : decodeHolder(await network.request(voter, channels.holders, request, options));
          if (answer.kind !== 'unknown') holders.set(voter, answer);
        } catch (error) {
          environment.log.debug({ voter, error: String(error) }, 'a voter did not answer');
        }
      }),
    );
    return holders;
  }

  /** Rejects with JournalError QUEUE_FULL or CLOSED. */
  here(claim: string): Promise<HolderAnswer> {
    const { intake, phase } = this.#dependencies;
    return new Promise((resolve, reject) => {
      const taken = intake.offer({
        kind: 'lookup',
        claim,
        answer: (record) => {
          switch (record?.standing) {
            case 'granted':
              resolve({ kind: 'held', holder: record.holder });
              break;
            case 'inherited':
              resolve({ kind: 'forgot' });
              break;
            // Who was no voter when it met the claim has given no vote, and knows it.
            case 'observed':
              resolve({ kind: 'passed' });
              break;
            case undefined:
              resolve({ kind: phase() === 'open' ? 'free' : 'unknown' });
          }
        },
        refuse: reject,
      });
      if (!taken) reject(new JournalError('QUEUE_FULL', 'too much waits for a decision'));
    });
  }
}
