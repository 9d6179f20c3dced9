// bin/troupe and scripts/setup.js from outside: what they refuse and what they hand on.
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkout } from '../../support/tools/cache.ts';
import { run } from '../../support/run.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const nodePackage = `node-linux-${process.arch}`;

describe('the launcher', () => {
  let directory = '';
  const script =
    "console.log(JSON.stringify({ version: process.version, flags: process.execArgv, args: process.argv.slice(2), pool: process.env['UV_THREADPOOL_SIZE'], options: process.env['NODE_OPTIONS'] ?? null, which: 'WHICH' }));\n";

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe launcher-'));
    mkdirSync(join(directory, 'src/daemon'), { recursive: true });
    mkdirSync(join(directory, 'node_modules'));
    cpSync(join(checkout, 'bin'), join(directory, 'bin'), { recursive: true });
    symlinkSync(join(checkout, 'node_modules', nodePackage), join(directory, 'node_modules', nodePackage));
    writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
    writeFileSync(join(directory, 'src/daemon/main.ts'), script.replace('WHICH', 'source'));
    symlinkSync(join(directory, 'bin/troupe'), join(directory, 'linked'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const launch = async (name: string, args: string[] = [], cwd = '/'): Promise<Record<string, unknown>> => {
    const env = {
      NODE_OPTIONS: '--no-such-option',
      UV_THREADPOOL_SIZE: '4',
      CDPATH: '/usr',
      PATH: '/usr/bin:/bin',
    };
    const ended = await run([cwd === '/' ? join(directory, name) : name, ...args], { env, cwd });
    expect(ended.stderr).toBe('');
    return JSON.parse(ended.stdout) as Record<string, unknown>;
  };

  it('S82: runs the pinned Node with its flags, whatever the caller has set in NODE_OPTIONS, also through a link', async () => {
    for (const name of ['bin/troupe', 'linked']) {
      expect(await launch(name, ['serve', '--root', '/a b'])).toEqual({
        version: process.version,
        flags: ['--disable-sigusr1', '--disable-proto=throw', '--max-semi-space-size=2'],
        args: ['serve', '--root', '/a b'],
        pool: '16',
        options: null,
        which: 'source',
      });
    }
  });

  it('finds itself below a linked directory, and by a relative path in spite of CDPATH', async () => {
    const link = `${directory}-link`;
    symlinkSync(directory, link);
    try {
      const ended = await run([join(link, 'bin/troupe'), 'serve'], {
        env: { PATH: '/usr/bin:/bin' },
        cwd: '/',
      });
      expect(ended).toMatchObject({ code: 0, stderr: '' });
    } finally {
      rmSync(link);
    }
    expect(await launch('bin/troupe', [], directory)).toMatchObject({ which: 'source' });
    expect(await launch('./troupe', [], join(directory, 'bin'))).toMatchObject({ which: 'source' });
  });

  it('prefers an existing bundle', async () => {
    mkdirSync(join(directory, 'dist'));
    writeFileSync(join(directory, 'dist/launch.cjs'), script.replace('WHICH', 'bundle'));
    writeFileSync(join(directory, 'dist/troupe.cjs'), '');
    expect(await launch('bin/troupe')).toMatchObject({ which: 'bundle' });
    rmSync(join(directory, 'dist'), { recursive: true });
  });

  it('says what to do when the pinned Node is missing', async () => {
    rmSync(join(directory, 'node_modules', nodePackage));
    const ended = await run([join(directory, 'bin/troupe')]);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain("run 'npm install'");
  });
});

describe('the set-up script', () => {
  const setup = join(checkout, 'scripts/setup.js');

  it('refuses an unknown mode, and lists the known ones', async () => {
    const ended = await run([process.execPath, setup, 'everything']);
    expect(ended).toMatchObject({
      code: 1,
      stderr: 'set-up: unknown mode "everything"; there are: packages, start, package, demo, test, vm\n',
    });
  });

  const isRoot = process.getuid?.() === 0;
  if (!isRoot)
    console.log('skipped: the set-up without root, as npm 8 runs it (to become another user takes root)');
  unless(it, notRoot())(
    'says what to do when it needs root, above all when npm 8 has given it up under sudo',
    async () => {
      const asNobody = ['setpriv', '--reuid=65534', '--clear-groups', process.execPath, setup, 'start'];
      const plain = await run(asNobody, {
        env: { npm_config_user_agent: 'npm/10.8.2 node/v20', SUDO_UID: undefined },
      });
      expect(plain).toMatchObject({ code: 1 });
      expect(plain.stderr).toContain('sudo npm start');
      const npm8 = await run(asNobody, {
        env: { npm_config_user_agent: 'npm/8.19.2 node/v18', SUDO_UID: '65534' },
      });
      expect(npm8).toMatchObject({ code: 1 });
      expect(npm8.stderr).toContain(
        'npm 8 runs scripts as the owner of the checkout (uid 65534), even under sudo',
      );
    },
  );
});
