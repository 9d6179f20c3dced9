// Container logs: CRI's format, partial lines, rotation. All from the host's file, as the kubelet reads it.
import { injects } from '../../support/faults/injects.ts';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { holds, matches, refused, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { joined, type LogLine, linesOf, sh, type Trial } from '../trial.ts';
import { eventually } from '../../support/eventually.ts';

async function logOf(
  t: Trial,
  change: ContainerConfig,
): Promise<{ readonly file: string; readonly lines: LogLine[] }> {
  const pod = await t.plain();
  const config = await t.container(change);
  const id = await t.createFrom(config);
  await t.runtime.startContainer({ containerId: id });
  await t.ended(id);
  const file = join(pod.logs, config.logPath);
  return { file, lines: linesOf(file) };
}

/** Writes numbered lines until its end; `go` lets it begin. */
const COUNTING =
  'echo up; i=0; while [ $i -lt 3000 ]; do echo line-$i; i=$((i+1)); done; echo over; while :; do sleep 1; done';

const payload = (file: string): string[] => joined(linesOf(file), 'stdout').trimEnd().split('\n');

const rotated = injects('F76', 'the log is renamed and opened anew while lines are written');

export const logs: Group = {
  title: 'Logs',
  perHandler: false,
  rows: [
    row('format', 'time with nanoseconds and zone, stream, tag, text', async (t) => {
      const { file } = await logOf(t, sh('echo "hello  world"'));
      matches(
        readFileSync(file, 'utf8'),
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d) stdout F hello {2}world\n$/u,
      );
    }),
    row('format', 'stdout and stderr are kept apart, in order within each', async (t) => {
      const { lines } = await logOf(t, sh('echo a; echo b >&2; echo c; echo d >&2'));
      same([joined(lines, 'stdout'), joined(lines, 'stderr')], ['a\nc\n', 'b\nd\n']);
    }),
    row('format', 'times do not go back within a stream', async (t) => {
      const { lines } = await logOf(t, sh('for i in 1 2 3 4 5; do echo $i; done'));
      const times = lines.map(({ time }) => Date.parse(time));
      same(
        times,
        times.toSorted((a, b) => a - b),
      );
    }),
    row('format', 'an empty line is a line', async (t) =>
      same(
        (await logOf(t, sh('echo; echo x'))).lines.map(({ tag, text }) => `${tag}${text}`),
        ['F', 'Fx'],
      ),
    ),
    row('partial', 'a line of 100 KiB is P…F and comes whole when joined', async (t) => {
      const { lines } = await logOf(t, sh('head -c 102400 /dev/zero | tr "\\0" x; echo; echo after'));
      same(joined(lines, 'stdout'), `${'x'.repeat(102_400)}\nafter\n`);
      same(lines.at(0)?.tag, 'P');
    }),
    row('partial', 'output without a line break at the end is there', async (t) => {
      const { lines } = await logOf(t, sh('printf unfinished'));
      matches(joined(lines, 'stdout'), /^unfinished\n?$/u);
    }),
    row('binary', 'bytes that are no UTF-8 are kept', async (t) => {
      const { file } = await logOf(t, sh('printf "a\\377\\001b\\n"'));
      holds(readFileSync(file).includes(Buffer.from([0x61, 0xff, 0x01, 0x62, 0x0a])), 'they are not');
    }),
    row('binary', "a carriage return is kept or taken as part of the line's end", async (t) => {
      matches(joined((await logOf(t, sh('printf "x\\r\\ny\\n"'))).lines, 'stdout'), /^x\r?\ny\n$/u);
    }),
    row('tty', 'all is stdout', async (t) => {
      const { lines } = await logOf(t, { ...sh('echo a; echo b >&2'), tty: true });
      same([...new Set(lines.map(({ stream }) => stream))], ['stdout']);
      matches(joined(lines, 'stdout'), /a\r?\nb/u);
    }),
    row('log_path', 'directories below the log directory are made', async (t) => {
      const { file } = await logOf(t, { ...sh('echo x'), logPath: `${t.stage.name('deep')}/a/0.log` });
      holds(existsSync(file), 'no file');
    }),
    row('log_path', 'is an absolute path in ContainerStatus', async (t) => {
      const { logs: directory } = await t.plain();
      const config = await t.container();
      same((await t.status(await t.createFrom(config))).logPath, join(directory, config.logPath));
    }),
    row('log_path', 'empty: the container runs, no file of it is in the log directory', async (t) => {
      const { logs: directory } = await t.pod().then(async (pod) => {
        const id = await t.start({ ...sh('echo x'), logPath: '' }, pod);
        same((await t.ended(id)).exitCode, 0);
        return pod;
      });
      same(readdirSync(directory), []);
    }),
    row('log_path', 'the file cannot be read by everyone', async (t) => {
      const { file } = await logOf(t, sh('echo x'));
      same(statSync(file).mode & 0o007, 0);
    }),
    row('log_path', 'a file that is there already is appended to', async (t) => {
      const { logs: directory } = await t.plain();
      const name = `${t.stage.name('before')}.log`;
      writeFileSync(join(directory, name), '2026-01-01T00:00:00.000000000Z stdout F before\n', {
        mode: 0o600,
      });
      await logOf(t, { ...sh('echo after'), logPath: name });
      same(payload(join(directory, name)), ['before', 'after']);
    }),
    row('log_path', 'a directory in its place is refused', async (t) => {
      const { logs: directory } = await t.plain();
      const name = `${t.stage.name('dir')}.log`;
      mkdirSync(join(directory, name));
      const begin = async (): Promise<void> => void (await t.start({ logPath: name }));
      await refused(begin(), ['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'UNKNOWN', 'ALREADY_EXISTS']);
    }),
    row('volume', '20000 lines are all there', async (t) => {
      const { file } = await logOf(t, sh('seq 1 20000'));
      same(
        payload(file),
        Array.from({ length: 20_000 }, (_none, at) => String(at + 1)),
      );
    }),
    row(
      'ReopenContainerLog',
      'makes a new file at the same path; the old one gets nothing more',
      async (t) => {
        const { id, log } = await t.up(
          "echo up; trap 'echo second' USR1; while :; do sleep 1000 & wait $!; done",
        );
        renameSync(log, `${log}.old`);
        await t.runtime.reopenContainerLog({ containerId: id });
        holds(existsSync(log), 'no new file');
        process.kill(await t.pid(id), 'SIGUSR1');
        await eventually('the line', () => (linesOf(log).length > 0 ? true : undefined));
        same([payload(`${log}.old`), payload(log)], [['up'], ['second']]);
      },
    ),
    row('ReopenContainerLog', 'while lines are written: none is lost, none comes twice (F76)', async (t) => {
      const { id, log } = await t.up(COUNTING);
      const files: string[] = [];
      for (let times = 0; times < 5; times += 1) {
        files.push(`${log}.${times}`);
        renameSync(log, `${log}.${times}`);
        await t.runtime.reopenContainerLog({ containerId: id });
        rotated.happened();
      }
      await eventually('the last line', () =>
        [...files, log].some((file) => payload(file).includes('over')) ? true : undefined,
      );
      // over all files together: a reopen may come between the two pieces of a line that the monitor read in two
      const all = joined([...files, log].flatMap(linesOf), 'stdout')
        .split('\n')
        .filter((line) => line.startsWith('line-'));
      same(
        all,
        Array.from({ length: 3000 }, (_none, at) => `line-${at}`),
      );
    }),
    row('ReopenContainerLog', 'twice, and without a rename: success, nothing is lost', async (t) => {
      const { id, log } = await t.up('echo up; while :; do sleep 1; done');
      for (let times = 0; times < 2; times += 1) await t.runtime.reopenContainerLog({ containerId: id });
      same(payload(log), ['up']);
    }),
    row(
      'ReopenContainerLog',
      'of a CREATED container is FailedPrecondition',
      async (t) =>
        await refused(t.runtime.reopenContainerLog({ containerId: await t.create() }), 'FAILED_PRECONDITION'),
    ),
    row(
      'ReopenContainerLog',
      'of an EXITED container is FailedPrecondition, and no file is made',
      async (t) => {
        const pod = await t.plain();
        const config = await t.container(sh('echo x'));
        const containerId = await t.createFrom(config);
        await t.runtime.startContainer({ containerId });
        await t.ended(containerId);
        const file = join(pod.logs, config.logPath);
        renameSync(file, `${file}.old`);
        await refused(t.runtime.reopenContainerLog({ containerId }), 'FAILED_PRECONDITION');
        holds(!existsSync(file), 'a file was made');
      },
    ),
  ],
};
