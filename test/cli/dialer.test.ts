import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { expect, it } from 'vitest';
import { whoDialed } from '../../node/cli/dev/dialer.ts';

it('names the process at the other end of a connection, among those it is asked about', async () => {
  const gone = spawn(process.execPath, ['-e', '']);
  await once(gone, 'exit');
  const server = createServer().listen({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connect = `require('node:net').connect(${String(port)}, '127.0.0.1')`;
  const child = spawn(process.execPath, ['-e', connect]);
  try {
    const [socket] = (await once(server, 'connection')) as [Socket];
    const fromPort = socket.remotePort ?? 0;
    const processes = new Map([
      ['gone', gone.pid ?? 0],
      ['this', process.pid],
      ['child', child.pid ?? 0],
    ]);
    expect(whoDialed(fromPort, port, processes)).toBe('child');
    expect(whoDialed(fromPort, port + 1, processes)).toBeUndefined();
    expect(whoDialed(fromPort, port, new Map([['this', process.pid]]))).toBeUndefined();
    socket.destroy();
  } finally {
    child.kill('SIGKILL');
    server.close();
  }
});
