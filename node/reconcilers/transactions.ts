import { Socket } from 'node:net';
import pg from 'pg';
import type { Cancel, Environment } from '../../store/environment.ts';
import { demandInterest, NO_DEADLINE, timeFor, type Deadline } from '../ports/deadline.ts';
import { SystemOfRecordUnavailable } from '../ports/system-of-record.ts';

/**
 * Transactions against the system of record, and what their failures mean. Owns the pool and its sockets; does
 * not own any SQL of the shop.
 *
 * It must work unchanged with PGlite behind its socket server, where all connections share *one* session and
 * messages of different connections may alternate outside a transaction. Hence:
 *
 *   T1  Every statement runs inside an explicit transaction, opened by one simple-protocol message.
 *   T2  Nothing is left in the session: settings are `SET LOCAL`, no named statements, no session locks.
 *   T3  Every wait is bounded on this side too: a stopped or half-open database sends no reset, and PGlite
 *       knows no statement_timeout.
 *   T4  After any doubt about a connection it is thrown away, never returned to the pool.
 *   T5  What somebody waits for is not begun, tried again or committed once nobody does; no statement of it is given more
 *       time than is left. After COMMIT was sent its answer is waited for, or nobody would know whether it was done.
 */
export interface TransactionsOptions {
  readonly url: string;
  /** Longest a single statement may take, ms. */
  readonly statementTimeoutMs: number;
  /** Longest to wait for a connection, ms. */
  readonly connectTimeoutMs: number;
  readonly poolMax: number;
}

export interface Session {
  /** One statement; values take the place of $1, $2, … Rejects with what `run` knows how to read. */
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
}

export type Isolation = 'READ COMMITTED' | 'REPEATABLE READ';

/** The database refuses this data and always will until somebody changes something: not an outage. */
export class RefusedByDatabase extends Error {
  /** SQLSTATE, or a word of ours such as UNKNOWN_SKU. */
  readonly code: string;
  constructor(code: string, detail: string, options?: ErrorOptions) {
    super(`${code}: ${detail}`, options);
    this.name = 'RefusedByDatabase';
    this.code = code;
  }
}

const attemptsMax = 4;
const closeTimeoutMs = 2_000;
/** A pool connection is given back to the database after this long without work. */
const idleTimeoutMs = 5_000;
/** The database gets to cancel a statement itself before this side gives up on the connection. */
const cancelMarginMs = 500;

export class Transactions {
  readonly #options: TransactionsOptions;
  readonly #environment: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly #pool: pg.Pool;
  readonly #sockets = new Set<Socket>();

