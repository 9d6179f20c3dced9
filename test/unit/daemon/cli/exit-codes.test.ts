// What the program itself ends with when its command line or its configuration is wrong.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../../../src/daemon/cli/exit-codes.ts';
import { run } from '../../../support/run.ts';
import type { Ended } from '../../../support/run.ts';
import { checkout } from '../../../support/tools/cache.ts';
import { EXHAUSTIVE } from '../../../support/exhaustive.ts';

describe('the exit code', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-exit-codes-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const troupe = (...args: readonly string[]): Promise<Ended> => run([join(checkout, 'bin/troupe'), ...args]);

  it.each([
    ['serve', '--nonsense'],
    ['--nonsense', 'serve'],
    ['serve', 'word'],
    ['serve', '--root'],
    ['start', '--nonsense'],
  ])(
    'F95 of the daemon is 78, which systemd does not retry, for an unknown command line: %s %s',
    async (...args) => {
      expect(await troupe(...args)).toMatchObject({
        code: EXIT.config,
        stderr: expect.stringContaining('see troupe help') as string,
      });
    },
  );

  it(
    'F95 of the daemon is 78 for an invalid configuration, and 2 of any other command',
    { tags: [EXHAUSTIVE] },
    async () => {
      const config = join(directory, 'wrong.toml');
      writeFileSync(config, 'speed = 3\n');
      const places = [
        '--config',
        config,
        '--root',
        join(directory, 'root'),
        '--state',
        join(directory, 'state'),
      ];
      expect(await troupe('serve', ...places)).toMatchObject({ code: EXIT.config });
      expect(await troupe('check', ...places)).toMatchObject({ code: EXIT.usage });
    },
  );

  it('F95 is not for a wrong configuration of commands that only ask the daemon: they name it, and ask', async () => {
    const config = join(directory, 'wrong.toml');
    const socket = join(directory, 'introspection.sock');
    writeFileSync(config, `speed = 3\nstate = "${directory}"\n`);
    const { code, stderr } = await troupe('ps', '--config', config);
    expect({ code, lines: stderr.trim().split('\n') }).toEqual({
      code: EXIT.unreachable,
      lines: [
        `troupe ps: read configuration ${config}, line 1: speed: no such key`,
        `troupe ps: asking the daemon at ${socket} all the same`,
        expect.stringContaining(`no daemon answers at ${socket}`),
      ],
    });
  });

  it('F95 without an answer is 4: with no socket, one that nobody listens on, and one that this user may not open', async () => {
    const socket = join(directory, 'introspection.sock');
    const ask = async (...before: readonly string[]): Promise<string> => {
      const argv = [...before, join(checkout, 'bin/troupe'), 'ps', '--introspection', socket];
      const { code, stderr } = await run(argv);
      return `${code} ${stderr}`;
    };
    expect(await ask()).toContain(`4 troupe ps: no daemon answers at ${socket}, where no socket is: `);
    writeFileSync(socket, 'a plain file');
    expect(await ask()).toContain(`4 troupe ps: no daemon answers at ${socket}, where no socket is: `);
    rmSync(socket);
    const holder = `require('node:net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await run([process.execPath, '-e', holder]);
    expect(await ask()).toContain(`4 troupe ps: no daemon answers at ${socket}, where a socket is: `);
    // root without the capabilities that make it pass by modes is a user like any other
    chmodSync(socket, 0);
    const plain = ['setpriv', '--bounding-set=-dac_override,-dac_read_search'];
    expect(await ask(...(process.getuid?.() === 0 ? plain : []))).toContain(
      `troupe ps: ${socket} may not be opened by this user: `,
    );
  });

  it('F95 of config --check is 78, with every error of the file and its drop-ins, else 0', async () => {
    const config = join(directory, 'checked.toml');
    const dropIn = join(`${config}.d`, '10-more.toml');
    mkdirSync(`${config}.d`);
    writeFileSync(config, '[network]\ndefault_subnt = "x"\n');
    writeFileSync(dropIn, '[streaming]\nport = 70000\n');
    const lines = [
      `${config}, line 2: network.default_subnt: no such key; did you mean network.default_subnet?`,
      `${dropIn}, line 2: streaming.port: must be a number from 0 to 65535`,
    ];
    expect(await troupe('config', '--check', config)).toEqual({
      code: EXIT.config,
      signal: undefined,
      stdout: `${lines.join('\n')}\n`,
      stderr: 'troupe config: 2 errors\n',
    });
    const { stdout } = await troupe('config', '--check', '--json', '--config', config);
    expect(JSON.parse(stdout)).toMatchObject({
      files: [config, dropIn],
      problems: [{ line: 2, key: 'network.default_subnt' }, { file: dropIn }],
    });
    expect(await troupe('config', '--check', join(directory, 'none.toml'))).toMatchObject({
      code: EXIT.config,
      stdout: `${join(directory, 'none.toml')}: not found\n`,
    });
    writeFileSync(config, '');
    writeFileSync(dropIn, '[streaming]\nport = 7000\n');
    expect(await troupe('config', '--check', config)).toMatchObject({
      code: EXIT.ok,
      stdout: `no error in ${config}, ${dropIn}\n`,
    });
  });

  it('F95 a start reports every wrong value, without a stack', async () => {
    const config = join(directory, 'two.toml');
    writeFileSync(config, 'network.default_subnet = "foo"\nspeed = 3\n');
    const { code, stderr } = await troupe('serve', '--config', config, '--log-level', 'loud');
    expect({ code, lines: stderr.trim().split('\n') }).toEqual({
      code: EXIT.config,
      lines: [
        'troupe: read configuration: 3 errors',
        expect.stringContaining(`  ${config}, line 1: network.default_subnet: foo is not an address`),
        `  ${config}, line 2: speed: no such key`,
        expect.stringContaining('  command line: --log-level: loud: must be one of'),
      ],
    });
  });

  it.each([
    [['serve', '--help'], 'troupe serve: serve the CRI'],
    [['start', '-h', '--root', '/nowhere'], 'troupe start: serve as well'],
    [['--json', 'ps', '--help'], 'troupe ps: pods, their containers'],
    [['help'], 'serve the CRI in the foreground\n'],
    [['help', 'why'], 'troupe why: '],
    [['man', 'why'], '.TH TROUPE-WHY 1'],
    [['completion', 'bash'], 'complete -F _troupe troupe'],
  ])('is 0 for help, which nothing else is done for: %j', async (args, expected) => {
    const { code, stdout, stderr } = await troupe(...args);
    expect({ code, stderr }).toEqual({ code: EXIT.ok, stderr: '' });
    expect(stdout).toContain(expected);
  });

  it.each([
    ['ps', '--nonsense'],
    ['serv', '--root'],
    ['--config', 'serve'],
    ['help', 'nonsense'],
    ['completion', 'csh'],
  ])('of any other command is 2: %s %s', async (...args) => {
    expect(await troupe(...args)).toMatchObject({ code: EXIT.usage });
  });

  it('is that of a wrong command line, which is one line that names the command', async () => {
    expect(await troupe('ps', '--nonsense')).toMatchObject({
      code: EXIT.usage,
      stderr: 'troupe ps: no such option --nonsense; see troupe help ps\n',
    });
    expect(await troupe('nonsense')).toMatchObject({
      code: EXIT.usage,
      stderr: 'troupe nonsense: no such command; see troupe help\n',
    });
    // a program's own code may be 2
    expect(await troupe('run', '--nonsense')).toMatchObject({
      code: EXIT.programFailed,
      stderr: 'troupe run: no such option --nonsense; see troupe help run\n',
    });
    const file = join(directory, 'file');
    writeFileSync(file, '');
    const { code, stderr } = await troupe('man', '--write', join(file, 'below'));
    expect([code, stderr]).toEqual([EXIT.failed, expect.stringMatching(/^troupe man: ENOTDIR.*\n$/u)]);
  });

  it('is that of a failure where the output does not fit on the disk', async () => {
    const argv = ['sh', '-c', 'exec "$@" >/dev/full', 'sh', join(checkout, 'bin/troupe')] as const;
    expect(await run([...argv, 'config', '--default'])).toMatchObject({
      code: EXIT.failed,
      stderr: expect.stringMatching(/^troupe config: write the output: ENOSPC: .*\n$/u) as string,
    });
  });

  it('is 0 where the reader of the output has enough', async () => {
    const child = spawn(join(checkout, 'bin/troupe'), ['config', '--default']);
    child.stdout.destroy();
    const said = text(child.stderr);
    expect(await once(child, 'exit')).toEqual([EXIT.ok, null]);
    expect(await said).toBe('');
  });

  it.each(['with', 'without'])(
    'is that of the signal for a command that waits for a daemon that hangs, %s a reader of its notes',
    async (reader) => {
      const config = join(directory, 'wrong.toml');
      // it has something to note
      writeFileSync(config, `speed = 3\nstate = "${directory}"\n`);
      const silent = createServer();
      try {
        silent.listen(join(directory, 'introspection.sock'));
        const asked = once(silent, 'connection');
        const child = spawn(join(checkout, 'bin/troupe'), ['ps', '--config', config]);
        if (reader === 'without') child.stderr.destroy();
        await asked;
        child.kill('SIGTERM');
        expect(await once(child, 'exit')).toEqual([143, null]);
      } finally {
        silent.close();
      }
    },
  );
});
