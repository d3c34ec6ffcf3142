import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { httpFixture, VALID } from './fixture.ts';

/** Bad input ends in a 4xx with a code and the field, and never reaches the order service. */

const line = (over: object) => ({ ...VALID, lines: [{ ...VALID.lines[0], ...over }] });
const returning = (returnUrl: string) => ({ ...VALID, payment: { ...VALID.payment, returnUrl } });
const without = (name: keyof typeof VALID) =>
  Object.fromEntries(Object.entries(VALID).filter(([key]) => key !== name));

const fixture = httpFixture();
beforeEach(() => void (fixture.orders.placed.length = 0));

async function refused(payload: unknown, headers: Record<string, string> = {}) {
  const response = await fixture.send({
    method: 'POST',
    url: '/orders',
    headers: { 'content-type': 'application/json', ...headers },
    payload: typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload),
  });
  expect(fixture.orders.placed).toEqual([]);
  return { status: response.statusCode, ...response.json<{ code: string; field?: string }>() };
}

describe('bodies of another shape', () => {
  const cases: readonly (readonly [name: string, body: unknown, field: string])[] = [
    ['quantity zero', line({ quantity: 0 }), 'lines[0].quantity'],
    ['a negative quantity', line({ quantity: -1 }), 'lines[0].quantity'],
    ['a fractional quantity', line({ quantity: 1.5 }), 'lines[0].quantity'],
    ['a huge quantity', line({ quantity: 10_001 }), 'lines[0].quantity'],
    ['a quantity beyond integers', line({ quantity: 1e300 }), 'lines[0].quantity'],
    ['a quantity as text', line({ quantity: '2' }), 'lines[0].quantity'],
    ['a quantity of null', line({ quantity: null }), 'lines[0].quantity'],
    ['no quantity', { ...VALID, lines: [{ sku: 'TEA' }] }, 'lines[0].quantity'],
    ['no lines', { ...VALID, lines: [] }, 'lines'],
    ['1,000 lines', { ...VALID, lines: Array<object>(1_000).fill({ sku: 'TEA', quantity: 1 }) }, 'lines'],
    ['101 lines', { ...VALID, lines: Array<object>(101).fill({ sku: 'TEA', quantity: 1 }) }, 'lines'],
    ['lines as an object', { ...VALID, lines: { 0: VALID.lines[0] } }, 'lines'],
    ['a line of null', { ...VALID, lines: [VALID.lines[0], null] }, 'lines[1]'],
    ['an empty sku', line({ sku: '' }), 'lines[0].sku'],
    ['a long sku', line({ sku: 'x'.repeat(65) }), 'lines[0].sku'],
    ['a sku with a path in it', line({ sku: '../etc' }), 'lines[0].sku'],
    ['a sku with NUL', line({ sku: 'TEA\0' }), 'lines[0].sku'],
    ['an unknown member of a line', line({ price: 1 }), 'lines[0].price'],
    ['an unknown member', { ...VALID, total: 1 }, 'total'],
    ['an unknown member with a strange name', { ...VALID, 'a b': 1 }, '["a b"]'],
    ['no customer', without('customer'), 'customer'],
    ['no currency', without('currency'), 'currency'],
    ['no payment', without('payment'), 'payment'],
    ['customer as text', { ...VALID, customer: 'ada' }, 'customer'],
    ['an empty customer id', { ...VALID, customer: { id: '', email: 'a@b.c' } }, 'customer.id'],
    ['no email', { ...VALID, customer: { id: 'c' } }, 'customer.email'],
    ['an email without @', { ...VALID, customer: { id: 'c', email: 'ada' } }, 'customer.email'],
    ['two emails', { ...VALID, customer: { id: 'c', email: 'a@b.c, d@e.f' } }, 'customer.email'],
    ['a long email', { ...VALID, customer: { id: 'c', email: `a@${'b'.repeat(260)}.c` } }, 'customer.email'],
    [
      'a name with an escape sequence',
      { ...VALID, customer: { ...VALID.customer, name: '\u001b[2J' } },
      'customer.name',
    ],
    ['half a character', { ...VALID, customer: { ...VALID.customer, name: '\ud83e' } }, 'customer.name'],
    [
      'a long address',
      { ...VALID, customer: { ...VALID.customer, address: 'x'.repeat(1_001) } },
      'customer.address',
    ],
    ['a lower-case currency', { ...VALID, currency: 'eur' }, 'currency'],
    ['a currency with a line break', { ...VALID, currency: 'EUR\n' }, 'currency'],
    ['a long payment method', { ...VALID, payment: { method: 'x'.repeat(129) } }, 'payment.method'],
    ['a card number with blanks', { ...VALID, payment: { method: '4242 4242' } }, 'payment.method'],
    ['a page in the clear', returning('http://shop.example/thanks'), 'payment.returnUrl'],
    ['a page that is a script', returning('javascript:alert(1)'), 'payment.returnUrl'],
    ['a page with blanks', returning('https://shop.example/a b'), 'payment.returnUrl'],
    ['a page that only looks local', returning('http://localhost.example/x'), 'payment.returnUrl'],
  ];
  it.each([
    'https://shop.example/thanks?order=1#top',
    'http://localhost:3000/thanks',
    'http://127.0.0.1:8080',
    'http://[::1]/x',
  ])('a page to come back to may be %s', async (returnUrl) => {
    const payload = returning(returnUrl);
    const response = await httpFixture().send({ method: 'POST', url: '/orders', payload });
    expect(response.statusCode).toBe(201);
  });

  it.each(cases)('%s is refused, naming the field', async (_name, body, field) => {
    expect(await refused(body)).toMatchObject({ status: 400, code: 'INVALID_REQUEST', field });
  });

  it.each([[[]], [null], ['"text"'], ['17'], [[VALID]]])('%j as the body is refused', async (body) => {
    expect(await refused(body)).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
  });
});

