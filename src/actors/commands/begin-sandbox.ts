/** Starts the actor of a new sandbox: checks the request and chooses handler and SELinux labels. */
import { fail } from '../../base/fault.ts';
import type { SandboxId } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import type { AdmittedHandler, SandboxSpec, SelinuxLabels } from '../../ports/specs.ts';
import { freeLevel, levelOf, podLabels } from './selinux.ts';
import type { SandboxStage } from './sandbox-stage.ts';
import { creationNs } from '../effects/times.ts';

/** Random bytes that choose where the search for a free pair of categories begins; there are half a million pairs. */
const LEVEL_BYTES = 4;

/** The handler for the sandbox. Throws when handler, pod network or number of sandboxes do not permit it now. */
export function admittedHandler(stage: SandboxStage, spec: SandboxSpec, attempted: string): AdmittedHandler {
  const { runtime, network } = stage.ports;
  const handler = runtime.handlers().find((one) => one.name === spec.handler);
  if (handler === undefined) {
    fail('invalidRequest', `${attempted}: runtime_handler "${spec.handler}" is not configured`, {
      subject: spec.handler,
    });
  }
  if (!handler.ready) {
    fail('wrongState', `${attempted}: runtime handler "${spec.handler}" is not usable: ${handler.reason}`);
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

/**
 * The labels of a new pod; undefined without SELinux. The categories of stopped pods stay taken, since their files
 * still exist.
 */
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

/** Starts the sandbox's actor and returns the new id. */
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
