// The undo of an interrupted checkpoint comes before a new one.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CheckpointInput } from '../../../../../src/ports/checkpoint.ts';
import { partialOf } from '../../../../../src/oci/runtime/checkpoint/archive.ts';
import { faultOf } from '../../../../support/fault-of.ts';
import { fxOf } from '../../../../support/fx.ts';
import { turns, untilTrue } from '../../../../support/turns.ts';
import { checkpointBench } from './bench.ts';

const [ONE, TWO] = ['a', 'b'].map((digit) => digit.repeat(64)) as [string, string];

describe('F03 F89 the undo of an interrupted checkpoint', () => {
  let directory = '';
  const at = (name: string): string => join(directory, name);
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-undo-order-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('at the start is complete before a new one begins, which would lose its directory and be thawed', async () => {
    let isBegun = false;
    const { driver, runtime, interrupted, works, lines } = checkpointBench(directory, {
      begins: () => void (isBegun = true),
    });
    execFileSync('mkfifo', [at('thaw')]);
    const first = `*resume*${ONE}) : > ${at('undoing')}; read go < ${at('thaw')} ;;`;
    runtime(`${first} *${TWO}) echo $3 >> ${at('calls')}; [ $3 != checkpoint ] ;;`);
    for (const id of [ONE, TWO]) interrupted(id, at(`${id}.tar`), { handler: 'fake' });
    const opened = driver.open();
    await untilTrue(() => existsSync(at('undoing')));
    const containers = [{ id: TWO, handler: 'fake', archive: at('new.tar') }];
    const input: unknown = { attempted: 'checkpoint', containers };
    const ended = faultOf(driver.checkpoint(input as CheckpointInput, fxOf()));
    await turns();
    const isBegunTooEarly = isBegun;
    writeFileSync(at('thaw'), 'go\n');
    await opened;
    expect((await ended).message).toMatch(/^checkpoint: fake checkpoint: exit code 1/u);
    expect([isBegunTooEarly, isBegun]).toEqual([false, true]);
    const calls = readFileSync(at('calls'), 'utf8').trim().split('\n');
    expect(calls).toEqual(['resume', 'pause', 'checkpoint', 'resume']);
    expect([works(), lines]).toEqual([[], []]);
  });

  it('comes before the check that the directory is empty, which its own archive may be in', async () => {
    const { driver, interrupted, works } = checkpointBench(directory);
    mkdirSync(at('into'));
    const archives = [ONE, TWO].map((id) => at(`into/${id}.tar`));
    for (const [index, id] of [ONE, TWO].entries()) {
      const archive = archives[index] ?? '';
      interrupted(id, archive, { together: archives });
      writeFileSync(partialOf(archive), '');
    }
    const containers = [ONE, TWO].map((id, index) => ({ id, handler: 'fake', archive: archives[index] }));
    const input: unknown = { attempted: 'checkpoint', emptyDirectory: at('into'), containers };
    expect(await faultOf(driver.checkpoint(input as CheckpointInput, fxOf()))).toMatchObject({
      kind: 'outside',
      message: expect.stringMatching(/^checkpoint: fake pause: exit code 1/u) as string,
    });
    expect([works(), readdirSync(at('into'))]).toEqual([[], []]);
  });

  it('leaves no record, also when the new one then fails', async () => {
    const { driver, interrupted, works } = checkpointBench(directory);
    interrupted(TWO, at('earlier.tar'));
    writeFileSync(partialOf(at('earlier.tar')), '');
    const containers = [ONE, TWO].map((id) => ({ id, handler: 'fake', archive: at(`not there/${id}.tar`) }));
    const input: unknown = { attempted: 'checkpoint', containers };
    expect(await faultOf(driver.checkpoint(input as CheckpointInput, fxOf()))).toMatchObject({
      kind: 'invalidRequest',
    });
    expect([works(), existsSync(partialOf(at('earlier.tar')))]).toEqual([[], false]);
  });

  it('thaws a container that the earlier one could not thaw', async () => {
    const { driver, runtime, works, lines } = checkpointBench(directory);
    const state = `*state*) echo '{"status":"paused"}' ;;`;
    runtime(`*pause*) ;; ${state} *) exit 1 ;;`);
    const containers = [{ id: ONE, handler: 'fake', archive: at('new.tar') }];
    const input: unknown = { attempted: 'checkpoint', containers };
    expect((await faultOf(driver.checkpoint(input as CheckpointInput, fxOf()))).message).toMatch(
      /^checkpoint: fake checkpoint: exit code 1/u,
    );
    expect([works(), lines]).toEqual([[ONE], ['thaw container after checkpoint failed']]);
    await driver.open();
    expect(works()).toEqual([ONE]);
    runtime(`*resume*) : > ${at('thawed')} ;; ${state} *) exit 1 ;;`);
    await driver.open();
    expect([works(), existsSync(at('thawed')), readdirSync(directory).includes('new.tar.partial')]).toEqual([
      [],
      true,
      false,
    ]);
  });
});
