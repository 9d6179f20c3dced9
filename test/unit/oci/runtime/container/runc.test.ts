import { describe, expect, it } from 'vitest';
import { FaultError } from '../../../../../src/base/fault.ts';
import type { ContainerId, SandboxId } from '../../../../../src/base/ids.ts';
import type { BundleInput } from '../../../../../src/ports/runtime.ts';
import { checkArgv, execProcess } from '../../../../../src/oci/runtime/container/exec-process.ts';
import { stdioOwner } from '../../../../../src/oci/runtime/container/stdio-owner.ts';
import { parseNotedState } from '../../../../../src/oci/runtime/container/foreign-state.ts';
import { parseHandlerRecord } from '../../../../../src/oci/runtime/container/handler-records.ts';
import { HandlerTable } from '../../../../../src/oci/runtime/handlers/handlers.ts';
import { workingSetBytes } from '../../../../../src/oci/runtime/container/update.ts';
import { noteOf, parseNote } from '../../../../../src/oci/runtime/container/record.ts';
import { runtimeAnnotations } from '../../../../../src/oci/runtime/spec/annotations.ts';
import {
  createArgv,
  deleteArgv,
  driverArgs,
  execArgv,
  globalArgs,
  parseState,
  startArgv,
} from '../../../../../src/oci/runtime/container/runc.ts';

const id = 'b'.repeat(64) as ContainerId;

describe('S65 the runtime’s argv', () => {
  const call = { path: '/usr/sbin/runc', globals: globalArgs('/r', '/l'), id };
  it('puts values behind fixed options', () => {
    expect(startArgv(call)).toEqual([
      '/usr/sbin/runc',
      '--root=/r',
      '--log=/l',
      '--log-format=json',
      'start',
      id,
    ]);
    expect(deleteArgv(call).slice(-2)).toEqual(['delete', id]);
    expect(createArgv(call, '/b', '/p').slice(-6)).toEqual([
      'create',
      '--bundle',
      '/b',
      '--pid-file',
      '/p',
      id,
    ]);
    const exec = execArgv(call, { processFile: '/f', pidFile: '/p', options: ['--cgroup=freezer:e'] });
    expect(exec.slice(-6)).toEqual([
      'exec',
      '--detach',
      '--process=/f',
      '--pid-file=/p',
      '--cgroup=freezer:e',
      id,
    ]);
    expect(globalArgs('/r', '/l', ['--debug']).at(-1)).toBe('--debug');
    expect(driverArgs('/a.slice/troupe-1.scope')).toEqual(['--systemd-cgroup']);
    expect(driverArgs('/a/troupe-1')).toEqual([]);
  });
});

describe('F36 the runtime’s state file', () => {
  const good = { id, init_process_pid: 4711, init_process_start: 99 };
  it('of libcontainer and of crun gives pid and start time', () => {
    expect(parseState('state.json', JSON.stringify(good), id)).toEqual({ pid: 4711, startTicks: 99 });
    const crun = { pid: 4711, 'process-start-time': 99, bundle: '/b' };
    expect(parseState('status', JSON.stringify(crun), id)).toEqual({ pid: 4711, startTicks: 99 });
  });

  it.each([
    ['cut off', JSON.stringify(good).slice(0, -3)],
    ['empty', ''],
    ['a list', '[]'],
    ['another id', JSON.stringify({ ...good, id: 'c'.repeat(64) })],
    ['a negative pid', JSON.stringify({ ...good, init_process_pid: -1 })],
    ['pid 0', JSON.stringify({ ...good, init_process_pid: 0 })],
    ['pid 1', JSON.stringify({ ...good, init_process_pid: 1 })],
    ['a pid as text', JSON.stringify({ ...good, init_process_pid: '4711' })],
    ['no start time', JSON.stringify({ id, init_process_pid: 4711 })],
  ])('%s is not trusted', (_what, text) => {
    expect(parseState('state.json', text, id)).toBeUndefined();
  });
});

