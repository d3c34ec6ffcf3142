import { describe, expect, it } from 'vitest';
import type { ApiDocument, Media } from './document.ts';
import { validatorOf } from './document.ts';
import { httpFixture } from './fixture.ts';

async function documentOf() {
  const response = await httpFixture().send({ url: '/openapi.json' });
  return response.json<ApiDocument>();
}

function operationsOf(document: ApiDocument) {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, operation })),
  );
}

const examplesOf = (media: Media) =>
  media.examples === undefined ? [media.example] : Object.values(media.examples).map(({ value }) => value);

describe('the OpenAPI document', () => {
  it('is OpenAPI 3.1 and covers the interface', async () => {
    const document = await documentOf();
    expect(document.openapi).toBe('3.1.0');
    expect(operationsOf(document).map(({ name }) => name)).toEqual([
      'post /orders',
      'get /orders',
      'get /orders/{id}',
      'get /orders/{id}/events',
      'post /orders/{id}/cancel',
      'get /stock',
      'get /stock/{sku}',
      'post /stock/{sku}/adjustments',
      'get /reconcilers',
      'post /reconcilers/{name}/run',
      'post /webhooks/stripe',
      'get /cluster/members',
      'post /cluster/members',
      'post /cluster/members/{id}/promote',
      'put /cluster/members/{id}/address',
      'delete /cluster/members/{id}',
      'get /cluster',
      'get /healthz',
      'get /readyz',
      'get /metrics',
    ]);
  });

  it('refers only to schemas that it contains', async () => {
    const document = await documentOf();
    const references = JSON.stringify(document).match(/"\$ref":"[^"]*"/g) ?? [];
    expect(references.length).toBeGreaterThan(20);
    for (const reference of references) {
      const name = /^"\$ref":"#\/components\/schemas\/(\w+)"$/.exec(reference)?.[1] ?? reference;
      expect(document.components.schemas).toHaveProperty(name);
    }
  });

  it('names every operation once, and describes every status with a schema and an example that fits it', async () => {
    const document = await documentOf();
    const validate = await validatorOf(document);
    const operations = operationsOf(document);
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
    for (const { name, operation } of operations) {
      expect(operation.summary, name).toBeTruthy();
      expect(Object.keys(operation.responses), name).toContain('500');
      const bodies = Object.entries(operation.responses).flatMap(([status, response]) => {
        expect(response.description, `${name} ${status}`).not.toBe('Default Response');
        expect(Object.keys(response.content ?? {}), `${name} ${status}`).toHaveLength(1);
        return Object.values(response.content ?? {});
      });
      for (const media of bodies) {
        for (const example of examplesOf(media)) {
          expect(example, name).toBeDefined();
          validate(media.schema, example);
        }
      }
    }
  });

  it('gives an example that fits for what is sent', async () => {
    const document = await documentOf();
    const validate = await validatorOf(document);
    const { schemas } = document.components;
    expect(schemas['PlaceOrder']?.examples).toHaveLength(1);
    validate({ $ref: '#/components/schemas/PlaceOrder' }, schemas['PlaceOrder']?.examples?.[0]);
  });

  it('says when to come back wherever it says 503 to a client', async () => {
    for (const { name, operation } of operationsOf(await documentOf())) {
      const response = operation.responses['503'];
      if (response?.content?.['application/problem+json'] === undefined) continue;
      expect(Object.keys(response.headers ?? {}), name).toContain('Retry-After');
    }
  });

  it('is shown by the UI at /docs', async () => {
    const response = await httpFixture().send({ url: '/docs' });
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toMatch('text/html');
  });
});
