/** The streams that a request of Exec or Attach wants. Pure. */
import type { WantedStreams } from '../streaming/command-channels.ts';
import { refuse } from './check.ts';

/** Throws `invalidRequest` for no stream at all, and for stderr together with a terminal, which has a single output. */
export function wantedStreams(rpc: string, { stdin, stdout, stderr, tty }: WantedStreams): WantedStreams {
  if (tty && stderr) refuse(`${rpc}: stderr`, 'a terminal has no stderr of its own');
  if (!stdin && !stdout && !stderr) refuse(rpc, 'none of stdin, stdout and stderr is set');
  return { stdin, stdout, stderr, tty };
}
