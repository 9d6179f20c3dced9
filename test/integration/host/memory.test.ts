/** Memory that malloc holds without use goes back to the kernel; glibc itself gives back only the end of an arena. */
import { describe, expect, test } from 'vitest';
import { run } from '../../support/run.ts';

describe('memory', () => {
  test('memory freed in the middle of the heap is returned', async () => {
    // in a process of its own: another test's garbage plays no part
    const program = `
      const { trim } = await import(${JSON.stringify(new URL('../../../src/host/tuning/memory.ts', import.meta.url).href)});
      const koffi = (await import('koffi')).default;
      const libc = koffi.load('libc.so.6');
      const malloc = libc.func('void *malloc(size_t)');
      const free = libc.func('void free(void *)');
      const memset = libc.func('void *memset(void *, int, size_t)');
      const blocks = Array.from({ length: 20000 }, () => { const block = malloc(4096); memset(block, 1, 4096); return block; });
      const last = blocks.pop();
      for (const block of blocks) free(block);
      const before = process.memoryUsage.rss();
      await trim();
      console.log(JSON.stringify({ givenBackMib: (before - process.memoryUsage.rss()) / 2 ** 20, last: last !== null }));
    `;
    const ended = await run([process.execPath, '--input-type=module', '-e', program]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const { givenBackMib } = JSON.parse(ended.stdout) as { givenBackMib: number };
    // of 78 MiB
    expect(givenBackMib).toBeGreaterThan(40);
  });

  test('pages of the program that the start used are released, and mapped again on use', async () => {
    const program = `
      const { releaseProgramPages } = await import(${JSON.stringify(new URL('../../../src/host/tuning/program-pages.ts', import.meta.url).href)});
      const { readFileSync } = await import('node:fs');
      const fileKiB = () => Number(/RssFile:\\s+(\\d+)/u.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      const work = () => [JSON.stringify({ a: [1.5, 'ä'.normalize('NFD')] }), new Intl.NumberFormat('de').format(1234.5), eval('(() => 6 * 7)()')].join(' ');
      const before = [fileKiB(), work()];
      await releaseProgramPages();
      const after = [fileKiB(), work()];
      console.log(JSON.stringify({ before, after }));
    `;
    const ended = await run([process.execPath, '--input-type=module', '-e', program]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const { before, after } = JSON.parse(ended.stdout) as Record<
      'before' | 'after',
      readonly [number, string]
    >;
    expect(after[1]).toBe(before[1]);
    expect(after[0]).toBeLessThan(before[0] / 2);
  });
});
