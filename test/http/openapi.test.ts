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
      'get /reconcilers/parked',
      'post /reconcilers/parked/{orderId}/retry',
      'post /reconcilers/parked/{orderId}/discard',
      'get /reconcilers/report',
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

  it('gives an example that fits for all that is sent: path, query, headers and body', async () => {
    const document = await documentOf();
    const validate = await validatorOf(document);
    for (const { name, operation } of operationsOf(document)) {
      for (const parameter of operation.parameters ?? []) {
        expect(parameter.example, `${name} ${parameter.name}`).toBeDefined();
        validate(parameter.schema, parameter.example);
      }
      for (const media of Object.values(operation.requestBody?.content ?? {})) {
        expect(media.example, `${name} body`).toBeDefined();
        validate(media.schema, media.example);
      }
    }
  });

  it('shows requests that are answered as it says', async () => {
    const fixture = httpFixture();
    for (const { name, operation } of operationsOf(await documentOf())) {
      const [method = '', path = ''] = name.split(' ');
      let url = path;
      const query = new URLSearchParams();
      const headers: Record<string, string> = {};
      for (const { in: place, name: parameter, example } of operation.parameters ?? []) {
        if (place === 'path') url = url.replace(`{${parameter}}`, String(example));
        else if (place === 'query') query.set(parameter, String(example));
        else headers[parameter] = String(example);
      }
      const [media] = Object.values(operation.requestBody?.content ?? {});
      const response = await fixture.send({
        method: method.toUpperCase(),
        url: query.size === 0 ? url : `${url}?${query.toString()}`,
        headers,
        ...(media === undefined ? {} : { payload: media.example as object }),
      });
      // What it names may not be there; that it is understood shows in that nothing about it is refused.
      if (name !== 'post /webhooks/stripe') expect(response.statusCode, name).not.toBe(400);
    }
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
