import type { HandlerStatus } from '../../ports/runtime.ts';
import { encodePlain } from '../../base/codec.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import type { ServiceOptions } from '../call/service-options.ts';

type Options = Pick<ServiceOptions, 'troupe' | 'configView' | 'configRefusal' | 'lostFacts' | 'conditions'>;

/** Status: conditions, handlers, features. Answered while recovering and draining, too. */
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

/** Why a handler can't be used: the message of RuntimeHandler has no place for it. */
function handlerInfo({
  name,
  target = name,
  ready,
  reason,
  recursiveReadOnlyMounts,
  userNamespaces,
}: HandlerStatus) {
  return { name, target, ready, reason, features: { recursiveReadOnlyMounts, userNamespaces } };
}

/** Ready when commands are taken, can be recorded, and the default handler works. */
function runtimeCondition({ troupe }: Options) {
  const standard = troupe.handlers().find(({ name }) => name === '');
  const handlerReason = standard === undefined ? 'there is no default runtime handler' : standard.reason;
  const isHandlerReady = standard?.ready ?? false;
  const notReady =
    troupe.notReadyReason() ?? troupe.writeRefusal() ?? (isHandlerReady ? undefined : handlerReason);
  return condition('RuntimeReady', notReady === undefined, 'RuntimeNotReady', notReady ?? '');
}

function networkCondition({ troupe }: Options) {
  const { ready, reason, message } = troupe.networkStatus();
  return condition('NetworkReady', ready, reason === '' ? 'NetworkPluginNotReady' : reason, message);
}

/** Beside the two that a kubelet asks for, and only while there is something to tell: what runs is not what the files say (F32). */
function configConditions({ configRefusal }: Options) {
  const refusal = configRefusal();
  return refusal === undefined
    ? []
    : [condition('ConfigurationReloaded', false, 'ConfigurationRefused', refusal)];
}

/** What is listed may not be all that runs (F18). No reason to take no pods: what is known works. */
function journalConditions({ lostFacts }: Options) {
  return lostFacts === undefined ? [] : [condition('JournalWhole', false, 'JournalDamaged', lostFacts)];
}

/** The node takes pods all the same: each names what it works without (F89, F95). */
function degradedConditions({ conditions }: Options) {
  return conditions.listFalse().map(({ type, reason, message }) => condition(type, false, reason, message));
}

function condition(type: string, isMet: boolean, reason: string, message: string) {
  return { type, status: isMet, reason: isMet ? '' : reason, message: isMet ? '' : message };
}