describe('the process of an exec', () => {
  const config = JSON.stringify({
    process: {
      terminal: true,
      consoleSize: { height: 1, width: 2 },
      user: { uid: 5, gid: 6 },
      args: ['init'],
      env: ['A=1'],
      cwd: '/w',
      noNewPrivileges: true,
    },
  });

  it('is the container’s with its own arguments and no terminal', () => {
    expect(JSON.parse(execProcess(config, ['-x', '--', 'y'], id))).toEqual({
      terminal: false,
      user: { uid: 5, gid: 6 },
      args: ['-x', '--', 'y'],
      env: ['A=1'],
      cwd: '/w',
      noNewPrivileges: true,
    });
  });

  it('has a TERM on a terminal, the image’s own if set', () => {
    const envOf = (env: readonly string[] | undefined, wanted: boolean): unknown =>
      (
        JSON.parse(execProcess(JSON.stringify({ process: { args: [], env } }), ['top'], id, { wanted })) as {
          readonly env?: unknown;
        }
      ).env;
    expect(envOf(['A=1'], true)).toEqual(['A=1', 'TERM=xterm']);
    expect(envOf(undefined, true)).toEqual(['TERM=xterm']);
    expect(envOf(['TERM=screen', 'TERMINFO=/x'], true)).toEqual(['TERM=screen', 'TERMINFO=/x']);
    expect(envOf(['A=1'], false)).toEqual(['A=1']);
  });

  it('keeps every digit of a number above 2^53', () => {
    const text =
      '{"process":{"args":[],"rlimits":[{"type":"RLIMIT_CORE","soft":18446744073709551615,"hard":9007199254740993}]}}';
    expect(execProcess(text, ['a'], id)).toContain('"soft":18446744073709551615,"hard":9007199254740993');
  });

  it.each(['9007199254740993', '-9007199254740993', '1e400', '12345678901234567.5', '1.25e-7', '0.5', '0'])(
    'the number %s is as it was, wherever it stands',
    (number) => {
      for (const text of [
        `{"a":"sha256:9e3","process":{"x":${number},"args":[]}}`,
        `{ "process" : { "x" : [ 1, ${number} ] } }`,
        `{"process":{"x":[${number}]},"b":"c9e3:1"}`,
      ])
        expect(execProcess(text, ['a'], id)).toMatch(
          new RegExp(`[:[,]${number.replace('.', '[.]')}[,\\]]`, 'u'),
        );
    },
  );

  it('can’t be made from a config without a process', () => {
    for (const text of ['{}', '[]', 'null', '{"process":[]}', '{"process":5}']) {
      expect(() => execProcess(text, ['a'], id), text).toThrow(FaultError);
    }
  });

  it.each([
    ['no argument', []],
    ['an empty program', ['']],
    ['a NUL', ['a', 'b\0c']],
    ['too many arguments', Array.from({ length: 5000 }, () => 'x')],
    ['too many bytes', ['x'.repeat(1024 * 1024 + 1)]],
  ])('S65 refuses %s', (_what, argv) => {
    expect(() => checkArgv(argv, id)).toThrow(/exec in container b{64}: cmd: /u);
  });

  it('S65 accepts arguments that resemble options', () => {
    expect(() => checkArgv(['-rf', '--root=/', ''], id)).not.toThrow();
  });
});

describe("the owner of a process's pipes", () => {
  const text = (more: object): string => JSON.stringify({ process: { user: { uid: 5, gid: 6 } }, ...more });
  const maps = (...rows: readonly (readonly number[])[]) =>
    rows.map(([containerID, hostID, size]) => ({ containerID, hostID, size }));

  it('is the host’s id of its user in a user namespace, and unchanged elsewhere', () => {
    expect(
      stdioOwner(
        text({
          linux: { uidMappings: maps([0, 1000, 3], [3, 70_000, 10]), gidMappings: maps([0, 140_000, 7]) },
        }),
      ),
    ).toEqual({ uid: 70_002, gid: 140_006 });
    expect(stdioOwner(text({ linux: {} }))).toBeUndefined();
    expect(
      stdioOwner(text({ linux: { uidMappings: maps([0, 1000, 5]), gidMappings: maps([0, 1000, 7]) } })),
    ).toBeUndefined();
    expect(stdioOwner(text({ mounts: [{ uidMappings: maps([0, 1000, 9]) }] }))).toBeUndefined();
    expect(stdioOwner('{"linux":{"uidMappings":[null,5,{"containerID":"0"}]}}')).toBeUndefined();
  });
});

describe('memory that a new limit must hold', () => {
  it('is the usage without the inactive page cache, never below zero', () => {
    expect(
      workingSetBytes('1000', 'inactive_file 300\ntotal_inactive_file 400\n', 'total_inactive_file'),
    ).toBe(600n);
    expect(workingSetBytes('1000', 'inactive_file 300\n', 'inactive_file')).toBe(700n);
    expect(workingSetBytes('1000', '', 'inactive_file')).toBe(1000n);
    expect(workingSetBytes('100', 'inactive_file 300\n', 'inactive_file')).toBe(0n);
    expect(workingSetBytes('', '', 'inactive_file')).toBe(0n);
    expect(workingSetBytes('max', '', 'inactive_file')).toBe(0n);
  });
});

