import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { rulesIn } from '../../../../src/daemon/cli/machine-network.ts';
import { orRefusedStart, refusedStart } from '../../../../src/daemon/cli/refused-start.ts';
import { parseCommandLine } from '../../../../src/daemon/config/command-line.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { journalFormat, readRecords } from '../../../../src/daemon/wiring/journal-records.ts';
import { crc32c } from '../../../../src/journal/crc32c.ts';
import { FORMAT, frame, header } from '../../../../src/journal/format.ts';
import {
  containerId,
  containerIntent,
  sandboxId,
  sandboxIntent,
  sandboxReady,
} from '../../actors/fixtures.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'troupe-records-'));
  await mkdir(join(root, 'journal'));
});
afterEach(() => rm(root, { recursive: true }));

const bytes = Buffer.concat([header(), ...[sandboxIntent(), sandboxReady(), containerIntent()].map(frame)]);
const write = (name: string, content: Uint8Array): Promise<void> =>
  writeFile(join(root, 'journal', name), content);

describe('the journal, read by another process than its daemon', () => {
  it('is the newest file; nothing is written, not even where it is damaged', async () => {
    await write('journal.1', header());
    await write('journal.2', bytes);
    await write('journal.3.new', header());
    await write('journal.1.damaged', header());
    const before = await readdir(join(root, 'journal'));
    const records = await readRecords(root);
    expect([...records.ledger.sandboxes.keys()]).toEqual([sandboxId()]);
    expect(records).toMatchObject({ end: 'whole', damagedKept: ['journal.1.damaged'] });
    expect([...records.histories]).toEqual([
      [sandboxId(), ['sandbox.intent', 'sandbox.ready']],
      [containerId(), ['container.intent']],
    ]);
    expect(await readdir(join(root, 'journal'))).toEqual(before);
  });

  it('may end where the daemon is just writing', async () => {
    await write('journal.1', bytes.subarray(0, -3));
    const { end, ledger } = await readRecords(root);
    expect([end, ledger.sandboxes.size, ledger.containers.size]).toEqual(['torn', 1, 0]);
  });

  it('is distinguished from a missing one', async () => {
    expect(await readRecords(root)).toMatchObject({ end: 'none' });
    expect(await readRecords(join(root, 'absent'))).toMatchObject({ end: 'none' });
  });

  it('of a newer troupe is refused', async () => {
    const newer = Buffer.from(header());
    newer.writeUInt32LE(99, 8);
    newer.writeUInt32LE(crc32c(newer.subarray(0, 12)), 12);
    await write('journal.1', newer);
    await expect(readRecords(root)).rejects.toThrow('written in format 99 by a newer troupe');
    const place = { config: async () => ({ ...defaultConfig, root }), clock: realClock() };
    expect(await refusedStart(place)).toContain('written in format 99');
    expect(await journalFormat(root)).toBe(99);
    await writeFile(join(root, 'version'), '9.1.0\n');
    await expect(readRecords(root)).rejects.toThrow('; troupe 9.1.0 has started here last');
    // anybody's bytes
    await writeFile(join(root, 'version'), '\u001B[2J\n');
    await expect(readRecords(root)).rejects.toThrow(/docs\/upgrade\.md$/u);
  });

  it('has a format if its header is whole', async () => {
    expect(await journalFormat(root)).toBeUndefined();
    await write('journal.1', bytes);
    expect(await journalFormat(root)).toBe(FORMAT);
    await write('journal.2', bytes.subarray(0, 7));
    expect(await journalFormat(root)).toBeUndefined();
  });

  it('makes a command that gets no answer say why no daemon starts', async () => {
    const command = {
      line: parseCommandLine(['status']),
      socket: '/run/troupe/introspection.sock',
      clock: realClock(),
      config: async () => ({ ...defaultConfig, root }),
    };
    const late = new ConnectError('too late', Code.DeadlineExceeded);
    expect(await orRefusedStart(command, late)).toBe(late);
    const newer = Buffer.from(header());
    newer.writeUInt32LE(99, 8);
    newer.writeUInt32LE(crc32c(newer.subarray(0, 12)), 12);
    await write('journal.1', newer);
    for (const [code, exitCode] of [
      [Code.DeadlineExceeded, 1],
      [Code.Unavailable, 4],
    ] as const)
      expect(await orRefusedStart(command, new ConnectError('', code))).toMatchObject({
        exitCode,
        message: expect.stringContaining('this version starts none: read the journal: written in format 99'),
      });
    const wrong = new ConnectError('', Code.NotFound);
    expect(await orRefusedStart(command, wrong)).toBe(wrong);
  });
});

describe('rules of the packet filter', () => {
  const rule = (network: string, id: string): string =>
    `-A POSTROUTING -s 10.1.0.2/32 -m comment --comment "name: \\"${network}\\" id: \\"${id}\\"" -j CNI-0123`;

  it('name network and sandbox; those of other networks or forms have no owner', () => {
    const saved = [
      '*nat',
      rule('net', sandboxId('a')),
      rule('net', sandboxId('a')),
      rule('other', sandboxId('b')),
      '-A X -m comment --comment "id"',
      rule('net', 'short'),
      `-A Y -m comment --comment "dnat name: \\"net\\" id: \\"${sandboxId('c')}\\"" -j CNI-DN-1`,
      'COMMIT',
    ].join('\n');
    expect(rulesIn(saved, 4, new Set(['net']))).toEqual([
      { family: 4, id: sandboxId('a'), network: 'net' },
      { family: 4, id: sandboxId('c'), network: 'net' },
    ]);
  });
});

it('F32: a FIFO or a file of any size in the place of another store’s journal is refused at once', async () => {
  execFileSync('mkfifo', [join(root, 'journal', 'journal.2')]);
  await expect(readRecords(root)).rejects.toThrow('not a regular file of at most');
  await rm(join(root, 'journal', 'journal.2'));
  await write('journal.1', bytes);
  await expect(readRecords(root, bytes.length - 1)).rejects.toThrow(
    `not a regular file of at most ${bytes.length - 1} bytes`,
  );
  expect((await readRecords(root, bytes.length)).end).toBe('whole');
});
