// src/daemon/launch.ts with a bundle of three lines: when what V8 compiled is kept, and when it is not believed.
import { execFileSync } from 'node:child_process';
import { build } from 'esbuild';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PIN_KINDS } from '../../../src/host/kernel-thread/thread-protocol.ts';
import { checkout } from '../../support/tools/cache.ts';
import { run } from '../../support/run.ts';
import { EVENT_MS } from '../../support/patience.ts';

const directory = mkdtempSync(join(tmpdir(), 'troupe-launch-'));
const cache = join(directory, 'code-cache/daemon.bin');
const bundle = join(directory, 'troupe.cjs');
const asFunction = (text: string): string =>
  `(function(exports,require,module,__filename,__dirname,troupeCompiled,troupeThreadWorker,troupeFiles){\n${text}})\n`;
const TEXT = asFunction(
  "const late = () => require('node:path').basename(__filename);\nconsole.log(late(), __dirname === require('node:path').dirname(__filename));\nif (process.argv[3] !== undefined) troupeCompiled(process.argv[3]);\n",
);

const buildLauncher = async (
  outdir: string,
  define: Readonly<Record<string, string>> = {},
): Promise<unknown> =>
  await build({
    entryPoints: { launch: join(checkout, 'src/daemon/launch.ts') },
    outdir,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    banner: { js: "const launchUrl = require('node:url').pathToFileURL(__filename).href;" },
    define: { 'import.meta.url': 'launchUrl', ...define },
  });

