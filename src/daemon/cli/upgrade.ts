/** `troupe upgrade`: asks the daemon to be replaced, and prints what happens. */
import { resolve } from 'node:path';
import { createLayout } from '../../host/sandbox/layout.ts';
import { takeOverLimits } from '../bounds.ts';
import { dialDaemon } from '../takeover/link.ts';
import { TAKE_OVER_PROTOCOL } from '../takeover/messages.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';

export async function upgrade({ line, screen, clock, config }: Command): Promise<number> {
  const { takeOverSocket } = createLayout(await config());
  const link = dialDaemon(takeOverSocket, clock);
  if (link === undefined) throw new CommandError(EXIT.unreachable, `no daemon listens on ${takeOverSocket}`);
  const begunMs = clock.monoMs();
  const say = (text: string): void => {
    screen.line(`${((clock.monoMs() - begunMs) / 1000).toFixed(2).padStart(7)} s  ${text}`);
  };
  try {
    const { program } = line.options;
    await link.send({
      type: 'upgrade',
      protocol: TAKE_OVER_PROTOCOL,
      ...(program === undefined ? {} : { program: resolve(program) }),
    });
    for (;;) {
      const message = await link.next(takeOverLimits.recoverMs + takeOverLimits.answerMs);
      if (message.type === 'step') say(message.text);
      if (message.type === 'done') return EXIT.ok;
      if (message.type !== 'refused') continue;
      screen.note(`troupe upgrade: ${message.reason}`);
      return EXIT.takeOverRefused;
    }
  } finally {
    link.close();
  }
}
