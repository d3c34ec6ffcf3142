import * as z from 'zod';

export const defaultPorts = { http: 8080, peers: 9080 } as const;

export interface Problem {
  readonly path: readonly PropertyKey[];
  readonly reason: string;
}

// Only what the checks below read, each part on its own: a mistake elsewhere in the file must not hide these.
const readable = z.object({
  node: z.string().optional().catch(undefined),
  zone: z.string().optional().catch(undefined),
  members: z
    .array(
      z.object({
        id: z.string().optional().catch(undefined),
        peerId: z.string().optional().catch(undefined),
        address: z.string().optional().catch(undefined),
        zone: z.string().optional().catch(undefined),
        voter: z.boolean().default(true).catch(true),
      }),
    )
    .optional()
    .catch(undefined),
  systemOfRecord: z.record(z.string(), z.unknown()).optional().catch(undefined),
  catalog: z.string().optional().catch(undefined),
  payments: z.record(z.string(), z.unknown()).optional().catch(undefined),
  http: z.record(z.string(), z.unknown()).optional().catch(undefined),
  peers: z.record(z.string(), z.unknown()).optional().catch(undefined),
});

/** Checks what one key of the file means for another. `raw` is the file as read, before validation. */
export function relationProblems(raw: unknown): readonly Problem[] {
  const parsed = readable.safeParse(raw);
  if (!parsed.success) return [];
  const { node, zone, members, systemOfRecord, catalog, payments, http, peers } = parsed.data;
  const problems: Problem[] = [];

  if (members !== undefined) {
    for (const key of ['id', 'peerId', 'address'] as const)
      for (const [index, member] of members.entries()) {
        const first = members.findIndex((other) => other[key] === member[key]);
        if (member[key] !== undefined && first < index)
          problems.push({
            path: ['members', index, key],
            reason: `is already that of members[${String(first)}]`,
          });
      }

    const self = members.find((member) => member.id === node);
    if (node !== undefined && members.length > 0 && self === undefined)
      problems.push({ path: ['members'], reason: `must contain this node, ${node}` });
    if (self?.zone !== undefined && self.zone !== (zone ?? 'main'))
      problems.push({
        path: ['zone'],
        reason: `is ${zone ?? 'main'}, but the member ${node ?? ''} is in zone ${self.zone}`,
      });

    const voters = members.filter((member) => member.voter).length;
    // Who joins a cluster lists those who are there, in whatever number they are just then.
    const isFounder = self?.voter ?? true;
    if (members.length > 0 && isFounder && ![1, 3, 5].includes(voters))
      problems.push({
        path: ['members'],
        reason: `must have 1, 3 or 5 voters, not ${String(voters)}: an even number tolerates no more failures than one fewer`,
      });
  }

  if (systemOfRecord !== undefined) {
    problems.push(...exactlyOne('systemOfRecord', systemOfRecord, 'url'));
    problems.push(...systemOfRecordProblems(systemOfRecord, catalog));
  }
  if (payments !== undefined) {
    problems.push(...exactlyOne('payments', payments, 'apiKey'));
    problems.push(...exactlyOne('payments', payments, 'webhookSecret'));
  }

  const samePort = (http?.port ?? defaultPorts.http) === (peers?.port ?? defaultPorts.peers);
  if (samePort && http?.host === peers?.host)
    problems.push({ path: ['peers', 'port'], reason: 'must differ from http.port on the same host' });

  return problems;
}

export type SystemOfRecordKind = 'postgres' | 'http';

/** Undefined when it is one for this kind. */
export function whyWrongUrl(kind: SystemOfRecordKind, url: string): string | undefined {
  if (kind === 'http')
    return /^https?:\/\/[^/]/.test(url) ? undefined : 'must be a URL that starts with https:// or http://';
  return /^postgres(ql)?:\/\/[^/]/.test(url) ? undefined : 'must be a URL that starts with postgres://';
}

function systemOfRecordProblems(
  { kind, url, token, tokenFile }: Record<string, unknown>,
  catalog: string | undefined,
): readonly Problem[] {
  const problems: Problem[] = [];
  const isHttp = kind === 'http';
  // Any other scheme is no URL that the section takes, and is told there.
  const other = typeof url === 'string' && (isHttp ? /^postgres/ : /^https?:/).test(url);
  const reason = other ? whyWrongUrl(isHttp ? 'http' : 'postgres', url) : undefined;
  if (reason !== undefined) problems.push({ path: ['systemOfRecord', 'url'], reason });
  if (token !== undefined && tokenFile !== undefined)
    problems.push({ path: ['systemOfRecord', 'token'], reason: 'is given twice, also as tokenFile' });
  if (!isHttp && (token !== undefined || tokenFile !== undefined)) {
    const key = token === undefined ? 'tokenFile' : 'token';
    problems.push({ path: ['systemOfRecord', key], reason: 'is for systemOfRecord.kind http only' });
  }
  if (isHttp && catalog !== undefined)
    problems.push({ path: ['catalog'], reason: 'cannot fill a system of record of kind http' });
  return problems;
}

function exactlyOne(section: string, values: Record<string, unknown>, key: string): readonly Problem[] {
  const fileKey = `${key}File`;
  const given = [values[key], values[fileKey]].filter((value) => value !== undefined).length;
  if (given === 1) return [];
  const reason =
    given === 0 ? `is required (or ${section}.${fileKey})` : `is given twice, also as ${fileKey}`;
  return [{ path: [section, key], reason }];
}
