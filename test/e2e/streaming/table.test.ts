/**
 * Exec and port-forward with Kubernetes' own client library: each version of the protocols by each thing a session can
 * do. The Go program reports what it saw; the table is printed at the end.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from '../../support/run.ts';
import { streamClient } from '../../support/tools/stream-client.ts';
import { Crictl, containerJson, describePods } from '../support/crictl.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { EVENT_MS } from '../../support/patience.ts';
import type { Seen } from './table-cases.ts';
import { ATTACHES, CASES, FORWARDS, PROTOCOLS } from './table-cases.ts';
import { until } from '../../support/eventually.ts';

const table = new Map<string, Map<string, string>>();
const note = (row: string, column: string, result: string): void => {
  const cells = table.get(row) ?? new Map<string, string>();
  table.set(row, cells.set(column, result));
};

describePods('sessions with the client library of Kubernetes', () => {
  let world: World;
  let client: string;
  let containerId: string;
  let repeating: string;
  let talking: string;
  let podSandboxId: string;
  let servers: ChildProcess;

  beforeAll(async () => {
    client = await streamClient();
    world = await makeWorld({ name: 'strt' });
    const crictl = new Crictl(world);
    const pod = await crictl.runPod('table');
    podSandboxId = pod.id;
    containerId = await crictl.runContainer(
      pod,
      containerJson('main', await world.pull(), ['sleep', '3600']),
    );
    repeating = await crictl.runContainer(pod, {
      ...containerJson('repeating', await world.pull(), [
        'sh',
        '-c',
        'while read line; do echo "got $line"; done',
      ]),
      stdin: true,
    });
    talking = await crictl.runContainer(pod, {
      ...containerJson('talking', await world.pull(), [
        'sh',
        '-c',
        'while :; do head -c 200000 /dev/zero; sleep 0.05; done',
      ]),
      log_path: '',
    });
    const netns = join(world.instance.state, 'ns', pod.id, 'net');
    servers = spawn(
      'nsenter',
      [`--net=${netns}`, process.execPath, join(import.meta.dirname, 'pod-servers.ts')],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await new Promise<void>((resolve, reject) => {
      servers.stdout?.once('data', () => resolve());
      servers.once('exit', (code) => reject(new Error(`the pod's servers ended with ${code}`)));
    });
  });
  afterAll(async () => {
    servers.kill('SIGKILL');
    await world.instance.crictl(['rmp', '-f', '-a']);
    const left = await world.leftovers();
    await world.close();
    print(
      'exec',
      CASES.map(({ title }) => title),
    );
    print(
      'attach',
      ATTACHES.map(({ title }) => title),
    );
    print(
      'port-forward',
      FORWARDS.map(({ title }) => title),
    );
    expect(left).toEqual([]);
  });

  const seen = async (flags: readonly string[]): Promise<Seen> => {
    const ended = await run([client, ...flags], { timeoutMs: EVENT_MS });
    if (ended.code !== 0) throw new Error(`the client ended with ${ended.code}: ${ended.stderr}`);
    return { ...(JSON.parse(ended.stdout) as Omit<Seen, 'log'>), log: ended.stderr };
  };

  const cells = PROTOCOLS.flatMap((one) =>
    CASES.map((wanted) => ({ row: `${one.transport} ${one.name}`, column: wanted.title, one, ...wanted })),
  );
  for (const { row, column, one, lacks } of cells) {
    const without = lacks?.(one);
    if (without !== undefined) note(`exec ${row}`, column, without);
  }

  test.each(cells.filter(({ one, lacks }) => lacks?.(one) === undefined))(
    'exec, $row: $column',
    async ({ row, column, one, session, check }) => {
      const { stdin = false, tty = false } = session.streams;
      const { url } = await world.client.runtime.exec({
        containerId,
        cmd: ['sh', '-c', session.script],
        stdin,
        tty,
        stdout: true,
        stderr: !tty,
      });
      const streams = ['-stdout', ...(stdin ? ['-stdin'] : []), tty ? '-tty' : '-stderr'];
      note(`exec ${row}`, column, 'FAILED');
      check(
        await seen([
          '-url',
          url,
          '-transport',
          one.transport,
          '-protocol',
          one.name,
          ...streams,
          ...session.flags,
        ]),
        one,
      );
      await until(async () => !(await commandLines()).some((line) => line.includes('marked-to-be-gone')));
      note(`exec ${row}`, column, 'pass');
    },
  );

  const attaches = PROTOCOLS.flatMap((one) =>
    ATTACHES.map(({ title, check }) => ({ row: `${one.transport} ${one.name}`, column: title, one, check })),
  );

  test.each(attaches)('attach, $row: $column', async ({ row, column, one, check }) => {
    const isTyping = column === ATTACHES[0]?.title;
    const { url } = await world.client.runtime.attach({
      containerId: isTyping ? repeating : talking,
      stdin: isTyping,
      tty: false,
      stdout: true,
      stderr: true,
    });
    // it goes once it has heard the answer
    const line = `${one.transport} ${one.name}\n`;
    const flags = isTyping
      ? ['-stdin', '-stdin-text', line, '-keep-stdin', '-abort-after', String(`got ${line}`.length)]
      : ['-abort-after', '1000000'];
    note(`attach ${row}`, column, 'FAILED');
    check(
      await seen([
        '-url',
        url,
        '-transport',
        one.transport,
        '-protocol',
        one.name,
        '-stdout',
        '-stderr',
        ...flags,
      ]),
      one,
    );
    note(`attach ${row}`, column, 'pass');
  });

  const forwards = ['spdy', 'websocket'].flatMap((transport) =>
    FORWARDS.map((wanted) => ({ transport, column: wanted.title, ...wanted })),
  );

  test.each(forwards)(
    'port-forward, $transport: $column',
    async ({ transport, column, port, flags, check }) => {
      const { url } = await world.client.runtime.portForward({ podSandboxId, port: [port] });
      note(`port-forward ${transport}`, column, 'FAILED');
      check(
        await seen([
          '-mode',
          'forward',
          '-url',
          url,
          '-transport',
          transport,
          '-port',
          String(port),
          ...flags,
        ]),
      );
      note(`port-forward ${transport}`, column, 'pass');
    },
  );
});

async function commandLines(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/u.test(name));
  return await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')));
}

function print(kind: string, columns: readonly string[]): void {
  const rows = [...table]
    .filter(([row]) => row.startsWith(`${kind} `))
    .toSorted(([one], [other]) => one.localeCompare(other));
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const head = [line([kind, ...columns]), line([kind, ...columns].map(() => '---'))];
  console.log(
    [
      ...head,
      ...rows.map(([row, cells]) =>
        line([row.slice(kind.length + 1), ...columns.map((column) => cells.get(column) ?? '')]),
      ),
    ].join('\n'),
  );
}
