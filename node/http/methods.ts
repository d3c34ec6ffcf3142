import type { FastifyInstance } from 'fastify';
import { Problem } from './problems.ts';
import { pathOf } from './errors.ts';

/**
 * Answers requests that no route takes: 405 with `Allow` where the path answers other methods, else 404.
 * Fastify alone would say 404 to both. It is decided before the body is read: nobody wants that body.
 */
export function answerUnroutedRequests(app: FastifyInstance): void {
  const methodsByPattern = new Map<string, Set<string>>();

  app.addHook('onRoute', (route) => {
    const methods = methodsByPattern.get(route.url) ?? new Set();
    for (const method of [route.method].flat()) methods.add(method);
    methodsByPattern.set(route.url, methods);
  });

  let matchers: readonly { readonly form: RegExp; readonly allow: string }[] = [];
  app.addHook('onReady', (done) => {
    matchers = [...methodsByPattern].map(([pattern, methods]) => ({
      form: formOf(pattern),
      allow: [...methods].toSorted().join(', '),
    }));
    done();
  });

  // What a route finds nothing for, such as a file of the documentation.
  app.setNotFoundHandler((request) => {
    throw nothingAt(pathOf(request.url));
  });

  app.addHook('onRequest', (request, _reply, done) => {
    if (!request.is404) {
      done();
      return;
    }
    const path = pathOf(request.url);
    const known = matchers.find(({ form }) => form.test(path));
    done(
      known === undefined
        ? nothingAt(path)
        : new Problem('METHOD_NOT_ALLOWED', `${path} answers ${known.allow}.`, {
            headers: { allow: known.allow },
          }),
    );
  });
}

function nothingAt(path: string): Problem {
  return new Problem('NOT_FOUND', `Nothing answers ${path}.`);
}

/** Route patterns here have whole-segment parameters (`:id`) and final wildcards (`*`), nothing else. */
function formOf(pattern: string): RegExp {
  const source = pattern
    .split('/')
    .map((segment) => {
      if (segment.startsWith(':')) return '[^/]+';
      return segment === '*' ? '.*' : RegExp.escape(segment);
    })
    .join('/');
  return new RegExp(`^${source}$`);
}
