/** Exec in a shim with a client's streams. A terminal is made by the shim; its bytes pass through the FIFOs. */
import type { EffectContext } from '../../../ports/effect.ts';
import type { ClientStreams, StreamExecInput } from '../../../ports/streams.ts';
import { pump } from '../../../base/byte-streams.ts';
import { socketSink, socketSource } from '../../../host/streams/socket-bytes.ts';
import { ExecDeadline } from '../exec/deadline.ts';
import { firstSize } from '../exec/stream-console.ts';
import { OutputPump, drain, discard, reasonOf } from '../exec/stream-output.ts';
import type { ShimParts } from './containers.ts';
import { runExec } from './exec.ts';
import type { RunningExec } from './exec.ts';
import { readFifo, writeFifo } from './fifo.ts';
import type { StdioPaths } from './stdio.ts';

/** See `StreamsPort.exec`. */
export async function execStreamTask(
  shim: ShimParts,
  input: StreamExecInput,
  client: ClientStreams,
  fx: EffectContext,
): Promise<{ readonly exitCode: number }> {
  const { clock } = shim.parts;
  const size = input.tty ? await firstSize(clock, client, fx) : undefined;
  const streams = new ClientEnds(shim, client);
  const exitCode = await runExec(
    shim,
    {
      input,
      terminal: { wanted: input.tty, size },
      stdio: {
        stdin: client.stdin !== undefined,
        stdout: input.tty || client.stdout !== undefined,
        stderr: !input.tty && client.stderr !== undefined,
      },
      deadline: new ExecDeadline({ clock, id: input.id, fx, limitMs: 0, reason: reasonOf }),
      open: (stdio, exec) => streams.open(stdio, exec, input.tty),
      drained: () => drain(streams.pumps, clock, fx.signal),
      close: () => streams.close(),
    },
    fx,
  );
  return { exitCode };
}

/** The daemon's ends of the FIFOs, connected to the client's streams. */
class ClientEnds {
  readonly pumps: OutputPump[] = [];
  readonly #shim: ShimParts;
  readonly #client: ClientStreams;
  readonly #opened: { destroy(): void }[] = [];
  #isOpen = true;

  constructor(shim: ShimParts, client: ClientStreams) {
    this.#shim = shim;
    this.#client = client;
  }

  open({ stdin, stdout, stderr }: StdioPaths, exec: RunningExec, tty: boolean): void {
    const { parts } = this.#shim;
    for (const [path, sink] of [
      [stdout, this.#client.stdout],
      [stderr, this.#client.stderr],
    ] as const) {
      if (path === '') continue;
      const reader = readFifo(path);
      this.#opened.push(reader);
      this.pumps.push(new OutputPump(socketSource(reader), sink ?? discard, parts.clock, true));
    }
    if (stdin !== '') this.#copyStdin(stdin, exec, tty);
    if (tty) this.#client.onResize((size) => (this.#isOpen ? exec.resize(size) : undefined));
  }

  #copyStdin(path: string, exec: RunningExec, tty: boolean): void {
    const { stdin } = this.#client;
    if (stdin === undefined) return;
    const socket = writeFifo(path);
    this.#opened.push(socket);
    socket.on('error', () => undefined);
    // the shim keeps the FIFO open until CloseIO is called; on a terminal only its user can type the end-of-file
    // character
    if (!tty) socket.on('close', () => this.#isOpen && exec.closeStdin());
    pump(stdin, socketSink(socket)).catch(() => socket.destroy());
  }

  close(): void {
    this.#isOpen = false;
    this.#client.stdin?.cancel();
    for (const one of this.pumps) one.stop();
    for (const one of this.#opened) one.destroy();
  }
}
