/** The start of a new sandbox's actor: its handler, its labels, and what refuses it. */
import { fail } from '../../base/fault.ts';
import type { SandboxId } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import type { AdmittedHandler, SandboxSpec, SelinuxLabels } from '../../ports/specs.ts';
import { freeLevel, levelOf, podLabels } from './selinux.ts';
import type { SandboxStage } from './sandbox-stage.ts';
import { creationNs } from '../effects/times.ts';

/** Bytes of the number from which a free pair of categories is looked for: there are half a million. */
const LEVEL_BYTES = 4;

/** The handler that it is given. Throws what keeps it from being run now. */
export function admittedHandler(stage: SandboxStage, spec: SandboxSpec, attempted: string): AdmittedHandler {
  const { runtime, network } = stage.ports;
  const handler = runtime.handlers().find((one) => one.name === spec.handler);
  if (handler === undefined) {
    fail('invalidRequest', `${attempted}: runtime_handler "${spec.handler}" is not configured`, {
      subject: spec.handler,
    });
  }
  if (!handler.ready) {
    fail('wrongState', `${attempted}: runtime handler "${spec.handler}" cannot work here: ${handler.reason}`);
  }
  const status = network.status();
  if (spec.namespaces.network === 'pod' && !status.ready) {
    fail('notReady', `${attempted}: the pod network is not ready: ${status.message}`);
  }
  if (stage.directory.sandboxes().length >= portLimits.actorsMax) {
    fail('exhausted', `${attempted}: ${portLimits.actorsMax} sandboxes exist`);
  }
  return { name: handler.target ?? spec.handler, needsPause: handler.needsPause ?? false };
}

/** None without SELinux. The categories of all pods that are there are taken, also of those that have ended: their files are. */
function labelsFor(
  { selinux, directory, ports }: SandboxStage,
  spec: SandboxSpec,
): SelinuxLabels | undefined {
  if (selinux === undefined) return undefined;
  return podLabels(spec, selinux, (base) => {
    const taken = new Set(
      directory
        .sandboxes()
        .flatMap((view) =>
          view.spec.selinuxLabels === undefined ? [] : [levelOf(view.spec.selinuxLabels.process)],
        ),
    );
    return freeLevel(base, taken, Number.parseInt(ports.random.token(LEVEL_BYTES), 16));
  });
}

/** Starts its actor and gives its id. */
export function beginSandbox(
  stage: SandboxStage,
  spec: SandboxSpec,
  runtime: AdmittedHandler,
  { cause }: Call,
): SandboxId {
  const id = stage.ports.random.id() as SandboxId;
  stage.startSandbox({
    id,
    spec: { ...spec, runtime, selinuxLabels: labelsFor(stage, spec) },
    createdAtNs: creationNs(stage.ports.clock, stage.directory.sandboxes()),
    entry: 'new',
    begun: [],
    ips: [],
    pause: undefined,
    claimed: false,
    cause,
  });
  return id;
}
