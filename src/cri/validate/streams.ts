/** Which streams a request of Exec or Attach asks for. Pure. */
import type { WantedStreams } from '../streaming/command-channels.ts';
import { refuse } from './check.ts';

/** Throws `invalidRequest` for none at all, and for stderr beside a terminal, which has one output. */
export function wantedStreams(rpc: string, { stdin, stdout, stderr, tty }: WantedStreams): WantedStreams {
  if (tty && stderr) refuse(`${rpc}: stderr`, 'a terminal has no stderr of its own');
  if (!stdin && !stdout && !stderr) refuse(rpc, 'none of stdin, stdout and stderr is asked for');
  return { stdin, stdout, stderr, tty };
}
