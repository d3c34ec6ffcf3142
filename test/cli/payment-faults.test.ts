import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readAction } from '../../node/cli/dev/actions.ts';
import { changePayments, planAskedFor } from '../../node/cli/dev/payment-faults.ts';
import { hostilePlan } from '../../node/payments/sandbox/hostile-plan.ts';
import { startSandbox } from '../../node/payments/sandbox/index.ts';

function typed(words: string) {
  return planAskedFor(readAction(['payments', ...words.split(' ')]));
}

function fileWith(content: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'freehold-faults-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'faults.json');
  writeFileSync(file, content);
  return file;
}

it('becomes the plan that was meant', () => {
  expect(typed('show')).toBeUndefined();
  expect(typed('calm')).toEqual({ seed: 0, rules: [] });
  expect(typed('hostile')).toEqual(hostilePlan(1));
  expect(typed('hostile --seed 7')).toEqual(hostilePlan(7));
  const plan = { seed: 3, rules: [{ fault: 'dropReply', route: 'create', probability: 0.5 }] };
  expect(typed(`faults ${fileWith(JSON.stringify(plan))}`)).toEqual(plan);
});

it('refuses what cannot be meant, and says what is wrong and where', () => {
  expect(() => typed('hostle')).toThrow('hostle is not one of show, faults FILE, hostile, calm');
  expect(() => typed('faults')).toThrow('FILE is missing');
  expect(() => typed('calm down')).toThrow('unexpected argument down');
  expect(() => typed('hostile --seed x')).toThrow('--seed must be a whole number, not x');
  expect(() => typed('faults /nowhere.json')).toThrow('/nowhere.json: ENOENT');
  const file = fileWith(
    '{"seed": 1, "rules": [{"fault": "captureFails", "route": "create", "probability": 1}]}',
  );
  expect(() => typed(`faults ${file}`)).toThrow(
    `${file}:\n  rules[0].route: captureFails cannot strike create, only capture`,
  );
});

it('changes a running sandbox, and prints what struck', async () => {
  const sandbox = await startSandbox({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => sandbox.close());
  const { url } = sandbox;
  expect(await changePayments(url, undefined)).toBe('the payment provider is well: no faults');
  const answer = await changePayments(url, {
    seed: 4,
    rules: [
      { fault: 'rateLimit', probability: 1, times: 1 },
      { fault: 'dropped', probability: 1 },
    ],
  });
  expect(answer).toBe('2 rules, seed 4\nrateLimit             -\ndropped               -');
  expect((await fetch(`${url}/v1/refunds`)).status).toBe(429);
  expect((await fetch(`${url}/v1/refunds`)).status).toBe(401);
  expect(await changePayments(url, { seed: 0, rules: [] })).toBe(
    'the payment provider is well: no faults\nasked                 list 2\nrateLimit             list 1',
  );
});

it('says when the sandbox is not there', async () => {
  await expect(changePayments('http://127.0.0.1:9', undefined)).rejects.toThrow('does not answer');
});