describe('runtime handlers', () => {
  const configs = [
    { name: 'runc', path: '/usr/sbin/runc', kind: 'oci' },
    { name: 'crun', path: '/usr/bin/crun', kind: 'oci' },
  ] as const;
  const table = (): HandlerTable => new HandlerTable(configs, 'crun', (name) => `/roots/${name}`);

  it('are found by name; the empty name is the default handler', () => {
    expect(table().resolve('').name).toBe('crun');
    expect(table().resolve('runc').root).toBe('/roots/runc');
    expect(() => table().resolve('kata')).toThrow(/use runtime handler kata: not configured/u);
  });

  it('are listed with the default handler first under the empty name, not ready until probed', () => {
    const handlers = table();
    handlers.set('crun', {
      ready: true,
      reason: '',
      recursiveReadOnlyMounts: true,
      userNamespaces: false,
      execCgroup: true,
      ownSandbox: false,
      knownState: false,
      shortSeccomp: false,
      version: '',
      features: [],
    });
    expect(handlers.statuses().map(({ name, ready, reason }) => [name, ready, reason])).toEqual([
      ['', true, ''],
      ['runc', false, 'not probed yet'],
      ['crun', true, ''],
    ]);
  });

  it('refuse a default that is not configured and a name that would collide with pause state', () => {
    expect(() => new HandlerTable(configs, 'kata', String)).toThrow(FaultError);
    expect(() => new HandlerTable([{ name: 'a.pause', path: '/x', kind: 'oci' }], 'a.pause', String)).toThrow(
      FaultError,
    );
  });

  it('are kept for their pods when a configuration drops them, and come back with it', () => {
    const handlers = table();
    handlers.replace([configs[0]], 'runc');
    expect(handlers.statuses().map(({ name, target }) => [name, target])).toEqual([
      ['', 'runc'],
      ['runc', 'runc'],
    ]);
    expect(handlers.resolve('crun').path).toBe('/usr/bin/crun');
    expect(handlers.known().map(({ name }) => name)).toEqual(['runc', 'crun']);
    handlers.replace([{ ...configs[1], path: '/opt/crun' }], 'crun');
    expect(handlers.resolve('crun').path).toBe('/opt/crun');
    expect(handlers.resolve('runc').name).toBe('runc');
  });

  it('of an earlier daemon are kept unless they are configured', () => {
    const handlers = table();
    handlers.retire({ name: 'kata', path: '/old/shim', kind: 'vm' });
    handlers.retire({ name: 'crun', path: '/old/crun', kind: 'oci' });
    expect(handlers.resolve('kata')).toMatchObject({ path: '/old/shim', kind: 'vm', root: '/roots/kata' });
    expect(handlers.resolve('crun').path).toBe('/usr/bin/crun');
    expect(handlers.statuses().map(({ name }) => name)).toEqual(['', 'runc', 'crun']);
  });

  it('F80 of pods that nothing is known of are recalled for their end, until one of that name is configured', () => {
    const handlers = table();
    expect(['', 'crun', 'kata'].map((name) => handlers.isUnknown(name))).toEqual([false, false, true]);
    handlers.recall('crun', 'vm');
    handlers.recall('kata', 'oci');
    expect(handlers.resolve('crun').kind).toBe('oci');
    expect(handlers.resolve('kata')).toMatchObject({
      kind: 'oci',
      root: '/roots/kata',
      path: '/roots/kata/not-configured',
    });
    expect(handlers.statuses().map(({ name }) => name)).toEqual(['', 'runc', 'crun']);
    // what was assumed of it binds nobody
    handlers.replace([...configs, { name: 'kata', path: '/opt/kata', kind: 'vm', root: '/kata' }], 'crun');
    expect(handlers.resolve('kata')).toMatchObject({ kind: 'vm', root: '/kata', path: '/opt/kata' });
  });

  it('cannot change type or root, which would make their pods unreachable; such a configuration changes nothing', () => {
    const handlers = table();
    expect(() => handlers.replace([{ ...configs[1], root: '/other' }], 'crun')).toThrow(
      /with another root: existing pods need the old root/u,
    );
    handlers.replace([configs[0]], 'runc');
    expect(() => handlers.replace([configs[0], { ...configs[1], kind: 'vm' }], 'runc')).toThrow(
      /with another type/u,
    );
    expect(handlers.statuses().map(({ name }) => name)).toEqual(['', 'runc']);
  });

  it('are recorded for a later daemon; a damaged record counts as absent', () => {
    const record = {
      version: 1,
      name: 'kata',
      path: '/opt/shim',
      kind: 'vm',
      options: ['--debug'],
      configPath: '/etc/kata.toml',
    };
    const { version: _version, ...config } = record;
    expect(parseHandlerRecord(JSON.stringify(record))).toEqual(config);
    for (const wrong of [
      { version: 2 },
      { name: '../x' },
      { path: 'relative' },
      { kind: 'wasm' },
      { path: '/a\0b' },
    ]) {
      expect(parseHandlerRecord(JSON.stringify({ ...record, ...wrong }))).toBeUndefined();
    }
    expect(parseHandlerRecord('{')).toBeUndefined();
  });

  it('with their own state format are known by their recorded reports; a damaged record counts as absent', () => {
    const noted = { pid: 4711, startTicks: 99, started: true };
    expect(parseNotedState(JSON.stringify(noted))).toEqual(noted);
    for (const wrong of [{ pid: 1 }, { pid: '4711' }, { startTicks: 0.5 }, { started: 'yes' }]) {
      expect(parseNotedState(JSON.stringify({ ...noted, ...wrong }))).toBeUndefined();
    }
    for (const text of ['', '{', 'null', '5']) expect(parseNotedState(text)).toBeUndefined();
  });

  it('pass annotations by whole name or prefix, and never replace ours (S05)', () => {
    const handler = {
      recursiveReadOnlyMounts: false,
      allowedAnnotations: ['io.katacontainers.*', 'run.oci.handler'],
      defaultAnnotations: { a: '1', 'run.oci.handler': 'no' },
    };
    const given = {
      'io.katacontainers.config': 'x',
      'io.katacontainers': 'y',
      'run.oci.handler': 'krun',
      'run.oci.handlers': 'z',
      other: '1',
    };
    expect(runtimeAnnotations(handler, given)).toEqual({
      a: '1',
      'io.katacontainers.config': 'x',
      'run.oci.handler': 'krun',
    });
    expect(runtimeAnnotations({ recursiveReadOnlyMounts: false }, given)).toEqual({});
  });
});

