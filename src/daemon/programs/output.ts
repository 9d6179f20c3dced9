/** This process's own stdout and stderr, written byte by byte as a program's output. */
import type { ClientOutput } from '../../cri/streaming/ws-client.ts';

/** What is used of `process.stdout` and `process.stderr`. */
interface ByteStream {
  write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean;
  on(event: 'error', listener: () => void): unknown;
}

/**
 * Output that waits for its reader. `onLost` is called when stdout takes no more, since its reader has gone
 * (`troupe exec … | head`) or its disk is full: to exit at once, as other commands do, would leave behind what has to be
 * ended first.
 */
export function programOutput(stdout: ByteStream, stderr: ByteStream, onLost: () => void): ClientOutput {
  stdout.on('error', onLost);
  stderr.on('error', () => undefined);
  const write = (stream: ByteStream, bytes: Uint8Array): Promise<void> =>
    bytes.length === 0
      ? Promise.resolve()
      : new Promise((resolve, reject) => {
          stream.write(bytes, (error) => {
            if (error === null || error === undefined) return resolve();
            // before the event, so that whoever awaits the write knows the reason
            if (stream === stdout) onLost();
            reject(error);
          });
        });
  return {
    stdout: (bytes) => write(stdout, bytes),
    stderr: (bytes) => write(stderr, bytes),
  };
}
