/** `troupe replay`: serves the statecharts over a support bundle, offline, until Ctrl-C. */
import { onAbort } from '../../base/abort.ts';
import { fail } from '../../base/fault.ts';
import { realRandom } from '../../host/clock/random.ts';
import { packedPage } from '../../host/program/program-files.ts';
import { webLimits } from '../../introspection/bounds.ts';
import { recordingOf } from '../../introspection/flight/answer.ts';
import { startReplay } from '../../introspection/replay-server.ts';
import type { Command } from './context.ts';
import { EXIT } from './exit-codes.ts';
import { readRecording } from './read-recording.ts';

/** Any free port of the loopback. */
const ANY_PORT = '127.0.0.1:0';

export async function replay({ line, screen, clock, signal }: Command): Promise<number> {
  const [file = ''] = line.words;
  const { entries } = await readRecording(file);
  if (entries.length === 0) fail('invalidRequest', `${file}: no entries of the flight recorder in it`);
  const server = await startReplay({
    address: line.options['address'] ?? ANY_PORT,
    token: realRandom().token(webLimits.tokenBytes),
    page: packedPage(),
    clock,
    recording: recordingOf(entries),
  });
  screen.line(server.url);
  if (!signal.aborted) await new Promise<void>((resolve) => void onAbort(signal, resolve));
  await server.close();
  return EXIT.ok;
}
