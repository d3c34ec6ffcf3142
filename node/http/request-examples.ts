import { EXAMPLES } from './examples.ts';

/**
 * Puts an example to everything that can be sent, so that the API documentation shows whole requests. By the name of
 * the parameter: the same name means the same everywhere, but for members' names.
 */
const PARAMETERS: Readonly<Record<string, string | number>> = {
  'Idempotency-Key': 'checkout-7f3a91',
  Prefer: 'wait=10',
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  id: 'ord_5m3xk2qj7w4tzc6ya2fhbnd3eo',
  orderId: 'ord_5m3xk2qj7w4tzc6ya2fhbnd3eo',
  sku: 'TEA-EARL-GREY',
  name: 'outbound',
  state: 'fulfilled',
  limit: 50,
  since: '1795000000000',
};
const MEMBER = 'n4';
const AFTER: Readonly<Record<string, string>> = {
  '/orders': '001795000000000!ord_5m3xk2qj7w4tzc6ya2fhbnd3eo',
  '/stock': 'TEA-EARL-GREY',
  '/reconcilers/parked': '9005404254740991!ord_5m3xk2qj7w4tzc6ya2fhbnd3eo',
};

interface Operation {
  readonly parameters?: readonly { readonly name: string; example?: unknown }[];
  readonly requestBody?: {
    readonly content: Readonly<
      Record<string, { readonly schema: { readonly $ref?: string }; example?: unknown }>
    >;
  };
}

/** Of the document's `paths`. What has no example yet gets the one that belongs to it, if there is one. */
export function addRequestExamples(paths: Readonly<Record<string, object | undefined>>): void {
  for (const [path, operations] of Object.entries(paths))
    for (const operation of Object.values(operations ?? {}) as readonly Operation[]) {
      for (const parameter of operation.parameters ?? [])
        parameter.example ??= parameterExample(path, parameter.name);
      for (const media of Object.values(operation.requestBody?.content ?? {}))
        media.example ??= bodyExample(media.schema.$ref);
    }
}

function parameterExample(path: string, name: string): unknown {
  if (name === 'id' && path.startsWith('/cluster/')) return MEMBER;
  return name === 'after' ? AFTER[path] : PARAMETERS[name];
}

function bodyExample(reference: string | undefined): unknown {
  const examples: Readonly<Record<string, object>> = EXAMPLES;
  return examples[reference?.split('/').at(-1) ?? ''];
}
