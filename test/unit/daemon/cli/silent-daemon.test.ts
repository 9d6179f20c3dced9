// `troupe reload` and `troupe upgrade` while the daemon hangs.
import { expect, test } from 'vitest';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import { askForUpgrade } from '../../../../src/daemon/cli/upgrade.ts';
import { makeScreen } from '../../../../src/daemon/cli/screen.ts';
import { parseCommandLine } from '../../../../src/daemon/config/command-line.ts';
import type { Message } from '../../../../src/daemon/takeover/messages.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

const NOTE = 'troupe reload: the daemon has not answered for 10 s: troupe dump says why\n';

/** What is noted where the daemon answers after so many milliseconds. */
async function notedWhen(answeredMs: number): Promise<readonly string[]> {
  const clock = new HandClock();
  const answer = Promise.withResolvers<Message>();
  const notes: string[] = [];
  const stderr = { write: (text: string) => notes.push(text) };
  const screen = makeScreen({ write: () => true }, stderr, { noColor: true, columns: 0 }, 'mark');
  const link = { send: async () => undefined, next: () => answer.promise, close: () => undefined };
  const asked = askForUpgrade({ line: parseCommandLine(['reload']), screen, clock }, link, {
    program: '/opt/troupe/bin/troupe',
  });
  await clock.advance(answeredMs);
  answer.resolve({ type: 'unchanged' });
  await turns();
  await clock.advance(takeOverLimits.recoverMs);
  expect(await asked).toBe('unchanged');
  return notes;
}

test('a daemon that answers late is named while the command waits, one that answers in time is not', async () => {
  expect(await notedWhen(takeOverLimits.answerMs - 1)).toEqual([]);
  expect(await notedWhen(takeOverLimits.answerMs)).toEqual([NOTE]);
});