beforeAll(async () => {
  await buildLauncher(directory);
  writeFileSync(bundle, TEXT);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Runs the bundle as the daemon; `kept` is what it keeps. */
async function launch(kept?: string, from = directory): Promise<void> {
  const words = kept === undefined ? [] : [kept];
  const ended = await run([process.execPath, join(from, 'launch.cjs'), 'serve', ...words]);
  expect(ended).toMatchObject({ code: 0, stdout: 'troupe.cjs true\n', stderr: '' });
}

const runs = (): unknown =>
  (JSON.parse(readFileSync(cache, 'latin1').split('\n')[0] ?? '') as { runs: unknown }).runs;

it('the cache keeps requested results, one for each kind of run', async () => {
  await launch();
  expect(existsSync(cache)).toBe(false);
  await launch('start');
  expect(runs()).toEqual(['start']);
  expect(statSync(cache).mode & 0o777).toBe(0o600);
  const { ino } = statSync(cache);
  await launch('start');
  expect(statSync(cache).ino).toBe(ino);
  await launch('recovery');
  expect(runs()).toEqual(['start', 'recovery']);
});

it('the cache ignores partial results and those of another bundle', async () => {
  await launch('start');
  const whole = readFileSync(cache);
  for (const spoil of [
    () => truncateSync(cache, whole.length - 1),
    () => truncateSync(cache, 20),
    () => truncateSync(cache, 0),
    () => appendFileSync(cache, 'x'),
    () => writeFileSync(cache, Buffer.from(whole).fill(1, whole.length - 8)),
    () => writeFileSync(cache, 'no line at all'.repeat(1000)),
  ]) {
    spoil();
    // were it believed, a start would be in it already and nothing written
    await launch('pods');
    expect(runs()).toEqual(['pods']);
  }
  // another text of the same length, which V8 would take for the same
  writeFileSync(bundle, TEXT.replaceAll('late', 'last'));
  utimesSync(bundle, 1, 1);
  await launch('start');
  expect(runs()).toEqual(['start']);
});

it('a bundle of the same size and time with another digest gets no code of the first, as in images without times', async () => {
  const other = mkdtempSync(join(tmpdir(), 'troupe-launch-'));
  try {
    for (const [digest, text] of [
      ['a', TEXT],
      ['b', TEXT.replaceAll('late', 'last')],
    ] as const) {
      await buildLauncher(other, { TROUPE_BUNDLE: JSON.stringify(digest) });
      writeFileSync(join(other, 'troupe.cjs'), text);
      utimesSync(join(other, 'troupe.cjs'), 1, 1);
      await launch('start', other);
      const [head = ''] = readFileSync(join(other, 'code-cache/daemon.bin'), 'latin1').split('\n');
      expect(JSON.parse(head)).toMatchObject({ bundle: `${digest} ${text.length} 1000`, runs: ['start'] });
    }
  } finally {
    rmSync(other, { recursive: true });
  }
});

it('a package has a link in the place of the directory: its target is made, and nothing is written beside the bundle', async () => {
  const target = join(directory, 'elsewhere/deep');
  rmSync(dirname(cache), { recursive: true, force: true });
  symlinkSync(target, dirname(cache));
  try {
    await launch('start');
    expect([statSync(target).mode & 0o777, runs()]).toEqual([0o700, ['start']]);
    await launch('recovery');
    expect(runs()).toEqual(['start', 'recovery']);
  } finally {
    rmSync(dirname(cache));
  }
});

it('F89 a FIFO in the place of the cache, or of its temporary file, is neither read nor written', async () => {
  mkdirSync(dirname(cache), { recursive: true });
  rmSync(cache, { force: true });
  execFileSync('mkfifo', [cache]);
  await launch();
  expect(statSync(cache).isFIFO()).toBe(true);
  await launch('start');
  expect([statSync(cache).isFile(), runs()]).toEqual([true, ['start']]);
  const planted = 'mkfifo "$0.$$"; exec "$@"';
  const ended = await run(
    ['/bin/sh', '-c', planted, cache, process.execPath, join(directory, 'launch.cjs'), 'serve', 'recovery'],
    { timeoutMs: EVENT_MS },
  );
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  expect(runs()).toEqual(['start', 'recovery']);
});

it('F89 the launcher runs with a directory in the place of the cache', async () => {
  rmSync(cache, { force: true });
  mkdirSync(join(cache, 'below'), { recursive: true });
  await launch('start');
  expect(existsSync(join(cache, 'below'))).toBe(true);
});

it('hands the worker of the kernel thread to the daemon alone, and the program ends without it', async () => {
  // it fails meanwhile: that is reported with the first request
  writeFileSync(join(directory, 'kernel-worker.js'), "throw new Error('broken');\n");
  writeFileSync(
    bundle,
    asFunction('console.log(troupeThreadWorker?.host.map(({ kind }) => kind).join());\n'),
  );
  const stdoutOf = async (command: string): Promise<string> => {
    const ended = await run([process.execPath, join(directory, 'launch.cjs'), command]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    return ended.stdout.trim();
  };
  expect(await stdoutOf('serve')).toBe(PIN_KINDS.join());
  expect(await stdoutOf('start')).toBe(PIN_KINDS.join());
  expect(await stdoutOf('version')).toBe('undefined');
});

it('F93 hands over the files as they were at the start, and does not touch the cache of another bundle', async () => {
  const other = mkdtempSync(join(tmpdir(), 'troupe-launch-'));
  const at = (name: string): string => join(other, name);
  try {
    await buildLauncher(other);
    writeFileSync(at('worker.js'), 'of the start');
    writeFileSync(
      at('troupe.cjs'),
      asFunction(`const { readFileSync, renameSync, rmSync, writeFileSync } = require('node:fs');
writeFileSync(__filename + '.new', 'of another version');
renameSync(__filename + '.new', __filename);
rmSync(__dirname + '/worker.js');
console.log(readFileSync('/proc/self/fd/' + troupeFiles.fds['worker.js'], 'latin1'), troupeFiles.fds['yaml.js']);
troupeCompiled('start');
`),
    );
    const ended = await run([process.execPath, at('launch.cjs'), 'version']);
    expect(ended).toMatchObject({ code: 0, stdout: 'of the start undefined\n', stderr: '' });
    expect(existsSync(at('code-cache'))).toBe(false);
  } finally {
    rmSync(other, { recursive: true });
  }
});
