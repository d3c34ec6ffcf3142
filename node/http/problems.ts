import type { Refusal } from '../ports/order-service.ts';

/**
 * The one table of errors: every code a client can meet, with its status and title. Problem documents follow
 * RFC 9457; clients decide by `code`, people read `title` and `detail`.
 */

interface Row {
  readonly status: number;
  readonly title: string;
}

/** Codes that this interface finds by itself, before or beside the order service. */
type InterfaceCode =
  | 'INVALID_REQUEST'
  | 'MALFORMED_JSON'
  | 'MALFORMED_REQUEST'
  | 'INVALID_IDEMPOTENCY_KEY'
  | 'INVALID_SIGNATURE'
  | 'NOT_FOUND'
  | 'SKU_NOT_FOUND'
  | 'RECONCILER_NOT_FOUND'
  | 'NOT_PARKED'
  | 'REPORT_UNDER_WAY'
  | 'BOOK_UNAVAILABLE'
  | 'METHOD_NOT_ALLOWED'
  | 'REQUEST_TIMEOUT'
  | 'NOT_LEADER'
  | 'UNKNOWN_MEMBER'
  | 'ALREADY_MEMBER'
  | 'INVALID_MEMBER'
  | 'LAST_VOTER'
  | 'CHANGE_UNDER_WAY'
  | 'CHANGE_UNDECIDED'
  | 'NOT_CAUGHT_UP'
  | 'JOURNAL_BEHIND'
  | 'QUORUM_AT_RISK'
  | 'BODY_TOO_LARGE'
  | 'URI_TOO_LONG'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'HEADERS_TOO_LARGE'
  | 'RATE_LIMITED'
  | 'REQUEST_REFUSED'
  | 'ON_HAND_SHORT'
  | 'ADJUSTMENT_REFUSED'
  | 'NOT_SUPPORTED'
  | 'SYSTEM_OF_RECORD_UNAVAILABLE'
  | 'INTERNAL_ERROR';

export type ProblemCode = Refusal['code'] | InterfaceCode;

