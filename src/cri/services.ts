/**
 * Binds each RPC to its handler, for `edgeMethods` and `edgeStreams`. An RPC that is absent is answered Unimplemented.
 */
import type { ImageService, RuntimeService } from '../gen/runtime/v1/api_pb.ts';
import type { EdgeOptions, ServiceHandlers, ServiceStreams } from './call/edge.ts';
import { EventFeed } from './call/event-feed.ts';
import { imageFsInfo } from './image/image-fs-info.ts';
import { imageStatus } from './image/image-status.ts';
import { listImages } from './image/list-images.ts';
import { pullImage } from './image/pull-image.ts';
import { removeImage } from './image/remove-image.ts';
import { streamImages } from './image/stream-images.ts';
import { imageList } from './present/image.ts';
import { namespaceOf } from './lookup/lookup.ts';
import { checkpointContainer } from './runtime/checkpoint-container.ts';
import { checkpointPod } from './runtime/checkpoint-pod.ts';
import { containerStats } from './runtime/container-stats.ts';
import { attach } from './runtime/attach.ts';
import { containerStatus } from './runtime/container-status.ts';
import { createContainer } from './runtime/create-container.ts';
import { exec } from './runtime/exec.ts';
import { execSync } from './runtime/exec-sync.ts';
import { getContainerEvents } from './runtime/get-container-events.ts';
import { listContainerStats } from './runtime/list-container-stats.ts';
import { listContainers } from './runtime/list-containers.ts';
import { listMetricDescriptors } from './runtime/list-metric-descriptors.ts';
import { listPodSandboxMetrics } from './runtime/list-pod-sandbox-metrics.ts';
import { listPodSandboxStats } from './runtime/list-pod-sandbox-stats.ts';
import { listPodSandbox } from './runtime/list-pod-sandbox.ts';
import { podSandboxStats } from './runtime/pod-sandbox-stats.ts';
import { podSandboxStatus } from './runtime/pod-sandbox-status.ts';
import { portForward } from './runtime/port-forward.ts';
import { removeContainer } from './runtime/remove-container.ts';
import { removePodSandbox } from './runtime/remove-pod-sandbox.ts';
import { reopenContainerLog } from './runtime/reopen-container-log.ts';
import { restorePod } from './runtime/restore-pod.ts';
import { runPodSandbox } from './runtime/run-pod-sandbox.ts';
import { runtimeConfig } from './runtime/runtime-config.ts';
import { startContainer } from './runtime/start-container.ts';
import { status } from './runtime/status.ts';
import { streamContainerStats } from './runtime/stream-container-stats.ts';
import { streamContainers } from './runtime/stream-containers.ts';
import { streamPodSandboxMetrics } from './runtime/stream-pod-sandbox-metrics.ts';
import { streamPodSandboxStats } from './runtime/stream-pod-sandbox-stats.ts';
import { streamPodSandboxes } from './runtime/stream-pod-sandboxes.ts';
import { stopContainer } from './runtime/stop-container.ts';
import { stopPodSandbox } from './runtime/stop-pod-sandbox.ts';
import { updateContainerResources } from './runtime/update-container-resources.ts';
import { updatePodSandboxResources } from './runtime/update-pod-sandbox-resources.ts';
import { updateRuntimeConfig } from './runtime/update-runtime-config.ts';
import { version } from './runtime/version.ts';
import { relayLimits } from './bounds.ts';
import type { ServiceOptions } from './call/service-options.ts';
import type { UrlIssuer } from './streaming/server.ts';

export interface Services {
  readonly runtime: ServiceHandlers<typeof RuntimeService>;
  readonly image: ServiceHandlers<typeof ImageService>;
  readonly runtimeStreams: ServiceStreams<typeof RuntimeService>;
  readonly imageStreams: ServiceStreams<typeof ImageService>;
  readonly events: EventFeed;
  /** For `EdgeOptions`. */
  readonly namespaceOf: NonNullable<EdgeOptions['namespaceOf']>;
}

/** The handlers of both services. */
export function createServices(options: ServiceOptions): Services {
  const images = imageList(() => options.troupe.isPinned);
  const feed = new EventFeed(options.troupe.directory, options.clock, {
    id: options.random.token(relayLimits.feedIdBytes),
    dropped: options.eventsDropped,
    before: options.eventsBefore,
  });
  return {
    runtime: {
      version: version(options),
      status: status(options),
      runtimeConfig: runtimeConfig(options),
      updateRuntimeConfig: updateRuntimeConfig(options),
      runPodSandbox: runPodSandbox(options),
      stopPodSandbox: stopPodSandbox(options),
      removePodSandbox: removePodSandbox(options),
      podSandboxStatus: podSandboxStatus(options, feed),
      updatePodSandboxResources: updatePodSandboxResources(options),
      listPodSandbox: listPodSandbox(options),
      createContainer: createContainer(options),
      startContainer: startContainer(options),
      stopContainer: stopContainer(options),
      removeContainer: removeContainer(options),
      listContainers: listContainers(options),
      containerStatus: containerStatus(options),
      containerStats: containerStats(options),
      listContainerStats: listContainerStats(options),
      podSandboxStats: podSandboxStats(options),
      listPodSandboxStats: listPodSandboxStats(options),
      listMetricDescriptors: listMetricDescriptors(),
      listPodSandboxMetrics: listPodSandboxMetrics(options),
      updateContainerResources: updateContainerResources(options),
      execSync: execSync(options),
      ...(options.urls === undefined ? {} : streamed(options, options.urls)),
      reopenContainerLog: reopenContainerLog(options),
      checkpointContainer: checkpointContainer(options),
      checkpointPod: checkpointPod(options),
      restorePod: restorePod(options),
    },
    image: {
      listImages: listImages(options, images),
      imageStatus: imageStatus(options),
      pullImage: pullImage(options),
      removeImage: removeImage(options),
      imageFsInfo: imageFsInfo(options),
    },
    runtimeStreams: {
      getContainerEvents: getContainerEvents(options, feed),
      streamPodSandboxes: streamPodSandboxes(options),
      streamContainers: streamContainers(options),
      streamContainerStats: streamContainerStats(options),
      streamPodSandboxStats: streamPodSandboxStats(options),
      streamPodSandboxMetrics: streamPodSandboxMetrics(options),
    },
    imageStreams: { streamImages: streamImages(options, images) },
    events: feed,
    namespaceOf: (request) => namespaceOf(options.troupe.directory, request),
  };
}

function streamed(
  options: ServiceOptions,
  urls: UrlIssuer,
): Pick<Services['runtime'], 'exec' | 'attach' | 'portForward'> {
  return {
    exec: exec(options, urls),
    attach: attach(options, urls),
    portForward: portForward(options, urls),
  };
}
