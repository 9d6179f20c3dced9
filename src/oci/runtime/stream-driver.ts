/** The streams port: exec, attach and port forwarding by runc, conmon, shims and the kernel. */
import type { StreamsPort } from '../../ports/streams.ts';
import type { ContainerInput } from '../../ports/runtime.ts';
import { toFault } from '../../base/fault.ts';
import { dialPort } from '../../host/streams/port-forward-dial.ts';
import { resizeTerminal } from './monitor/control.ts';
import type { ShimDriver } from './shim/driver.ts';
import type { DriverParts } from './container/parts.ts';
import { AttachClients } from './exec/stream-attach.ts';
import { clearConsoles } from './exec/stream-console.ts';
import { consolesDir, streamExec } from './exec/stream-exec.ts';

export interface StreamsDriver extends StreamsPort {
  /** Closes all attach connections; containers go on. Execs end by their own signals. */
  close(): void;
}

/**
 * Creates the driver, which shares handlers and their probes with the runtime driver. Removes sockets of an earlier
 * daemon.
 */
export async function createStreamsDriver(parts: DriverParts, shims: ShimDriver): Promise<StreamsDriver> {
  // the names of new sockets are different. A daemon that holds sessions of before removes its own
  if (parts.heldSessions === undefined)
    await clearConsoles(consolesDir(parts)).catch((error: unknown) => {
      parts.log.warn({ path: consolesDir(parts), fault: toFault(error) }, 'remove console sockets failed');
    });
  const isShims = ({ handler }: ContainerInput): boolean => parts.table.resolve(handler).kind === 'vm';
  const attachments = new AttachClients(parts, {
    resize: (input, size) =>
      isShims(input)
        ? shims.resize(input, size)
        : resizeTerminal(parts.layout.controlFifo(input.id), input.id, size),
    stdinEnded: (input) => {
      if (isShims(input)) shims.closeStdin(input);
    },
  });
  return {
    exec: (input, client, fx) =>
      isShims(input) ? shims.execStream(input, client, fx) : streamExec(parts, input, client, fx),
    attach: (input, client, fx) => attachments.attach(input, client, fx),
    dial: ({ sandboxId, network, port, guestAddresses }, fx) => {
      const netns = network === 'node' ? undefined : parts.layout.pin(sandboxId, 'net');
      fx.note({ on: `port ${port} of the pod` });
      return dialPort({ netns, port, guestAddresses, subject: sandboxId }, parts.clock, fx.signal);
    },
    close: () => attachments.close(),
  };
}
