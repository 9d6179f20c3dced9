/** PodEvent → CRI message. Pure. */
import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { ContainerEventResponseSchema, ContainerEventType } from '../../gen/runtime/v1/api_pb.ts';
import type { PodEvent } from '../call/pod-event.ts';
import { statusesOfPod, type ImageOf } from './container.ts';
import { sandboxStatus } from './sandbox.ts';

const TYPE = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
} as const;

/** The encoded message of an event. */
export function podEventBytes(event: PodEvent, imageOf: ImageOf): Uint8Array {
  return toBinary(
    ContainerEventResponseSchema,
    create(ContainerEventResponseSchema, podEvent(event, imageOf)),
  );
}

export function podEvent(
  event: PodEvent,
  imageOf: ImageOf,
): MessageInitShape<typeof ContainerEventResponseSchema> {
  const { id, type, createdAtNs, sandbox, containers } = event;
  return {
    containerId: id,
    containerEventType: TYPE[type],
    createdAt: createdAtNs,
    // the kubelet ignores an event without a sandbox status; the event of the sandbox's removal was sent before
    ...(sandbox === undefined ? {} : { podSandboxStatus: sandboxStatus(sandbox) }),
    containersStatuses: statusesOfPod(containers, imageOf),
  };
}
