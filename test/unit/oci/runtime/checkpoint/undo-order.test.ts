// The undo of an interrupted checkpoint comes before a new one.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CheckpointInput } from '../../../../../src/ports/checkpoint.ts';
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
});
