import type { FastifyInstance } from 'fastify';
import { Problem } from './problems.ts';

/**
 * Replaces Fastify's body parsers by one for `application/json` that takes UTF-8 at its word: a byte sequence
 * that is not UTF-8 is refused, where the default would put U+FFFD in its place and so change what was ordered.
 * `__proto__` and `constructor.prototype` keys are refused as well. An empty body is no body.
 */
export function acceptStrictJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0) {
      done(null, undefined);
      return;
    }
    let text: string;
    try {
      text = utf8.decode(body as Buffer);
    } catch {
      done(new Problem('MALFORMED_JSON', 'The body is not valid UTF-8.'));
      return;
    }
    void parse(request, text, done);
  });
}
