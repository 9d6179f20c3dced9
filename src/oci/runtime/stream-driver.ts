/** The streams port on runc, conmon and the kernel. */
import type { StreamsPort } from '../../actors/ports/streams.ts';
import { dialPort } from '../../host/port-forward-dial.ts';
import type { DriverParts } from './driver-parts.ts';
import { Attachments } from './stream-attach.ts';
import { clearConsoles } from './stream-console.ts';
import { consolesDir, streamExec } from './stream-exec.ts';

export interface StreamsDriver extends StreamsPort {
  /** Ends what is attached; containers go on. Execs end by their own signals. */
  close(): void;
}

/** The driver; it shares handlers and their probes with the runtime driver. Removes what an earlier daemon left. */
export async function createStreamsDriver(parts: DriverParts): Promise<StreamsDriver> {
  await clearConsoles(consolesDir(parts));
  const attachments = new Attachments(parts);
  return {
    exec: (input, client, fx) => streamExec(parts, input, client, fx),
    attach: (input, client, fx) => attachments.attach(input, client, fx),
    dial: ({ sandboxId, network, port }, fx) => {
      const netns = network === 'node' ? undefined : parts.layout.pin(sandboxId, 'net');
      fx.note({ on: `port ${port} of the pod` });
      return dialPort({ netns, port, subject: sandboxId }, parts.clock, fx.signal);
    },
    close: () => attachments.close(),
  };
}
