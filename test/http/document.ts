import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify';

/** The OpenAPI document as far as its tests read it. */
export interface ApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly examples?: readonly unknown[] }>>;
  };
}

export interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly parameters?: readonly {
    readonly in: string;
    readonly name: string;
    readonly schema: object;
    readonly example?: unknown;
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string;
        readonly headers?: Readonly<Record<string, object>>;
        readonly content?: Readonly<Record<string, Media>>;
      }
    >
  >;
}

export interface Media {
  readonly schema: object;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

export type Validate = (schema: object, value: unknown) => void;

/** Throws when a value does not fit a schema of the document. Strict: nothing is coerced, filled in or removed. */
export async function validatorOf(document: ApiDocument): Promise<Validate> {
  const scratch = Fastify({
    ajv: {
      customOptions: { strict: false, coerceTypes: false, removeAdditional: false, useDefaults: false },
    },
  });
  // The validator exists once a route needs it.
  scratch.get('/', { schema: { querystring: { type: 'object' } } }, async () => '');
  await scratch.ready();
  const compiled = new Map<string, (value: unknown) => boolean>();
  return (schema, value) => {
    const key = JSON.stringify(schema);
    let check = compiled.get(key);
    if (check === undefined) {
      check = scratch.validatorCompiler!({
        schema: { ...schema, components: document.components },
        method: 'GET',
        url: '/',
        httpPart: 'body',
      }) as (value: unknown) => boolean;
      compiled.set(key, check);
    }
    if (check(value)) return;
    const { errors } = check as unknown as { readonly errors: unknown };
    throw new Error(`${JSON.stringify(value)} does not fit ${key}: ${JSON.stringify(errors)}`);
  };
}

/** Checks an answer against what the server's own document says of its route, status and media type. */
export function documentCheck(app: FastifyInstance) {
  let loading: Promise<readonly [ApiDocument, Validate]> | undefined;
  const load = async () => {
    await app.ready();
    const document = app.swagger() as unknown as ApiDocument;
    return [document, await validatorOf(document)] as const;
  };

  return async (method: string, route: string, response: LightMyRequestResponse): Promise<void> => {
    const [document, validate] = await (loading ??= load());
    const mediaType = String(response.headers['content-type']).split(';')[0] ?? '';
    if (mediaType === 'application/problem+json' && method !== 'HEAD') {
      validate({ $ref: '#/components/schemas/Problem' }, response.json());
    }
    const path = route.replaceAll(/:(\w+)/g, '{$1}');
    const operation = document.paths[path]?.[method === 'HEAD' ? 'get' : method.toLowerCase()];
    if (operation === undefined) return;
    const { statusCode } = response;
    const documented = operation.responses[statusCode] ?? operation.responses[`${String(statusCode)[0]}XX`];
    if (documented === undefined) throw new Error(`${method} ${path} does not document ${statusCode}`);
    const media = documented.content?.[mediaType];
    if (media === undefined)
      throw new Error(`${method} ${path} ${statusCode} does not document ${mediaType}`);
    if (method !== 'HEAD' && mediaType.endsWith('json')) validate(media.schema, response.json());
    for (const header of ['location', 'retry-after', 'idempotency-replayed', 'preference-applied']) {
      if (response.headers[header] === undefined) continue;
      const names = Object.keys(documented.headers ?? {}).map((name) => name.toLowerCase());
      if (!names.includes(header))
        throw new Error(`${method} ${path} ${statusCode} does not document ${header}`);
    }
  };
}
