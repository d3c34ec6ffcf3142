import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { exitCodes } from '../../node/cli/context.ts';
import { loadConfig } from '../../node/config.ts';

/** What can be checked of a deployment without a container engine: that its files fit each other and the program. */

const root = resolve(import.meta.dirname, '../..');
const deploy = join(root, 'deploy');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const scratch = mkdtempSync(join(tmpdir(), 'freehold-deploy-'));
afterAll(() => rmSync(scratch, { recursive: true }));

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>> | readonly string[];
}
interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const compose = parse(read('docker-compose.yml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const names = ['n1', 'n2', 'n3'];

describe('docker-compose.yml', () => {
  it('has the whole shop', () => {
    expect(Object.keys(compose.services).toSorted()).toEqual(
      [...names, 'prepare', 'sandbox', 'postgres', 'prometheus', 'grafana'].toSorted(),
    );
    expect(compose.services['postgres']?.image).toMatch(/^postgres:18\b/);
  });

  it('publishes nothing beyond this machine, and no port twice', () => {
    const published = services.flatMap(([, { ports = [] }]) => ports);
    for (const port of published) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    const outside = published.map((port) => port.split(':')[1]);
    expect(new Set(outside).size).toBe(outside.length);
  });

  it('refers only to services, volumes and files that exist', () => {
    for (const [name, service] of services) {
      const needed = service.depends_on ?? [];
      for (const other of Array.isArray(needed) ? (needed as string[]) : Object.keys(needed))
        expect(compose.services, name).toHaveProperty(other);
      for (const mount of service.volumes ?? []) {
        const source = mount.split(':')[0] ?? '';
        if (source.startsWith('./')) expect(existsSync(join(root, source)), mount).toBe(true);
        else expect(compose.volumes, name).toHaveProperty(source);
      }
      if (service.build !== undefined) expect(existsSync(join(root, service.build.dockerfile))).toBe(true);
    }
  });

  it('gives every node a disk of its own and a command that the program has', () => {
    for (const name of names) {
      const { command, volumes } = compose.services[name] ?? {};
      expect(command).toEqual(['node', '--config', `/etc/freehold/${name}.yaml`]);
      expect(volumes).toContain(`${name}-data:/var/lib/freehold`);
    }
  });

  it('is what Prometheus scrapes', () => {
    const { scrape_configs } = parse(read('deploy/prometheus/prometheus.yml')) as {
      scrape_configs: { static_configs: { targets: string[] }[] }[];
    };
    expect(scrape_configs[0]?.static_configs[0]?.targets).toEqual(names.map((name) => `${name}:8080`));
  });
});

describe('the configuration of the nodes', () => {
  const configs = names.map((name) => loadConfig(join(deploy, 'config', `${name}.yaml`)));

  it('loads, and differs in nothing but the name', () => {
    expect(readdirSync(join(deploy, 'config')).toSorted()).toEqual(names.map((name) => `${name}.yaml`));
    expect(configs.map(({ node }) => node)).toEqual(names);
    const texts = names.map((name) => read(`deploy/config/${name}.yaml`));
    const neutral = texts.map((text, index) =>
      text.replace(`node: n${index + 1}\n`, '').replace(`Node n${index + 1} of`, ''),
    );
    expect(new Set(neutral).size).toBe(1);
  });

  it('fits the services of docker-compose.yml', () => {
    for (const config of configs) {
      expect(config.dataDirectory).toBe('/var/lib/freehold');
      expect(config.http).toMatchObject({ host: '0.0.0.0', port: 8080 });
      expect(config.members.map(({ address }) => address)).toEqual(
        names.map((host) => ({ host, port: config.peers.port })),
      );
      for (const { id, http } of config.members) {
        const port = new URL(http ?? '').port;
        expect(compose.services[id]?.ports).toEqual([`127.0.0.1:${port}:8080`]);
      }
      const { command = [] } = compose.services['sandbox'] ?? {};
      expect(config.payments.apiBase).toMatchObject({ host: 'sandbox' });
      expect(command[command.indexOf('--port') + 1]).toBe(String(config.payments.apiBase.port));
      expect(config.systemOfRecord.url.reveal()).toBe('postgres://freehold:freehold@postgres:5432/shop');
    }
  });
});

describe('prepare.sh', () => {
  /** Stands for the program: answers a peer id that belongs to the directory, the same each time. */
  const program = join(scratch, 'freehold');
  const peerIds = new Map(
    names.map((name, index) => [name, `12D3KooW${String.fromCharCode(65 + index).repeat(44)}`]),
  );
  writeFileSync(
    program,
    `case $1\\ $3 in\n${[...peerIds].map(([name, id]) => `identity*/${name}) echo ${id} ;;`).join('\n')}\n*) exit 9 ;;\nesac\n`,
  );
  const prepare = (environment: Readonly<Record<string, string>> = {}) =>
    execFileSync(
      'sh',
      [join(deploy, 'prepare.sh'), join(deploy, 'config'), join(scratch, 'data'), join(scratch, 'out')],
      { env: { ...process.env, FREEHOLD: `sh ${program}`, ...environment }, stdio: 'pipe' },
    );

  it('puts the real peer ids in the place of every placeholder, each time the same', () => {
    prepare();
    prepare();
    for (const name of names) {
      const config = loadConfig(join(scratch, 'out', `${name}.yaml`));
      expect(config.node).toBe(name);
      expect(new Map(config.members.map(({ id, peerId }) => [id, peerId]))).toEqual(peerIds);
    }
    expect(readdirSync(join(scratch, 'out')).toSorted()).toEqual(names.map((name) => `${name}.yaml`));
  });

  it('tells the nodes to found a cluster until one of them has run, and none of them after that', () => {
    const founding = () =>
      names.map((name) => loadConfig(join(scratch, 'out', `${name}.yaml`)).cluster.found);
    prepare();
    expect(founding()).toEqual(names.map(() => true));
    const disk = join(scratch, 'data', names[1] ?? '', 'leveldb');
    mkdirSync(disk, { recursive: true });
    prepare();
    rmSync(disk, { recursive: true });
    expect(founding()).toEqual(names.map(() => false));
  });

  it('stops when a key cannot be made', () => {
    expect(() => prepare({ FREEHOLD: 'false' })).toThrow();
  });
});

describe('the image', () => {
  const instructions = read('deploy/Dockerfile')
    .replaceAll(/\\\n/g, '')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.trim().split(/\s+/));
  const lastStage = instructions.slice(instructions.findLastIndex(([word]) => word === 'FROM'));

  it('runs on Node 26, not as root, without development dependencies', () => {
    for (const [word, image] of instructions) if (word === 'FROM') expect(image).toBe('node:26-slim');
    expect(lastStage.filter(([word]) => word === 'USER')).toEqual([['USER', 'node']]);
    expect(lastStage).toContainEqual([
      'COPY',
      '--from=dependencies',
      '/build/node_modules',
      './node_modules',
    ]);
    expect(instructions).toContainEqual(['RUN', 'npm', 'ci', '--omit=dev']);
  });

  it('copies what exists and is not ignored', () => {
    const ignored = read('deploy/Dockerfile.dockerignore').split('\n');
    for (const [word, ...rest] of instructions) {
      if (word !== 'COPY' || rest[0]?.startsWith('--from')) continue;
      for (const source of rest.slice(0, -1)) {
        const path = source.replace(/^\.\//, '');
        expect(existsSync(join(root, path)), path).toBe(true);
        expect(ignored).toContain(`!${path}`);
      }
    }
  });
});

it('every place asks for the same Node', () => {
  const { engines, devDependencies } = JSON.parse(read('package.json')) as {
    readonly engines: Readonly<Record<string, string>>;
    readonly devDependencies: Readonly<Record<string, string>>;
  };
  const major = devDependencies['node']?.split('.')[0] ?? '';
  expect(engines['node']).toBe(`>=${major}`);
  const images = read('deploy/Dockerfile').match(/^FROM node:\d+/gm);
  expect(new Set(images)).toEqual(new Set([`FROM node:${major}`]));
  expect(read('README.md')).toContain(`Node (${major})`);
});

describe('freehold.service', () => {
  const settings = new Map(
    read('deploy/systemd/freehold.service')
      .split('\n')
      .filter((line) => /^\w+=/.test(line))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
  );

  it('starts the program as it is started elsewhere, and not as root', () => {
    expect(settings.get('ExecStart')).toMatch(
      / \/opt\/freehold\/node\/main\.ts node --config \/etc\/freehold\/freehold\.yaml$/,
    );
    expect(settings.get('User')).toBe('freehold');
  });

  it('does not forbid what a just-in-time compiler does', () => {
    expect(settings.has('MemoryDenyWriteExecute')).toBe(false);
  });

  it('gives a node time to drain, and does not restart what no restart puts right', () => {
    expect(Number(settings.get('TimeoutStopSec'))).toBeGreaterThanOrEqual(20);
    expect(settings.get('RestartPreventExitStatus')).toBe(`${exitCodes.usage} ${exitCodes.unsafe}`);
  });
});
