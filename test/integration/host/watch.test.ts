import {
  closeSync,
  mkdirSync,
  openSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makePipe } from '../../../src/host/io/descriptors.ts';
import { killProcess, processIdentity } from '../../../src/host/process/process-identity.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import { pollReadable } from '../../../src/host/io/poll.ts';
import { watchDirectory, watchProcess } from '../../../src/host/process/watch.ts';
import { describeAsRoot, scratchDirectory } from './support.ts';

/** A list that can be waited on until it holds something. */
class Seen {
  readonly items: string[] = [];
  readonly #waiting = new Map<string, () => void>();

  add(item: string): void {
    this.items.push(item);
    this.#waiting.get(item)?.();
  }

  async until(item: string): Promise<void> {
    if (this.items.includes(item)) return;
    await new Promise<void>((resolve) => {
      this.#waiting.set(item, resolve);
    });
  }
}

function watcher(seen: Seen): { onName(name: string): void; onRescan(reason: string): void } {
  return { onName: (name) => seen.add(name), onRescan: (reason) => seen.add(`rescan: ${reason}`) };
}

describeAsRoot('watching a directory', () => {
  const scratch = scratchDirectory('watch');
  let count = 0;
  const makeDirectory = (): string => {
    const path = join(scratch, `d${(count += 1)}`);
    mkdirSync(path);
    return path;
  };

  test('a written and a renamed file are announced, each once', async () => {
    const [path, seen] = [makeDirectory(), new Seen()];
    writeFileSync(join(path, 'before'), '');
    const watch = await watchDirectory(path, watcher(seen));
    writeFileSync(join(path, 'written'), '137');
    writeFileSync(join(scratch, 'elsewhere'), '0');
    renameSync(join(scratch, 'elsewhere'), join(path, 'renamed'));
    await seen.until('renamed');
    expect(seen.items).toEqual(['written', 'renamed']);
    watch.close();
    watch.close();
  });

  test('F41: more files at once than the queue holds lead to a rescan, and the watch goes on', async () => {
    const [path, seen] = [makeDirectory(), new Seen()];
    const watch = await watchDirectory(path, watcher(seen));
    // the event loop has no turn meanwhile; the kernel's queue holds 16384 by default
    for (let index = 0; index < 20_000; index += 1) closeSync(openSync(join(path, `file-${index % 2}`), 'a'));
    await seen.until('rescan: overflow');
    expect(seen.items).toContain('file-0');
    writeFileSync(join(path, 'after'), '');
    await seen.until('after');
    watch.close();
  });

  test('F41: a deleted directory is reported as lost, once; a missing one is refused', async () => {
    for (const goAway of [
      (path: string) => rmSync(path, { recursive: true }),
      (path: string) => renameSync(path, `${path}.moved`),
    ]) {
      const [path, seen] = [makeDirectory(), new Seen()];
      const watch = await watchDirectory(path, watcher(seen));
      goAway(path);
      await seen.until('rescan: lost');
      expect(seen.items).toEqual(['rescan: lost']);
      watch.close();
    }
    const nothing = watchDirectory(join(scratch, 'nothing'), watcher(new Seen()));
    await expect(nothing).rejects.toMatchObject({ code: 'ENOENT' });
    writeFileSync(join(scratch, 'file'), '');
    await expect(watchDirectory(join(scratch, 'file'), watcher(new Seen()))).rejects.toMatchObject({
      code: 'ENOTDIR',
    });
  });

  test('no descriptor stays open', async () => {
    const before = readdirSync('/proc/self/fd').length;
    const watches = await Promise.all(
      Array.from({ length: 20 }, () => watchDirectory(scratch, watcher(new Seen()))),
    );
    for (const watch of watches) watch.close();
    expect(readdirSync('/proc/self/fd')).toHaveLength(before);
  });
});

describeAsRoot('watching processes', () => {
  test('hundreds of processes are watched at once without threads', async () => {
    const seen = new Seen();
    const children = await Promise.all(
      Array.from({ length: 200 }, () => spawnProcess({ argv: ['/bin/sleep', '1000'], env: {} })),
    );
    const threads = readdirSync('/proc/self/task').length;
    const fds = readdirSync('/proc/self/fd').length;
    for (const child of children) watchProcess(child.identity, () => seen.add(String(child.pid)));
    expect(readdirSync('/proc/self/task')).toHaveLength(threads);
    for (const child of children) killProcess(child.identity, 9);
    for (const child of children) await seen.until(String(child.pid));
    expect(seen.items).toHaveLength(200);
    expect(readdirSync('/proc/self/fd')).toHaveLength(fds);
    await Promise.all(children.map((child) => child.exited));
  });

  test('a watch works for another’s child, for a process that is gone, and not once it is closed', async () => {
    const seen = new Seen();
    const pipe = makePipe();
    // the grandchild outlives its parent and belongs to init then
    const argv = ['/bin/sh', '-c', 'sleep 1000 & echo $!'];
    const parent = await spawnProcess({ argv, env: { PATH: '/usr/bin:/bin' }, stdout: pipe.write });
    closeSync(pipe.write);
    await parent.exited;
    const line = Buffer.alloc(32);
    const pid = Number(line.toString('latin1', 0, readSync(pipe.read, line)));
    closeSync(pipe.read);
    const grandchild = processIdentity(pid);
    if (grandchild === undefined) throw new Error('the grandchild is gone');
    watchProcess(grandchild, () => seen.add('grandchild'));
    watchProcess(grandchild, () => seen.add('closed')).close();
    watchProcess(parent.identity, () => seen.add('gone'));
    watchProcess(parent.identity, () => seen.add('closed')).close();
    await seen.until('gone');
    killProcess(grandchild, 9);
    await seen.until('grandchild');
    expect(seen.items).toEqual(['gone', 'grandchild']);
  });

  test('an unread event is announced again', async () => {
    const seen = new Seen();
    const pipe = makePipe();
    writeSync(pipe.write, 'abc');
    const byte = Buffer.alloc(1);
    const poll = pollReadable(pipe.read, () => {
      readSync(pipe.read, byte);
      seen.add(byte.toString());
    });
    await seen.until('c');
    expect(seen.items).toEqual(['a', 'b', 'c']);
    poll.close();
    closeSync(pipe.read);
    closeSync(pipe.write);
  });
});