describe('bodies that are not JSON', () => {
  it.each([
    ['half an object', '{"customer": '],
    ['a trailing comma', '{"a": 1,}'],
    ['NaN', '{"a": NaN}'],
    ['two values', '{} {}'],
    [
      'invalid UTF-8',
      Buffer.concat([Buffer.from('{"customer":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
    ],
    ['UTF-16', Buffer.from(JSON.stringify(VALID), 'utf16le')],
    ['deep nesting without an end', '['.repeat(200_000)],
    ['a key __proto__', '{"__proto__": {"polluted": true}}'],
    ['a deep key __proto__', `{"lines": [{"__proto__": {"quantity": 1}}]}`],
    ['a key constructor.prototype', '{"constructor": {"prototype": {"polluted": true}}}'],
  ])('%s is refused', async (_name, body) => {
    expect(await refused(body)).toMatchObject({ status: 400, code: 'MALFORMED_JSON' });
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('no body at all is refused', async () => {
    expect(await refused('')).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
  });

  it('deep nesting that is JSON is refused as any other unknown member', async () => {
    const body = `{"customer": ${'['.repeat(50_000)}${']'.repeat(50_000)}}`;
    expect(await refused(body)).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
  });

  it('a body of 10 MB is refused, announced or not', async () => {
    const body = Buffer.alloc(10_000_000, ' ');
    expect(await refused(body)).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' });
  });

  it.each(['text/plain', 'application/xml', 'application/x-www-form-urlencoded', 'nonsense', 'text/json'])(
    'Content-Type %s is refused',
    async (type) => {
      const answer = await refused(VALID, { 'content-type': type });
      expect(answer).toMatchObject({ status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' });
    },
  );
});

describe('header fields and paths', () => {
  it.each(['', ' ', 'two words', 'x'.repeat(256), 'tab\there', 'k1, k2', 'é'])(
    'Idempotency-Key %j is refused',
    async (key) => {
      const answer = await refused(VALID, { 'idempotency-key': key });
      expect(answer).toMatchObject({
        status: 400,
        code: 'INVALID_IDEMPOTENCY_KEY',
        field: 'Idempotency-Key',
      });
    },
  );

  it.each(['k', 'x'.repeat(255), '"8e03978e-40d5-43dd"', '!~'])(
    'Idempotency-Key %s is taken',
    async (key) => {
      const headers = { 'idempotency-key': key };
      await fixture.send({ method: 'POST', url: '/orders', headers, payload: VALID });
      expect(fixture.orders.placed[0]?.idempotencyKey).toBe(key);
    },
  );

  it.each([
    ['/orders/%zz', 400],
    ['/orders/%00', 400],
    [`/orders/${'x'.repeat(65)}`, 400],
    [`/orders/${'x'.repeat(101)}`, 414],
    ['/orders/..%2f..%2fetc%2fpasswd', 400],
    ['/stock/%F0%9F%A6%8A', 400],
    ['/stock/__proto__', 400],
    ['/stock/constructor', 404],
    ['/nothing', 404],
    ['//', 404],
  ])('GET %s is answered %i', async (url, status) => {
    const response = await fixture.send({ url });
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toMatch('application/problem+json');
    expect(response.headers['traceparent']).toMatch(/^00-/);
  });

  it.each([
    ['DELETE', '/orders', 'GET, HEAD, POST'],
    ['PUT', '/orders/ord_1', 'GET, HEAD'],
    ['GET', '/orders/ord_1/cancel', 'POST'],
    ['HEAD', '/webhooks/stripe', 'POST'],
    ['PATCH', '/stock/TEA', 'GET, HEAD'],
    ['POST', '/healthz', 'GET, HEAD'],
    ['OPTIONS', '/', 'GET, HEAD'],
  ] as const)('%s %s is answered 405 with Allow: %s', async (method, url, allow) => {
    const response = await fixture.send({ method, url });
    expect([response.statusCode, response.headers['allow']]).toEqual([405, allow]);
  });

  it('a body sent to nowhere is not read', async () => {
    const response = await fixture.send({
      method: 'POST',
      url: '/nothing',
      headers: { 'content-type': 'application/json' },
      payload: '{"half": ',
    });
    expect(response.statusCode).toBe(404);
  });
});

describe('any JSON at all', () => {
  const member = fc.oneof(
    fc.constantFrom(
      ...Object.keys(VALID),
      'id',
      'email',
      'sku',
      'quantity',
      'method',
      '__proto__',
      'constructor',
    ),
    fc.string(),
  );
  const scalar = fc.oneof(
    fc.constantFrom<unknown>('TEA', 'EUR', 'a@b.c', 'pm_x', 1, 10_000, 10_001, 0, -0, 1e21, '', null, true),
    fc.string({ unit: 'binary' }),
    fc.double({ noDefaultInfinity: true, noNaN: true }),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      scalar,
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(member, tie('tree'), { maxKeys: 5 }),
    ),
  }));
  const mostly = (valid: fc.Arbitrary<unknown>) =>
    fc.oneof({ weight: 9, arbitrary: valid }, { weight: 1, arbitrary: tree });
  /** A valid order in which some members are something else. */
  const nearly = fc
    .record({
      customer: fc.record({
        id: mostly(fc.constant('c')),
        email: mostly(fc.constant('a@b.c')),
      }),
      currency: mostly(fc.constant('EUR')),
      lines: fc.array(
        fc.record({
          sku: mostly(fc.constant('TEA')),
          quantity: mostly(fc.integer({ min: 1, max: 10_000 })),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      payment: fc.record({ method: mostly(fc.constant('pm_x')) }),
    })
    .map((order): unknown => order);

  it('is refused with 4xx, or reaches the service in the form that was promised to it', async () => {
    const reached = { valid: 0 };
    await fc.assert(
      fc.asyncProperty(fc.oneof(tree, nearly), async (body) => {
        fixture.orders.placed.length = 0;
        const response = await fixture.send({
          method: 'POST',
          url: '/orders',
          headers: { 'content-type': 'application/json' },
          payload: JSON.stringify(body),
        });
        const [order] = fixture.orders.placed;
        if (order === undefined) {
          expect(response.statusCode).toBeGreaterThanOrEqual(400);
          expect(response.statusCode).toBeLessThan(500);
          return;
        }
        reached.valid += 1;
        expect(response.statusCode).toBe(201);
        expect(Object.keys(order).toSorted()).toEqual(
          [...Object.keys(VALID), 'traceparent', 'waitMs'].toSorted(),
        );
        expect(order.currency).toMatch(/^[A-Z]{3}$/);
        expect(order.customer.email).toMatch(/^[^@\s]+@[^@\s]+$/);
        expect(order.lines.length).toBeGreaterThan(0);
        for (const { sku, quantity } of order.lines) {
          expect(sku).toMatch(/^[\w.:-]{1,64}$/);
          expect(Number.isInteger(quantity) && quantity >= 1 && quantity <= 10_000).toBe(true);
        }
        for (const text of [order.customer.id, order.payment.method]) {
          expect(text.isWellFormed() && text.length > 0 && !text.includes('\0')).toBe(true);
        }
      }),
      { seed: 41, numRuns: 1_500 },
    );
    // The property is worth something only when both ends of it were met.
    expect(reached.valid).toBeGreaterThan(20);
  });
});
