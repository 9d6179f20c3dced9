/** Signals to a container while a checkpoint reads it, with the real driver. */
import { expect, it } from 'vitest';
import { attempted } from '../../conformance/checkpoint-stage.ts';
import { fx, kindOf } from '../../conformance/runtime-stage.ts';
import { missing } from '../runtime/support.ts';
import { realCheckpointStage } from './checkpoint-stage.ts';
import { fxOf } from '../../support/fx.ts';

/** Bound of the checkpoint that hangs, ms. */
const HANGS_MS = 1000;

const why = missing();
if (why !== '') process.stdout.write(`skipped: signals while a checkpoint is read: ${why}\n`);

it.skipIf(why !== '')(
  'F33 a signal thaws nothing that a checkpoint has frozen: memory and files are of one moment',
  async () => {
    const stage = await realCheckpointStage();
    try {
      const one = await stage.running();
      const still: boolean[] = [];
      stage.spoil('hangs');
      stage.whenHanging(
        () =>
          void stage.runtime
            .kill({ ...one, signal: 'SIGCONT' }, fx)
            .then(() => still.push(stage.isStill(one))),
      );
      const request = { attempted, containers: [stage.described(one, `${stage.newDirectory()}/c.tar`)] };
      expect(await kindOf(stage.port.checkpoint(request, fxOf(HANGS_MS)))).toBe('timedOut');
      expect([still, stage.isStill(one)]).toStrictEqual([[true], false]);
    } finally {
      await stage.close();
    }
  },
);