describe('the note beside a bundle', () => {
  const sandboxId = 'c'.repeat(64) as SandboxId;
  const note = noteOf({ id, sandboxId, sandbox: { cgroupParent: '/kubepods/pod1' } } as BundleInput, 'runc');

  it('has the cgroups and is read back unchanged', () => {
    expect(note).toEqual({
      version: 1,
      sandboxId,
      handler: 'runc',
      cgroup: `/kubepods/pod1/troupe-${id}`,
      monitorCgroup: `/kubepods/pod1/troupe-sandbox-${sandboxId}/monitors`,
    });
    expect(parseNote(JSON.stringify(note))).toEqual(note);
  });

  it('has scopes below a slice', () => {
    const below = noteOf(
      { id, sandboxId, sandbox: { cgroupParent: '/kubepods.slice/kubepods-pod1.slice' } } as BundleInput,
      'runc',
    );
    expect(below).toMatchObject({
      cgroup: `/kubepods.slice/kubepods-pod1.slice/troupe-${id}.scope/container`,
      monitorCgroup: `/kubepods.slice/kubepods-pod1.slice/troupe-${id}.scope/monitor`,
    });
    expect(parseNote(JSON.stringify(below))).toEqual(below);
    expect(parseNote(JSON.stringify({ ...below, cgroup: '/system.slice/session-1.scope' }))).toBeUndefined();
  });

  it.each([
    ['cut off', JSON.stringify(note).slice(0, -1)],
    ['another version', JSON.stringify({ ...note, version: 2 })],
    ['a cgroup that is not ours', JSON.stringify({ ...note, cgroup: '/system.slice/sshd.service' })],
    ['the root cgroup', JSON.stringify({ ...note, cgroup: '/' })],
    ['a cgroup by way of ..', JSON.stringify({ ...note, cgroup: `/a/../troupe-${id}` })],
    ['a foreign monitor cgroup', JSON.stringify({ ...note, monitorCgroup: '/' })],
    ['no sandbox', JSON.stringify({ ...note, sandboxId: 'x' })],
    ['null', 'null'],
  ])('%s is not a note', (_what, text) => {
    expect(parseNote(text)).toBeUndefined();
  });
});
