import * as z from 'zod';

/**
 * A provider's bad days, as data: which faults may strike which requests, how likely, and when. A plan is a JSON
 * document, `{"seed": 1, "rules": [{"fault": "dropReply", "route": "create", "probability": 0.1}]}`. What a fault
 * does to a request is said here, and done where the request is: at the desk, in the bank, on the way out.
 */
export const routes = [
  'create',
  'confirm',
  'capture',
  'cancel',
  'refund',
  'retrieve',
  'search',
  'list',
  'webhook',
] as const;

/** What a request asks for; `webhook` is an event on its way to the shop. */
export type Route = (typeof routes)[number];

const anyRequest: readonly Route[] = routes.filter((route) => route !== 'webhook');
const anyChange: readonly Route[] = ['create', 'confirm', 'capture', 'cancel', 'refund'];
const charging: readonly Route[] = ['create', 'confirm'];

/** Where each fault can strike; a rule that names no route means all of these. */
export const routesOf = {
  /** The connection is closed; nothing was done. */
  dropRequest: anyRequest,
  /** 429, ahead of the idempotency layer; nothing was done. */
  rateLimit: anyRequest,
  /** 5xx of something in front of Stripe; nothing was done, no key remembers it. */
  serverErrorOnce: anyRequest,
  /** 500 that the key remembers and repeats, whether what was asked for was done or not. */
  serverError: anyChange,
  /** Done, and answered late. */
  lateReply: anyRequest,
  /** Done, and the connection is closed without an answer. */
  dropReply: anyRequest,
  /** The key is forgotten once it is this old: what it was used for is done anew. */
  forgetKeys: anyChange,
  /** The bank wants the customer to authenticate. */
  requiresAction: charging,
  /** Neither paid nor declined, until it settles by itself. */
  processing: charging,
  /** The authorization ends by itself, earlier than after seven days. */
  authorizationExpires: charging,
  /** When it is to be captured, the authorization has ended. */
  captureFails: ['capture'],
  refundPending: ['refund'],
  /** At once, or after it seemed to have succeeded. */
  refundFails: ['refund'],
  /** A search does not find what is younger than this. */
  searchLags: ['search'],

  /** An event is sent more than once. */
  duplicated: ['webhook'],
  /** An event is sent after the next one about the same payment. */
  reordered: ['webhook'],
  late: ['webhook'],
  /** The first attempt to deliver carries a signature that does not hold; the next one a good one. */
  badlySigned: ['webhook'],
  /** Beside an event, one from long ago is sent again, signed anew. */
  replayed: ['webhook'],
  /** The event is never sent. */
  dropped: ['webhook'],
} as const satisfies Readonly<Record<string, readonly Route[]>>;

export type FaultName = keyof typeof routesOf;

const dayMs = 86_400_000;
const milliseconds = z
  .int()
  .min(0)
  .max(30 * dayMs);
const settled = z.enum(['succeeded', 'failed']);

const when = {
  /** One, several, or every one where the fault can strike. */
  route: z.union([z.enum(routes), z.array(z.enum(routes)).min(1)]).optional(),
  probability: z.number().min(0).max(1),
  /** Lets this many pass first. */
  skip: z.int().min(0).optional(),
  /** Strikes at most this often. */
  times: z.int().min(1).optional(),
  /** Since the plan was put in force. */
  fromMs: milliseconds.optional(),
  untilMs: milliseconds.optional(),
};

const rule = z.discriminatedUnion('fault', [
  z.strictObject({ ...when, fault: z.literal('dropRequest') }),
  z.strictObject({
    ...when,
    fault: z.literal('rateLimit'),
    /** Without it, the answer does not say when to come back. */
    retryAfterSeconds: z.int().min(0).max(3_600).optional(),
  }),
  z.strictObject({
    ...when,
    fault: z.literal('serverErrorOnce'),
    status: z.literal([500, 502, 503, 504]).default(503),
  }),
  z.strictObject({ ...when, fault: z.literal('serverError'), done: z.boolean().default(true) }),
  z.strictObject({ ...when, fault: z.literal('lateReply'), delayMs: milliseconds }),
  z.strictObject({ ...when, fault: z.literal('dropReply') }),
  z.strictObject({ ...when, fault: z.literal('forgetKeys'), keyWindowMs: milliseconds.default(dayMs) }),
  z.strictObject({ ...when, fault: z.literal('requiresAction') }),
  z.strictObject({
    ...when,
    fault: z.literal('processing'),
    settlesAfterMs: milliseconds,
    to: settled.default('succeeded'),
  }),
  z.strictObject({ ...when, fault: z.literal('authorizationExpires'), afterMs: milliseconds }),
  z.strictObject({ ...when, fault: z.literal('captureFails') }),
  z.strictObject({
    ...when,
    fault: z.literal('refundPending'),
    settlesAfterMs: milliseconds,
    then: settled.default('succeeded'),
  }),
  z.strictObject({ ...when, fault: z.literal('refundFails'), afterMs: milliseconds.default(0) }),
  z.strictObject({ ...when, fault: z.literal('searchLags'), lagMs: milliseconds }),
  z.strictObject({
    ...when,
    fault: z.literal('duplicated'),
    copies: z.int().min(1).max(10).default(1),
    afterMs: milliseconds.default(0),
  }),
  z.strictObject({ ...when, fault: z.literal('reordered'), withinMs: milliseconds }),
  z.strictObject({ ...when, fault: z.literal('late'), delayMs: milliseconds }),
  z.strictObject({
    ...when,
    fault: z.literal('badlySigned'),
    how: z.enum(['otherSecret', 'staleTime', 'alteredBody']).default('otherSecret'),
  }),
  z.strictObject({ ...when, fault: z.literal('replayed') }),
  z.strictObject({ ...when, fault: z.literal('dropped') }),
]);

export const faultPlan = z.strictObject({
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  rules: z
    .array(
      rule.superRefine(({ fault, route, fromMs = 0, untilMs = Infinity }, context) => {
        const possible: readonly Route[] = routesOf[fault];
        const impossible = [route ?? []].flat().filter((one) => !possible.includes(one));
        if (impossible.length > 0) {
          const message = `${fault} cannot strike ${impossible.join(', ')}, only ${possible.join(', ')}`;
          context.addIssue({ code: 'custom', path: ['route'], message });
        }
        if (untilMs <= fromMs) {
          context.addIssue({ code: 'custom', path: ['untilMs'], message: 'must be later than fromMs' });
        }
      }),
    )
    .max(200),
});

export type Rule = z.infer<typeof rule>;
export type RuleOf<Name extends FaultName> = Extract<Rule, { fault: Name }>;
export type FaultPlan = z.infer<typeof faultPlan>;

/** A plan that cannot be meant; the message names every mistake and where it is. */
export class FaultPlanError extends Error {
  override readonly name = 'FaultPlanError';
  readonly code = 'FAULT_PLAN_INVALID';
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(`the fault plan is wrong:\n${mistakes.map((mistake) => `  ${mistake}`).join('\n')}`);
    this.mistakes = mistakes;
  }
}

/** Takes the plan as it was parsed from JSON. Throws FaultPlanError. */
export function parseFaultPlan(value: unknown): FaultPlan {
  const parsed = faultPlan.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new FaultPlanError(
    parsed.error.issues.map(({ path, message }) => {
      const where = path
        .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
        .join('');
      return `${where === '' ? 'plan' : where.replace(/^\./, '')}: ${message}`;
    }),
  );
}

export const noFaults: FaultPlan = { seed: 0, rules: [] };
