// The commands on a real pseudo-terminal: what is drawn again, its width and height, its colours, and the completion.
import { create, toJsonString } from '@bufbuild/protobuf';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { bashCompletion } from '../../../src/daemon/commands/completion-bash.ts';
import { ListResponseSchema } from '../../../src/gen/introspection/v1/introspection_pb.ts';
import { terminal } from '../../support/terminal.ts';
import type { Terminal } from '../../support/terminal.ts';
import { checkout } from '../../support/tools/cache.ts';
import { run } from '../../support/run.ts';
import { container, pod, waits } from '../../unit/daemon/cli/stage.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

/** A daemon that answers List only, with what the test sets. */
async function daemon() {
  const home = await mkdtemp(join(tmpdir(), 'troupe-terminal-'));
  ends.push(() => rm(home, { recursive: true }));
  const socket = join(home, 'introspection.sock');
  const state = { actors: [pod('a', 'web')] };
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('content-type', 'application/json');
      response.end(toJsonString(ListResponseSchema, create(ListResponseSchema, { actors: state.actors })));
    });
  });
  await new Promise<void>((resolve) => void server.listen(socket, resolve));
  ends.push(() => server.close());
  return { home, socket, state };
}

const program = join(checkout, 'bin/troupe');
const ENV = { PATH: '/usr/bin:/bin', HOME: '/', LANG: 'C.UTF-8' };

function open(
  argv: readonly string[],
  {
    columns = 80,
    rows = 24,
    env = {},
  }: { columns?: number; rows?: number; env?: Record<string, string> } = {},
): Terminal {
  const opened = terminal(argv, { columns, rows, env: { ...ENV, ...env } });
  ends.push(() => opened.kill('SIGKILL'));
  return opened;
}

describe('ps --watch', () => {
  it('draws the screen again in its place, shorter ones too, and ends with 0 on Ctrl-C', async () => {
    const { socket, state } = await daemon();
    state.actors = [pod('a', 'web'), container('c', 'app', 'a'), pod('b', 'db')];
    const shown = open([program, 'ps', '--watch', '--introspection', socket]);
    const names = (): readonly string[] =>
      shown.rows().map((row) => row.replace(/^(\S+(?: app)?) .*$/u, '$1'));
    await expect.poll(names).toEqual(['POD', 'shop/web', '└─ app', 'shop/db']);
    state.actors = [pod('a', 'web', { state: 'stopping', settled: false })];
    await expect.poll(names).toEqual(['POD', 'shop/web']);
    expect(shown.rows()[1]).toContain('stopping');
    shown.type('\u0003');
    expect(await shown.ended).toMatchObject({ exitCode: 0 });
  });

  it('fits the terminal, and another size of it', async () => {
    const { socket, state } = await daemon();
    const idOf = (at: number): string => String(at).padStart(64, '0');
    const pods = Array.from({ length: 20 }, (_, at) =>
      pod('', `web-${at}`, { id: idOf(at), address: `sandbox/${idOf(at)}` }),
    );
    state.actors = [...pods, container('c', 'app', '0', waits(3, 20))];
    const shown = open([program, 'ps', '--watch', '--introspection', socket], { columns: 70, rows: 10 });
    await expect.poll(() => shown.rows()).toHaveLength(9);
    expect(shown.rows().at(-1)).toBe('… 14 more');
    expect(Math.max(...shown.rows().map((row) => row.length))).toBeLessThanOrEqual(70);
    shown.resize(120, 40);
    await expect.poll(() => shown.rows()).toHaveLength(22);
    expect(shown.rows()[0]).toMatch(/^POD/u);
    await expect.poll(() => shown.rows().join('\n')).toContain('runc kill');
  });
});

describe('a terminal', () => {
  it('has colours, unless NO_COLOR is set; a pipe has none', async () => {
    const { socket } = await daemon();
    const argv = [program, 'ps', '--introspection', socket];
    const coloured = open(argv);
    expect(await coloured.ended).toMatchObject({ exitCode: 0 });
    await expect.poll(coloured.written).toContain('\u001b[32mready\u001b[39m');
    const plain = open(argv, { env: { NO_COLOR: '1' } });
    expect(await plain.ended).toMatchObject({ exitCode: 0 });
    await expect.poll(plain.written).toContain('ready');
    expect(plain.written()).not.toContain('\u001b');
    const piped = await run(argv);
    expect(piped.stdout).toContain('ready');
    expect(piped.stdout).not.toContain('\u001b');
  });

  it('gets lines of its width, and a pipe whole ones', async () => {
    const { socket, state } = await daemon();
    const fault = 'word '.repeat(40).trim();
    state.actors = [pod('a', 'web', { fault })];
    const argv = [program, 'ps', '--introspection', socket];
    const shown = open(argv, { columns: 64 });
    await shown.ended;
    await expect.poll(() => shown.rows()).toHaveLength(2);
    expect(shown.rows()[1]).toMatch(/^.{64}$/u);
    expect(shown.rows()[1]).toMatch(/…$/u);
    expect((await run(argv)).stdout).toContain(fault);
  });
});

describe('the completion of bash', () => {
  it.each([
    ['troupe stat', 'troupe status '],
    ['troupe ps --sort na', 'troupe ps --sort name '],
    ['troupe --state /run/a why sh', 'troupe --state /run/a why shop/web '],
  ])('at the prompt makes of %j and a tabulator %j', async (typed, expected) => {
    const { home } = await daemon();
    const script = join(home, 'completion');
    await writeFile(script, bashCompletion());
    await writeFile(join(home, 'troupe'), '#!/bin/sh\necho shop/web\n', { mode: 0o755 });
    const shell = open(['bash', '--norc', '--noprofile', '-i'], {
      columns: 200,
      env: { PATH: `${home}:${ENV.PATH}`, TERM: 'xterm' },
    });
    shell.type(`source ${script}; echo re''ady\n`);
    // the prompt follows: until then the terminal itself echoes what is typed
    await expect.poll(shell.written).toMatch(/ready\r\n.*# $/u);
    shell.type(`${typed}\t`);
    await expect.poll(shell.written).toContain(expected);
  });
});
