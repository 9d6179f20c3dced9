// Logs through the running daemon and conmon: a disk that is full, a daemon that dies, links in the log's place.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describePods } from '../../e2e/support/crictl.ts';
import type { World } from '../../e2e/support/world.ts';
import { code, refusalOf } from './refusal.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';
import { injects } from '../../support/faults/injects.ts';

const noSpace = injects('F23', 'ENOSPC on the disk of a container log');

/** Writes the numbers that it is given, and confirms each in a file. */
const TELLER =
  'mkfifo /go; echo up; while :; do read from to < /go || continue; seq $from $to; echo > /said-$to; done';
/** Writes numbers until it is asked to end, some ten thousand a second. */
const COUNTER =
  'i=0; while [ ! -e /end ]; do i=$((i+1)); echo $i; [ $((i % 100)) -ne 0 ] || sleep 0.01; done; echo > /ended; exec sleep 3600';

describePods('logs', () => {
  let world: World;
  beforeAll(async () => {
    world = await hostOnlyWorld('logs');
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  interface Writer {
    readonly sandboxId: string;
    readonly containerId: string;
    readonly log: string;
    readonly inside: (text: string) => Promise<void>;
    /** Has it write these, and waits until it has. */
    readonly say: (from: number, to: number) => Promise<void>;
    readonly reopen: () => Promise<unknown>;
  }

  async function writer(name: string, script: string): Promise<Writer> {
    const { sandboxId, containerId } = await makePod(world, name, { command: ['sh', '-c', script] });
    const { runtime } = world.client;
    await runtime.startContainer({ containerId });
    const inside = async (text: string): Promise<void> => {
      const { exitCode } = await runtime.execSync({ containerId, cmd: ['sh', '-c', text], timeout: 60n });
      expect(exitCode).toBe(0);
    };
    return {
      sandboxId,
      containerId,
      log: join(world.logs, name, 'main/0.log'),
      inside,
      say: (from, to) =>
        inside(
          `until [ -p /go ]; do :; done; echo ${from} ${to} > /go; until [ -e /said-${to} ]; do :; done`,
        ),
      reopen: () => runtime.reopenContainerLog({ containerId }),
    };
  }

  const lines = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);
  const numbers = (path: string): number[] =>
    lines(path).map((line) => Number(/ stdout F (\d+)$/u.exec(line)?.[1] ?? Number.NaN));
  const range = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_none, at) => from + at);
  /** Ended, so that conmon has written what it had read. */
  const end = ({ containerId }: Writer): Promise<unknown> =>
    world.client.runtime.stopContainer({ containerId, timeout: 0n });
  const isRunning = async ({ containerId }: Writer): Promise<void> => {
    expect((await world.client.runtime.containerStatus({ containerId })).status?.state).toBe(1);
  };

  const withSmallDisk = async (
    name: string,
    options: string,
    work: (writer: Writer) => Promise<void>,
  ): Promise<void> => {
    const directory = join(world.logs, name);
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, `troupe-${name}`, directory]);
    try {
      const made = await writer(name, TELLER);
      await work(made);
      await removePod(world, made.sandboxId);
    } finally {
      execFileSync('umount', ['--lazy', directory]);
    }
  };

  it('F12 F23 a full disk neither blocks nor ends the container; what it writes meanwhile is lost, and the log goes on once there is room', async () => {
    await withSmallDisk('full', 'size=256k,mode=755', async (made) => {
      const filler = join(world.logs, 'full/filler');
      await made.say(1, 100);
      execFileSync('sh', ['-c', `dd if=/dev/zero of=${filler} bs=4k 2>/dev/null || true`]);
      await made.say(101, 5000);
      await isRunning(made);
      // renamed and reopened while there is no room: that needs none
      renameSync(made.log, `${made.log}.full`);
      await made.reopen();
      await made.say(5001, 6000);
      rmSync(filler);
      await made.say(6001, 6100);
      renameSync(made.log, `${made.log}.second`);
      await made.reopen();
      await made.say(6101, 6200);
      await isRunning(made);
      await end(made);
      // conmon drops what the disk refuses, and cuts the line that it was at
      const kept = numbers(`${made.log}.full`);
      expect(kept.slice(1, 101)).toEqual(range(1, 100));
      // some of the first 6000 lines are missing: the disk refused them
      if (kept.length < 6000) noSpace.happened();
      expect(numbers(`${made.log}.second`).slice(-99)).toEqual(range(6002, 6100));
      expect(numbers(made.log)).toEqual(range(6101, 6200));
    });
  });

  it('F12 F23 a reopen that cannot make a file is refused, and the monitor goes on with the old file', async () => {
    await withSmallDisk('files', 'size=1m,nr_inodes=16,mode=755', async (made) => {
      await made.say(1, 10);
      renameSync(made.log, `${made.log}.old`);
      const directory = dirname(made.log);
      execFileSync('sh', ['-c', `i=0; while touch ${directory}/filler-$i 2>/dev/null; do i=$((i+1)); done`]);
      const refusal = await refusalOf(made.reopen());
      expect(refusal.code).not.toBe(0);
      expect(refusal.details).toContain('reopen log of container');
      noSpace.happened();
      await made.say(11, 20);
      await isRunning(made);
      for (const name of readdirSync(directory))
        if (name.startsWith('filler-')) rmSync(join(directory, name));
      await made.reopen();
      await made.say(21, 30);
      await end(made);
      expect(numbers(`${made.log}.old`).slice(1)).toEqual(range(1, 20));
      expect(numbers(made.log)).toEqual(range(21, 30));
    });
  });

  it('I9 no line is lost or doubled while the daemon is killed and the log is rotated under a container that writes', async () => {
    const made = await writer('count', COUNTER);
    const rotated: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      rotated.push(`${made.log}.${round}`);
      renameSync(made.log, `${made.log}.${round}`);
      // killed before, during or after it: the kubelet asks again, and nothing it has is emptied
      const cut = refusalOf(made.reopen());
      if (round % 2 === 0) await cut;
      await world.instance.kill();
      await cut;
      await world.instance.start();
      await made.reopen();
    }
    await made.inside('echo > /end; until [ -e /ended ]; do :; done');
    await end(made);
    const all = [...rotated, made.log].flatMap(numbers);
    expect(all.length).toBeGreaterThan(100);
    expect(all).toEqual(range(1, all.length));
    await removePod(world, made.sandboxId);
  });

  it('I9 no line is lost when several calls at once ask for one rotation', async () => {
    const made = await writer('atonce', COUNTER);
    const rotated: string[] = [];
    for (let round = 0; round < 20; round += 1) {
      rotated.push(`${made.log}.${round}`);
      renameSync(made.log, `${made.log}.${round}`);
      await Promise.all([made.reopen(), made.reopen(), made.reopen(), made.reopen()]);
    }
    await made.inside('echo > /end; until [ -e /ended ]; do :; done');
    await end(made);
    const all = [...rotated, made.log].flatMap(numbers);
    expect(all).toEqual(range(1, all.length));
    await removePod(world, made.sandboxId);
  });

  it('S09 S32 S75 a reopen refuses a link, a directory or a FIFO in the place of a log or its directory, and follows none', async () => {
    const made = await writer('links', TELLER);
    const target = join(world.logs, 'secret');
    writeFileSync(target, 'kept');
    await made.say(1, 10);
    renameSync(made.log, `${made.log}.old`);
    const planted: readonly (readonly [string, () => void])[] = [
      [made.log, () => symlinkSync(target, made.log)],
      [`${made.log}.tmp`, () => symlinkSync(target, `${made.log}.tmp`)],
      [made.log, () => mkdirSync(made.log)],
      [made.log, () => execFileSync('mkfifo', [made.log])],
    ];
    for (const [path, plant] of planted) {
      plant();
      expect((await refusalOf(made.reopen())).code, path).toBe(code.invalidArgument);
      expect(readFileSync(target, 'utf8')).toBe('kept');
      rmSync(path, { recursive: true });
    }
    const directory = dirname(made.log);
    renameSync(directory, `${directory}.moved`);
    mkdirSync(join(world.logs, 'elsewhere'));
    symlinkSync(join(world.logs, 'elsewhere'), directory);
    await refusalOf(made.reopen());
    rmSync(directory);
    renameSync(`${directory}.moved`, directory);
    await made.reopen();
    await made.say(11, 20);
    await isRunning(made);
    await end(made);
    expect(numbers(made.log)).toEqual(range(11, 20));
    await removePod(world, made.sandboxId);
  });

  it('S09 S32 S75 a log that is a link when the container is made is refused, and the mounts of the host stay as they were', async () => {
    // other tests mount, too
    const mounts = (): string[] =>
      readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(`${world.instance.directory}/`));
    const before = mounts();
    const target = join(world.logs, 'other-secret');
    writeFileSync(target, 'kept');
    mkdirSync(join(world.logs, 'made/main'), { recursive: true });
    symlinkSync(target, join(world.logs, 'made/main/0.log'));
    const pods = (await world.client.runtime.listPodSandbox({})).items.length;
    expect((await refusalOf(makePod(world, 'made'))).code).toBe(code.invalidArgument);
    expect(readFileSync(target, 'utf8')).toBe('kept');
    const { items } = await world.client.runtime.listPodSandbox({});
    expect(items.length).toBe(pods + 1);
    for (const { id, metadata } of items) if (metadata?.name === 'made') await removePod(world, id);
    expect(mounts()).toEqual(before);
  });

  it('only members of the group can read a log, also after a rotation', async () => {
    const made = await writer('mode', TELLER);
    const modeOf = (path: string): number => statSync(path).mode & 0o777;
    expect(modeOf(made.log)).toBe(0o640);
    renameSync(made.log, `${made.log}.old`);
    await made.reopen();
    expect(modeOf(made.log)).toBe(0o640);
    await made.say(1, 10);
    await end(made);
    // the word that it begins with is in either
    expect([`${made.log}.old`, made.log].flatMap(numbers).slice(1)).toEqual(range(1, 10));
    expect(readdirSync(dirname(made.log)).toSorted()).toEqual(['0.log', '0.log.old']);
    await removePod(world, made.sandboxId);
  });

  it('a log that is truncated in place is written on', async () => {
    const made = await writer('emptied', TELLER);
    await made.say(1, 10);
    truncateSync(made.log);
    await made.say(11, 20);
    await end(made);
    expect(existsSync(made.log) && lstatSync(made.log).isFile()).toBe(true);
    expect(readFileSync(made.log, 'utf8')).toMatch(/ stdout F 20\n$/u);
    await removePod(world, made.sandboxId);
  });
});