  constructor(
    options: TransactionsOptions,
    dependencies: { readonly environment: Pick<Environment, 'clock' | 'random' | 'log'> },
  ) {
    this.#options = options;
    this.#environment = dependencies.environment;
    this.#pool = new pg.Pool({
      connectionString: options.url,
      application_name: 'freehold',
      max: options.poolMax,
      connectionTimeoutMillis: options.connectTimeoutMs,
      query_timeout: options.statementTimeoutMs + cancelMarginMs,
      idleTimeoutMillis: idleTimeoutMs,
      keepAlive: true,
      stream: () => this.#openSocket(),
    });
    // A connection that breaks between two statements reports here; unheard, it would end the process.
    this.#pool.on('error', (error) =>
      this.#environment.log.debug({ reason: error.message }, 'idle connection lost'),
    );
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
  }

  /**
   * Runs `work` in one transaction and commits it. Rejects with SystemOfRecordUnavailable when the database is
   * away or its answer to COMMIT was lost (the work may be done: it must be safe to repeat), and with
   * RefusedByDatabase when it refuses the data; with DeadlineExceeded, and nothing done, when nobody waits for it any
   * more. Conflicts with other transactions are retried here.
   */
  async run<Result>(
    isolation: Isolation,
    work: (session: Session) => Promise<Result>,
    deadline: Deadline = NO_DEADLINE,
  ): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(isolation, work, deadline);
      } catch (error) {
        if (!(error instanceof Conflict)) throw error;
        if (attempt === attemptsMax) throw new SystemOfRecordUnavailable(error.message, { cause: error });
        await this.#pause(20 * 2 ** attempt * (0.5 + this.#environment.random()));
      }
    }
  }

  async close(): Promise<void> {
    // A stopped database never says goodbye, so the sockets are not asked twice.
    const ended = this.#pool.end().catch(() => undefined);
    let cancel: Cancel = () => undefined;
    const late = new Promise<void>((resolve) => {
      cancel = this.#environment.clock.after(closeTimeoutMs, resolve);
    });
    await Promise.race([ended, late]);
    cancel();
    for (const socket of this.#sockets) socket.destroy();
    await ended;
  }

  async #once<Result>(
    isolation: Isolation,
    work: (session: Session) => Promise<Result>,
    deadline: Deadline,
  ): Promise<Result> {
    demandInterest(deadline);
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw meaning(error);
    });
    let healthy = false;
    const query = async <Row>(
      text: string,
      values?: readonly unknown[],
    ): Promise<pg.QueryResult<Row & pg.QueryResultRow>> => {
      try {
        return await (values === undefined
          ? client.query<Row & pg.QueryResultRow>(text)
          : client.query<Row & pg.QueryResultRow>(text, [...values]));
      } catch (error) {
        throw meaning(error);
      }
    };
    try {
      await query(this.#opening(isolation, timeFor(this.#options.statementTimeoutMs, deadline)));
      const result = await work({
        query: async <Row>(text: string, values?: readonly unknown[]) =>
          (await query<Row>(text, values)).rows,
      });
      demandInterest(deadline);
      const { command } = await query('COMMIT');
      // An aborted transaction answers COMMIT with ROLLBACK and no error.
      if (command !== 'COMMIT') throw new SystemOfRecordUnavailable(`COMMIT was answered with ${command}`);
      healthy = true;
      return result;
    } catch (error) {
      if (!(error instanceof SystemOfRecordUnavailable)) {
        healthy = await client.query('ROLLBACK').then(
          () => true,
          () => false,
        );
      }
      throw error;
    } finally {
      client.release(!healthy);
    }
  }

  /** T1, T2: one message, so that no other connection's statement can come in between on PGlite. */
  #opening(isolation: Isolation, timeoutMs: number): string {
    return [
      `BEGIN ISOLATION LEVEL ${isolation} READ WRITE`,
      `SET LOCAL statement_timeout = ${timeoutMs}`,
      // A node that was paused in mid-transaction must not hold the others' locks for ever.
      `SET LOCAL idle_in_transaction_session_timeout = ${timeoutMs}`,
      'SET LOCAL search_path = public',
    ].join('; ');
  }

  #openSocket(): Socket {
    const socket = new Socket();
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#environment.clock.after(delayMs, resolve);
    });
  }
}

/** Another transaction was in the way: the same again may well succeed. */
class Conflict extends Error {}

const conflicts = new Set(['40001', '40P01', '55P03']);
/** SQLSTATE classes that blame the data: data exception, integrity, raised by a trigger, view check. */
const dataClasses = new Set(['22', '23', 'P0', '44']);

/**
 * Reads an error of the driver by its SQLSTATE. What does not plainly blame the data counts as an outage: a
 * missing table or a changed password must not park every order of the shop.
 */
function meaning(error: unknown): Error {
  if (!(error instanceof Error)) return new SystemOfRecordUnavailable(String(error));
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) {
    return new SystemOfRecordUnavailable(describe(error), { cause: error });
  }
  const { code } = error;
  if (conflicts.has(code)) return new Conflict(`${code}: ${error.message}`, { cause: error });
  // `detail` is left out: it quotes the row, which may hold a customer's address.
  if (dataClasses.has(code.slice(0, 2))) return new RefusedByDatabase(code, error.message, { cause: error });
  return new SystemOfRecordUnavailable(`${code}: ${error.message}`, { cause: error });
}

/** A refused connection to a name with several addresses is an AggregateError with an empty message. */
function describe(error: Error): string {
  const code = (error as NodeJS.ErrnoException).code;
  return [code, error.message].filter((part) => part !== undefined && part !== '').join(': ') || error.name;
}
