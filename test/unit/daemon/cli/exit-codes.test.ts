// What the program itself ends with when its command line or its configuration is wrong.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
      expect(await troupe('ps', ...places)).toMatchObject({ code: EXIT.usage });
    },
  );

  it.each([['serve', '--help'], ['start', '-h', '--root', '/nowhere'], ['ps', '--help'], ['help']])(
    'is 0 for help, which nothing else is done for: %s %s',
    async (...args) => {
      const { code, stdout, stderr } = await troupe(...args);
      expect({ code, stderr }).toEqual({ code: EXIT.ok, stderr: '' });
      expect(stdout).toContain('troupe serve           serve the CRI');
    },
  );

  it.each([
    ['ps', '--nonsense'],
    ['serv', '--root'],
    ['--config', 'serve'],
  ])('of any other command is 2: %s %s', async (...args) => {
    expect(await troupe(...args)).toMatchObject({ code: EXIT.usage });
  });
});