export const PROBLEMS: Readonly<Record<ProblemCode, Row>> = {
  INVALID_REQUEST: { status: 400, title: 'A part of the request is not valid' },
  MALFORMED_JSON: { status: 400, title: 'The body is not JSON' },
  MALFORMED_REQUEST: { status: 400, title: 'The request is not well-formed HTTP' },
  INVALID_IDEMPOTENCY_KEY: { status: 400, title: 'The Idempotency-Key is not valid' },
  /** Stands for what the framework refuses and has no row of its own: the status is the framework's. */
  REQUEST_REFUSED: { status: 400, title: 'The request cannot be answered as it was sent' },
  INVALID_SIGNATURE: { status: 400, title: 'The signature does not fit the body' },
  NOT_FOUND: { status: 404, title: 'There is nothing at this path' },
  ORDER_NOT_FOUND: { status: 404, title: 'No such order is known here' },
  ORDER_NOT_KEPT: { status: 404, title: 'No such order is kept here; an old one is in the system of record' },
  SKU_NOT_FOUND: { status: 404, title: 'No such SKU is known here' },
  NOT_PARKED: { status: 404, title: 'The system of record refuses no outcome of this order, as known here' },
  RECONCILER_NOT_FOUND: { status: 404, title: 'There is no reconciler of this name' },
  UNKNOWN_MEMBER: { status: 404, title: 'There is no member of this name' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'This path does not answer that method' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request took too long to arrive' },
  NOT_CANCELLABLE: { status: 409, title: 'The order can no longer be cancelled' },
  NOT_LEADER: { status: 409, title: 'Only the ledger leader does this' },
  REPORT_UNDER_WAY: { status: 409, title: 'Another report is being made on this node' },
  ALREADY_MEMBER: { status: 409, title: 'There is a member with this name, peer id or address' },
  LAST_VOTER: { status: 409, title: 'The last voter of a zone cannot go' },
  CHANGE_UNDER_WAY: { status: 409, title: 'Another change of members is not finished' },
  NOT_CAUGHT_UP: { status: 409, title: 'The member lacks too much of the ledger to vote' },
  JOURNAL_BEHIND: { status: 409, title: 'A member lacks what the journals of the others hold' },
  QUORUM_AT_RISK: { status: 409, title: 'Too few of the voters that would be left can be reached' },
  BODY_TOO_LARGE: { status: 413, title: 'The body is too large' },
  URI_TOO_LONG: { status: 414, title: 'The path is too long' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The body must be application/json' },
  ON_HAND_SHORT: { status: 422, title: 'Fewer units are on hand than that' },
  ADJUSTMENT_REFUSED: { status: 422, title: 'The system of record refuses this adjustment' },
  INVALID_MEMBER: { status: 422, title: 'No member can be like this' },
  UNKNOWN_SKU: { status: 422, title: 'The shop does not know this SKU' },
  WRONG_CURRENCY: { status: 422, title: 'The SKU is not sold in this currency' },
  INVALID_ORDER: { status: 422, title: 'The order cannot be accepted' },
  TOTAL_TOO_SMALL: { status: 422, title: 'The order costs nothing, and no payment of 0 can be made' },
  /** Stands for whatever a function refuses: its own status and code go into the document. */
  REFUSED_BY_FUNCTION: { status: 422, title: 'The shop refuses this order' },
  IDEMPOTENCY_KEY_REUSED: { status: 422, title: 'This Idempotency-Key belongs to another request' },
  RATE_LIMITED: { status: 429, title: 'The client sends more requests than it may' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The header fields are too large' },
  INTERNAL_ERROR: { status: 500, title: 'Something failed on this node' },
  NOT_SUPPORTED: { status: 501, title: 'This system of record does not offer that' },
  DEADLINE_EXCEEDED: { status: 503, title: 'The time for the request was over before it was done' },
  QUORUM_UNAVAILABLE: { status: 503, title: 'No majority of nodes can be reached' },
  OVERLOADED: { status: 503, title: 'The node has as much work as it takes' },
  PAYMENTS_UNAVAILABLE: { status: 503, title: 'The payment provider does not answer' },
  CLOCK_BEHIND: { status: 503, title: 'The clock of the node is wrong' },
  DISK_FULL: { status: 503, title: 'The node has too little room on its disk' },
  NOT_A_MEMBER: { status: 503, title: 'The node is no member of its cluster' },
  CHANGE_UNDECIDED: { status: 503, title: 'The change was not decided in time, and may take effect yet' },
  DRAINING: { status: 503, title: 'The node is about to stop' },
  LEDGER_UNAVAILABLE: { status: 503, title: 'The ledger cannot decide now' },
  CATALOG_UNAVAILABLE: { status: 503, title: 'The catalogue has not been read yet' },
  FUNCTION_FAILED: { status: 503, title: 'The function for this request failed' },
  BOOK_UNAVAILABLE: { status: 503, title: 'One of the books to compare cannot be read' },
  SYSTEM_OF_RECORD_UNAVAILABLE: { status: 503, title: 'The system of record cannot be reached' },
};

/** What a problem document may say beyond the standard members. */
interface Extensions {
  /** JSON path into the body, such as `lines[0].quantity`, or the name of a parameter or header. */
  readonly field?: string;
  /** The state the order is in. */
  readonly state?: string;
  /** The node that leads the ledger. */
  readonly leader?: string;
  /** The node that stands in the way. */
  readonly member?: string;
  /** Finds the request in this node's log. */
  readonly traceId?: string;
}

/** What is sent as `application/problem+json`. */
export interface ProblemDocument extends Extensions {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  /** The path that was asked for. */
  readonly instance: string;
}

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** Thrown by a route, caught by the one error handler. Nothing in it may be secret: the client reads it all. */
export class Problem extends Error {
  /** Which row of the table it is; `code` is the same unless a function gave its own. */
  readonly row: ProblemCode;
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly extensions: Extensions;
  /** Header fields that belong to the answer, such as `retry-after`. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ProblemCode,
    detail: string,
    more: Extensions & {
      readonly headers?: Readonly<Record<string, string>>;
      /** A function's own code and status, in place of the table's. */
      readonly refusal?: { readonly code: string; readonly status: number };
    } = {},
  ) {
    super(detail);
    this.name = 'Problem';
    const { headers, refusal, ...extensions } = more;
    this.row = code;
    this.code = refusal?.code ?? code;
    this.status = refusal?.status ?? PROBLEMS[code].status;
    this.title = PROBLEMS[code].title;
    this.extensions = extensions;
    this.headers = headers ?? {};
  }

  document(instance: string): ProblemDocument {
    return {
      type: problemType(this.code),
      title: this.title,
      status: this.status,
      detail: this.message,
      code: this.code,
      instance,
      ...this.extensions,
    };
  }
}

export function problemType(code: string): string {
  return `urn:freehold:problem:${code}`;
}

/** Seconds as a `Retry-After` header: whole, and at least one, or clients would come back at once. */
export function retryAfter(seconds: number): { readonly 'retry-after': string } {
  return { 'retry-after': String(Math.max(1, Math.ceil(seconds))) };
}

/** What the order service refused, as the client is told. */
export function problemOf(refusal: Refusal): Problem {
  const { code, detail } = refusal;
  switch (code) {
    case 'UNKNOWN_SKU':
    case 'WRONG_CURRENCY':
    case 'INVALID_ORDER':
    case 'TOTAL_TOO_SMALL':
      return new Problem(code, detail, fieldOf(refusal.field));
    case 'REFUSED_BY_FUNCTION':
      return new Problem(code, detail, {
        ...fieldOf(refusal.field),
        refusal: { code: refusal.functionCode, status: refusal.status },
      });
    case 'DEADLINE_EXCEEDED':
    case 'QUORUM_UNAVAILABLE':
    case 'DISK_FULL':
    case 'CLOCK_BEHIND':
    case 'OVERLOADED':
    case 'PAYMENTS_UNAVAILABLE':
    case 'DRAINING':
    case 'NOT_A_MEMBER':
    case 'LEDGER_UNAVAILABLE':
    case 'CATALOG_UNAVAILABLE':
    case 'FUNCTION_FAILED':
      return new Problem(code, detail, { headers: retryAfter(refusal.retryAfterSeconds) });
    case 'NOT_CANCELLABLE':
      return new Problem(code, detail, { state: refusal.state });
    case 'IDEMPOTENCY_KEY_REUSED':
    case 'ORDER_NOT_FOUND':
    case 'ORDER_NOT_KEPT':
      return new Problem(code, detail);
  }
}

function fieldOf(field: string): Extensions {
  return field === '' ? {} : { field };
}
