// Which file of ours stops a start, and what is taken of the others.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configAgain, configOf } from '../../../../src/daemon/cli/config-of.ts';
import { loadConfig, readConfig } from '../../../../src/daemon/config/config.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import { handlersOf } from '../../../../src/daemon/wiring/handlers.ts';

let file: string;
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-config-'));
  file = join(root, 'troupe.toml');
  mkdirSync(`${file}.d`);
  writeFileSync(file, '[log]\nlevel = "warn"\n');
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

const dropIn = (name: string, text: string): void => writeFileSync(join(`${file}.d`, name), text);

async function read(): Promise<{
  readonly problems: Readonly<Record<string, string>>;
  readonly config: typeof defaultConfig;
}> {
  const { config, problems } = await readConfig(file, true, {});
  return {
    config,
    problems: Object.fromEntries([...problems].map(([path, reason]) => [basename(path), reason])),
  };
}

describe('F95 drop-ins of the configuration', () => {
  it('of a bad one what can be used is used, and the rest is reported with its line', async () => {
    dropIn('10.toml', '[images]\nno_such = 1\nhttp_proxy = "http://p.example"\n[streaming]\nport = "high"\n');
    dropIn('20.toml', '[log]\nlevel = "deb');
    dropIn('30.toml', '[images]\nhttps_proxy = "http://q.example"\n');
    const { config, problems } = await read();
    expect(problems).toEqual({
      '10.toml':
        'line 2: images.no_such: no such key; line 5: streaming.port: must be a number from 0 to 65535',
      '20.toml': expect.stringMatching(/^line 2: /u),
    });
    const proxies = [config.images.http_proxy, config.images.https_proxy].map(String);
    expect([...proxies, config.streaming.port, config.log.level]).toEqual([
      'http://p.example',
      'http://q.example',
      0,
      'warn',
    ]);
  });

  it('an incomplete handler is left out', async () => {
    dropIn(
      '10.toml',
      '[runtime.handlers.sandboxed]\npath = "/usr/bin/x"\nseccomp = "/etc/x.json"\n[runtime.handlers.other]\npath = "/usr/bin/y"\n',
    );
    const { config, problems } = await read();
    expect(problems).toEqual({ '10.toml': 'line 3: runtime.handlers.sandboxed.seccomp: no such key' });
    expect(Object.keys(config.runtime.handlers)).toContain('other');
    expect(Object.keys(config.runtime.handlers)).not.toContain('sandboxed');
  });

  it('a FIFO, a directory, a loop of links or a large file is reported, and the start does not wait', async () => {
    execFileSync('mkfifo', [join(`${file}.d`, 'fifo.toml')]);
    mkdirSync(join(`${file}.d`, 'dir.toml'));
    execFileSync('ln', ['-s', 'loop.toml', join(`${file}.d`, 'loop.toml')]);
    dropIn('large.toml', '#'.repeat(20 * 1024 * 1024));
    expect(Object.keys((await read()).problems).toSorted()).toEqual([
      'dir.toml',
      'fifo.toml',
      'large.toml',
      'loop.toml',
    ]);
  });

  it('a file in the place of their directory is reported, and the start goes on', async () => {
    rmSync(`${file}.d`, { recursive: true });
    writeFileSync(`${file}.d`, '');
    const { config, problems } = await read();
    expect([config.log.level, problems]).toEqual([
      'warn',
      { 'troupe.toml.d': expect.stringContaining('ENOTDIR') as string },
    ]);
  });

  it('a cgroup parent in the other driver’s form has no effect', async () => {
    dropIn('10.toml', '[cgroup]\ndriver = "cgroupfs"\nparent = "troupe.slice"\n');
    const { config, problems } = await read();
    expect(config.cgroup).toEqual({ driver: defaultConfig.cgroup.driver, parent: config.cgroup.parent });
    expect(problems).toEqual({
      '10.toml': 'line 3: cgroup.parent: troupe.slice: with the driver cgroupfs it must not be a slice',
    });
  });

  it.each([
    [
      'the driver in a drop-in, the parent in the file',
      '[cgroup]\nparent = "pods.slice"\n',
      '[cgroup]\ndriver = "systemd"\n',
      { driver: 'systemd', parent: 'pods.slice' },
    ],
    [
      'another driver in a drop-in',
      '[cgroup]\ndriver = "systemd"\n',
      '[cgroup]\ndriver = "cgroupfs"\n',
      defaultConfig.cgroup,
    ],
  ])('file and drop-ins are validated together: %s', async (_what, main, more, cgroup) => {
    writeFileSync(file, main);
    dropIn('10.toml', more);
    expect(await read()).toMatchObject({ config: { cgroup }, problems: {} });
  });

  it('an invalid parent in the file that no drop-in corrects is refused by the name of the file', async () => {
    writeFileSync(file, '[cgroup]\nparent = "pods.slice"\n');
    dropIn('10.toml', '[log]\nlevel = "debug"\n');
    await expect(read()).rejects.toThrow(`read configuration ${file}, line 2: cgroup.parent`);
  });

  it('a file in the place of the directory is reported', async () => {
    rmSync(`${file}.d`, { recursive: true });
    writeFileSync(`${file}.d`, '');
    expect(Object.keys((await read()).problems)).toEqual(['troupe.toml.d']);
  });

  it('a reload is all or nothing; an invalid main file is refused at start and reload', async () => {
    dropIn('10.toml', 'x = 1\n');
    await expect(loadConfig(file, true, {})).rejects.toThrow(
      `read configuration ${join(`${file}.d`, '10.toml')}, line 1: x: no such key`,
    );
    writeFileSync(file, 'x = 1\n');
    await expect(readConfig(file, true, {})).rejects.toThrow(
      `read configuration ${file}, line 1: x: no such key`,
    );
  });
});

it.each([
  ['serve', '', 'none'],
  ['start', '', 'bridge'],
  ['serve', 'network.fallback = "bridge"\n', 'bridge'],
  ['start', 'network.fallback = "none"\n', 'none'],
] as const)(
  'troupe %s with %j has the network.fallback %s, also after a reload',
  async (command, text, fallback) => {
    writeFileSync(file, text);
    const line = { command, options: { config: file }, flags: new Set<string>(), words: [] };
    expect((await configOf(line, '/no/such/file')).config.network.fallback).toBe(fallback);
    expect((await configAgain(line, '/no/such/file', true)).config.network.fallback).toBe(fallback);
  },
);

it('F95 a monitor that is not installed leaves the handlers not ready, with the reason', async () => {
  // a runtime that every machine has
  const found = { runc: { ...defaultConfig.runtime.handlers['runc'], path: process.execPath } };
  const runtime = { ...defaultConfig.runtime, handlers: found, monitor: '/no/such/conmon' };
  const handlers = await handlersOf({ ...defaultConfig, runtime });
  expect(handlers.length).toBeGreaterThan(0);
  for (const { missing } of handlers) expect(missing).toContain('/no/such/conmon');
});
