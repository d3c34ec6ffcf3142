import { createPostgres } from '../../../node/reconcilers/postgres.ts';
import type { PostgresSystemOfRecord } from '../../../node/reconcilers/postgres.ts';
import { realEnvironment } from '../../reconcilers/support/fixtures.ts';
import { HttpSystemOfRecordServer, referenceToken } from '../../support/http-system-of-record.ts';
import { PostgresServer } from '../../support/postgres-server.ts';
import { currency } from './catalog.ts';
import type { TestProduct } from './catalog.ts';

/**
 * A shop's own service over HTTP that nodes have as their system of record, with its database behind it. The service can
 * be killed, with whatever it was answering, and comes back at the same address and remembers no cursor.
 */
export class HttpShop {
  readonly token = referenceToken;
  readonly url: string;
  readonly #database: PostgresServer;
  #service: HttpSystemOfRecordServer | undefined;

  private constructor(database: PostgresServer, service: HttpSystemOfRecordServer) {
    this.#database = database;
    this.#service = service;
    this.url = service.url;
  }

  static async start(products: readonly TestProduct[]): Promise<HttpShop> {
    const database = await PostgresServer.start();
    const behind = connect(database);
    await behind.migrate();
    await behind.fillCatalog(
      products.map(({ sku, unitPrice, onHand }) => ({
        sku,
        name: `Product ${sku}`,
        unitPrice,
        currency,
        onHand,
      })),
    );
    return new HttpShop(database, await HttpSystemOfRecordServer.start(behind));
  }

  get databaseUrl(): string {
    return this.#database.url;
  }

  /** Since it was started last. */
  get pages(): HttpSystemOfRecordServer['pages'] {
    return this.#service?.pages ?? [];
  }

  /** Every connection breaks at once; what was under way in the database may still take effect. */
  async kill(): Promise<void> {
    await this.#service?.close();
    this.#service = undefined;
  }

  async revive(): Promise<void> {
    const port = Number(new URL(this.url).port);
    this.#service = await HttpSystemOfRecordServer.start(connect(this.#database), port);
  }

  async close(): Promise<void> {
    await this.kill();
    await this.#database.close();
  }
}

function connect({ url }: PostgresServer): PostgresSystemOfRecord {
  return createPostgres({ url }, { environment: realEnvironment() });
}
