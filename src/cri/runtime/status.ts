import type { HandlerStatus } from '../../ports/runtime.ts';
import { whyNotReady } from '../../actors/readiness.ts';
import { encodePlain } from '../../base/codec.ts';
import { RELOAD_REFUSED } from '../../base/conditions.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ServiceOptions } from '../call/service-options.ts';

type Options = Pick<ServiceOptions, 'troupe' | 'configView' | 'configRefusal' | 'lostFacts' | 'conditions'>;

/** Status: conditions, handlers and features. Also answered while the daemon recovers or drains. */
export function status(options: Options): RpcHandler<typeof RuntimeService.method.status> {
  const { troupe, configView } = options;
  return async ({ verbose }) => ({
    status: {
      conditions: [
        runtimeCondition(options),
        networkCondition(options),
        ...configConditions(options),
        ...journalConditions(options),
        ...degradedConditions(options),
      ],
    },
    runtimeHandlers: troupe.handlers().map(({ name, recursiveReadOnlyMounts, userNamespaces }) => ({
      name,
      features: { recursiveReadOnlyMounts, userNamespaces },
    })),
    features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: true, mountOptions: true },
    info: verbose
      ? {
          config: encodePlain(configView()),
          handlers: encodePlain(troupe.handlers().map(handlerInfo)),
          nri: encodePlain(troupe.nriPlugins()),
        }
      : {},
  });
}

/** A handler with the reason why it can't be used, for which the RuntimeHandler message has no field. */
function handlerInfo({
  name,
  target = name,
  choice,
  ready,
  reason,
  recursiveReadOnlyMounts,
  userNamespaces,
}: HandlerStatus) {
  const features = { recursiveReadOnlyMounts, userNamespaces };
  return { name, target, ready, reason, features, ...(choice === undefined ? {} : { choice }) };
}

function runtimeCondition({ troupe }: Options) {
  const notReady = whyNotReady(troupe);
  return condition('RuntimeReady', notReady === undefined, 'RuntimeNotReady', notReady ?? '');
}

function networkCondition({ troupe }: Options) {
  const { ready, reason, message } = troupe.networkStatus();
  return condition('NetworkReady', ready, reason === '' ? 'NetworkPluginNotReady' : reason, message);
}

/**
 * Set only while it is false, beside the two conditions that the kubelet requires: the running configuration is not
 * that of the files (F32).
 */
function configConditions({ configRefusal }: Options) {
  const refusal = configRefusal();
  return refusal === undefined ? [] : [condition(RELOAD_REFUSED.type, false, RELOAD_REFUSED.reason, refusal)];
}

/**
 * Set only while it is false: containers may run that lists don't show (F18). The node stays ready, since all listed
 * pods work.
 */
function journalConditions({ lostFacts }: Options) {
  return lostFacts === undefined ? [] : [condition('JournalWhole', false, 'JournalDamaged', lostFacts)];
}

/** What is degraded; the node stays ready (F89, F95). */
function degradedConditions({ conditions }: Options) {
  return conditions.listFalse().map(({ type, reason, message }) => condition(type, false, reason, message));
}

function condition(type: string, isMet: boolean, reason: string, message: string) {
  return { type, status: isMet, reason: isMet ? '' : reason, message: isMet ? '' : message };
}
